import numpy as np
import pytest
from test_exact_pairs import pair

from rbm_tf.enumeration import log_z
from rbm_tf.estimates import LogZEstimate, estimate_log_z
from rbm_tf.mean_field import tap
from rbm_tf.roads import ROADS, compare


@pytest.mark.long
def test_every_road_returns_the_same_record(random_rbm):
    rbm = random_rbm(6, 4)
    for road in ROADS.values():
        estimate = road(rbm, 0)
        assert isinstance(estimate, LogZEstimate)
        assert abs(estimate.log_z - log_z(rbm)) < 1
        weights, error = estimate.log_weights, estimate.standard_error
        if weights is not None:
            again = estimate_log_z(weights, reverse=estimate.bound == "upper")
            assert (again.log_z, again.standard_error) == (estimate.log_z, error)
            assert 1 <= estimate.effective_sample_size <= len(weights)
        if error is not None:
            assert abs(estimate.log_z - log_z(rbm)) < 5 * error
        elif estimate.bound == "lower":
            assert estimate.log_z <= log_z(rbm)


def test_the_table_has_a_row_for_the_exact_value_and_one_for_each_road(random_rbm):
    rbm, roads = random_rbm(6, 4), {"TAP": ROADS["TAP, order 2"], "AIS": ROADS["AIS forward"]}
    rows = compare(rbm, roads=roads, seed=0)
    exact, tapped, annealed = rows
    assert (exact["method"], exact["ln Z"], exact["error"]) == ("exact, 2^4 states", log_z(rbm), 0)
    assert tapped["ln Z"] == roads["TAP"](rbm, 0).log_z
    assert tapped["s.e."] is tapped["ESS"] is tapped["bound"] is None
    assert annealed["error"] == roads["AIS"](rbm, 0).log_z - log_z(rbm)
    assert annealed["bound"] == "lower, on average"
    assert all(row["seconds"] > 0 for row in rows)


def test_a_large_machine_has_no_exact_row_and_a_road_of_ones_own_is_walked(random_rbm):
    roads = {"mine": lambda rbm, seed: LogZEstimate(float(seed))}
    (row,) = compare(random_rbm(21, 22), roads=roads, seed=3)
    assert (row["method"], row["ln Z"], row["error"]) == ("mine", 3.0, None)


def test_a_point_that_did_not_converge_is_named(random_rbm):
    roads = {"TAP": lambda rbm, seed: tap(rbm, max_iterations=1)}
    assert compare(random_rbm(6, 4), roads=roads)[1]["method"] == "TAP (not converged)"


def test_a_road_that_ends_in_an_error_says_so_and_loses_no_other(random_rbm):
    def stuck(rbm, seed):
        raise ValueError("the ladders are stuck. Raise num_burn_in.")

    exact, refused, other = compare(
        random_rbm(6, 4), roads={"tempering": stuck, "TAP": ROADS["TAP, order 2"]}
    )
    assert refused["method"] == "tempering (none: the ladders are stuck)"
    assert refused["ln Z"] is refused["error"] is refused["seconds"] is None
    assert other["method"] == "TAP" and exact["error"] == 0


@pytest.mark.long
def test_a_value_of_any_units_is_walked_from_a_base_without_fields():
    value = pair("Gaussian", "ReLU")
    names = "plain Monte Carlo", "AIS forward", "tempering, MBAR"
    exact, *rows = compare(value, roads={name: ROADS[name] for name in names}, seed=0)
    assert exact["method"] == "exact, an integral"
    assert all(abs(row["error"]) < 5 * row["s.e."] for row in rows)


def test_a_batch_of_log_weights_is_averaged_for_each_example():
    log_weights = np.random.default_rng(0).normal(size=(50, 3))
    for reverse in (False, True):
        together = estimate_log_z(log_weights, reverse=reverse)
        each = [estimate_log_z(column, reverse=reverse) for column in log_weights.T]
        for name in ("log_z", "standard_error", "effective_sample_size"):
            np.testing.assert_allclose(
                getattr(together, name), [getattr(one, name) for one in each], rtol=1e-12
            )
