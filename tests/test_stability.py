"""lambda_max(K) of two unbounded layers: what it is, and how training stays below 1."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from test_units_layers import KINDS, machine

from rbm_tf.annealing import ais
from rbm_tf.enumeration import log_z, moments
from rbm_tf.evaluation import judged_log_z
from rbm_tf.machine import Machine
from rbm_tf.mean_field import tap
from rbm_tf.rbm import RBM
from rbm_tf.reweighting import monte_carlo
from rbm_tf.stability import is_infinite, largest_coupling
from rbm_tf.tempering import tempered_windows
from rbm_tf.training.monitors import StopWhenNotFinite
from rbm_tf.training.negative_phase import ContrastiveDivergence, PersistentContrastiveDivergence
from rbm_tf.units import Binary, DReLU, Gaussian, Mixed, Potts, ReLU, Unit

UNBOUNDED = ("Gaussian", "ReLU", "DReLU")


def value_of(visible, hidden):
    v, h, a, b, kernel = machine(visible, hidden)
    return Machine(kernel, a, b, v, h)


@pytest.mark.parametrize("hidden", UNBOUNDED)
@pytest.mark.parametrize("visible", UNBOUNDED)
def test_largest_coupling_of_the_oracles(visible, hidden):
    assert largest_coupling(value_of(visible, hidden)) == pytest.approx(0.4606774748, abs=1e-10)


def test_gaussian_layers_have_a_positive_precision_matrix_below_1():
    v, h, a, b, kernel = machine("Gaussian", "Gaussian")
    for coupling in (0.999, 1.001):
        w = kernel * np.sqrt(coupling / 0.4606774748)
        both = np.block([[np.diag([1.0, 1.5, 2.0]), -w], [-w.T, np.diag([1.2, 0.8])]])
        assert (np.linalg.eigvalsh(both).min() > 0) == (coupling < 1)
        assert largest_coupling(Machine(w, a, b, v, h)) == pytest.approx(coupling, rel=1e-9)


def test_bounded_units_make_any_kernel_safe_and_unknown_tails_none():
    for visible, hidden in (("Gaussian", "Binary"), ("Potts", "ReLU"), ("Spin", "DReLU")):
        assert largest_coupling(value_of(visible, hidden)) == 0

    class Laplace(Unit):  # no precision far out
        pass

    kernel, a, b = np.array([[1.0], [0.0]]), np.zeros(2), np.zeros(1)
    assert largest_coupling(Machine(kernel, a, b, Laplace(2), Gaussian(1))) == np.inf
    assert largest_coupling(Machine(0 * kernel, a, b, Laplace(2), Gaussian(1))) == 0
    assert largest_coupling(Machine(kernel, a, b, Laplace(2), Binary(1))) == 0
    assert np.isnan(largest_coupling(Machine(np.nan * kernel, a, b, Gaussian(2), ReLU(1))))


def test_mixed_layers_count_their_unbounded_columns():
    visible = Mixed([Potts(1, 2), Gaussian(1, 4.0), DReLU(1, 9.0, 1.0)])
    hidden = Mixed([Binary(1), ReLU(1)])
    kernel = np.arange(8.0).reshape(4, 2)
    found = largest_coupling(Machine(kernel, np.zeros(4), np.zeros(2), visible, hidden))
    assert found == pytest.approx((5 / 2) ** 2 + 7**2)


def unstable(hidden="Gaussian", scale=1.0, **options):
    """A pair whose data call for more coupling than there may be."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1)) * np.ones(4) + 0.1 * rng.normal(size=(200, 4))
    options = {"negative_phase": ContrastiveDivergence(seed=0), "seed": 0, **options}
    rbm = RBM(Gaussian(4), KINDS[hidden](2), **options)
    rbm.compile(keras.optimizers.SGD(0.1), steps_per_execution=7)
    return rbm, (scale * x).astype("float32")


@pytest.mark.long
@pytest.mark.grid
@pytest.mark.parametrize("hidden", UNBOUNDED)
def test_training_stays_below_the_limit_within_an_execution_too(hidden):
    rbm, x = unstable(hidden, max_coupling=0.9)
    couplings, states = [], []
    seen = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: couplings.append(largest_coupling(rbm)),
        on_epoch_end=lambda epoch, logs: states.append(rbm.kernel.numpy()),
    )
    history = rbm.fit(x, batch_size=10, epochs=8, verbose=0, callbacks=[seen]).history
    assert np.all(np.isfinite(history["loss"]))
    assert max(couplings) == pytest.approx(0.9, rel=1e-3)
    assert couplings[0] < 0.1 and np.any(states[-1] != states[-2])


@pytest.mark.long
def test_kernel_below_the_limit_is_left_alone_to_the_last_bit():
    kernels = []
    for limit in (None, 100.0):
        rbm, x = unstable(max_coupling=limit)
        rbm.fit(x[:50], batch_size=10, verbose=0)
        kernels.append(rbm.kernel.numpy())
    np.testing.assert_array_equal(*kernels)


@pytest.mark.long
def test_limit_holds_while_precisions_learn():
    rbm, x = unstable("ReLU", scale=3.0, max_coupling=0.5, unit_rate=0.1)
    before = rbm.unit_parameters["visible_log_precision"].numpy()
    rbm.fit(x, batch_size=10, epochs=3, verbose=0)
    assert np.abs(rbm.unit_parameters["visible_log_precision"].numpy() - before).min() > 0.1
    assert largest_coupling(rbm) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("limit", [0.95, None])
def test_infinite_z_is_refused_when_training_begins_and_not_before(limit):
    rbm, x = unstable(max_coupling=limit)
    kernel = 3 * rbm.kernel.numpy() / np.sqrt(largest_coupling(rbm))
    rbm.kernel.assign(kernel)
    assert np.all(np.isfinite(rbm.free_energy(x)))
    with pytest.raises(ValueError, match=r"Z is infinite: .* It is 9 .* kernel by 0.325 or less"):
        rbm.fit(x, verbose=0)
    rbm.kernel.assign(kernel * 0.325)
    rbm.fit(x[:10], verbose=0)


@pytest.mark.long
def test_rectified_layers_may_be_stable_above_1():
    parameters = -2 * np.ones((4, 2)), np.zeros(4), np.zeros(2)
    x = np.abs(unstable()[1])
    with pytest.raises(ValueError, match=r"Z may be infinite: .* max_coupling=None"):
        RBM.from_parameters(ReLU(4), ReLU(2), *parameters).fit(x, verbose=0)
    options = {"negative_phase": ContrastiveDivergence(seed=0), "max_coupling": None, "seed": 0}
    rbm = RBM.from_parameters(ReLU(4), ReLU(2), *parameters, **options)
    assert np.isfinite(rbm.fit(x, verbose=0).history["loss"][0])
    assert largest_coupling(rbm) > 20


@pytest.mark.long
@pytest.mark.parametrize("hidden", ["ReLU", "DReLU"])
def test_chains_that_diverge_are_told_from_learning_rates(hidden):
    phase = PersistentContrastiveDivergence(10, num_steps=200, seed=0)
    rbm, x = unstable(hidden, negative_phase=phase, max_coupling=None)
    kernel = np.full((4, 2), 0.8, "float32")
    rbm.kernel.assign(kernel)
    coupling = f"{largest_coupling(rbm):.3g}".replace(".", r"\.")
    message = rf"lambda_max\(K\) .* it was {coupling} there\)\. Train with max_coupling"
    with pytest.warns(UserWarning, match=message):
        rbm.fit(x, batch_size=10, verbose=0, callbacks=[StopWhenNotFinite()])
    np.testing.assert_array_equal(rbm.kernel, kernel)


def test_limits_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"max_coupling must be above 0, or None; got 0"):
        RBM(Gaussian(3), Gaussian(2), max_coupling=0)


@pytest.mark.long
def test_correlated_columns_diverge_without_the_limit_and_train_with_it():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1)) * np.ones(20) + 0.3 * rng.normal(size=(200, 20))
    x = ((x - x.mean(0)) / x.std(0)).astype("float32")

    def trained(**options):
        rbm = RBM(Gaussian(20), Gaussian(2), seed=0, **options)
        rbm.compile(keras.optimizers.SGD(0.02), steps_per_execution=10)
        return rbm, rbm.fit(x, batch_size=20, epochs=10, verbose=0).history["loss"]

    _, losses = trained(max_coupling=None)
    assert not np.isfinite(losses[-1])
    rbm, losses = trained()
    assert np.all(np.isfinite(losses))
    w, a, b = (t.numpy().astype(float) for t in rbm.machine.parameters)
    precision = np.block([[np.eye(20), -w], [-w.T, np.eye(2)]])
    k = np.concatenate([a, b])
    log_z = 11 * np.log(2 * np.pi) - np.linalg.slogdet(precision)[1] / 2
    log_z += k @ np.linalg.solve(precision, k) / 2
    log_likelihood = -rbm.free_energy(x).numpy().mean() - log_z
    independent = -10 * (np.log(2 * np.pi) + 1)  # of 20 columns with mean 0 and variance 1
    assert log_likelihood > independent + 3


@pytest.mark.long
def test_training_under_a_limit_resumes_to_the_last_bit(tmp_path):
    rbm, x = unstable(max_coupling=0.9)
    rbm.fit(x, batch_size=10, epochs=3, verbose=0)
    rbm.save(tmp_path / "rbm.keras")
    loaded = keras.models.load_model(tmp_path / "rbm.keras")
    for each in (rbm, loaded):
        each.fit(x, batch_size=10, epochs=2, verbose=0)
    for weight, other in zip(rbm.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), other.numpy())


def positive(visible, hidden, coupling, bias=-2.0):
    kernel = np.abs(np.random.default_rng(0).normal(size=(5, 4)))
    kernel *= np.sqrt(coupling) / np.linalg.norm(kernel, 2)
    return Machine(kernel, np.zeros(5), np.full(4, bias), visible(5), hidden(4))


def test_an_infinite_z_is_known_where_it_is_certain():
    for hidden in (ReLU, Gaussian, DReLU):
        assert is_infinite(positive(Gaussian, hidden, 1.1))
        assert not is_infinite(positive(Gaussian, hidden, 0.9))
    rectified = positive(ReLU, ReLU, 1.1)
    assert is_infinite(rectified)
    assert not is_infinite(replace(rectified, kernel=-rectified.kernel))  # Z is finite
    assert not is_infinite(positive(Gaussian, Binary, 100.0))


def test_mean_field_does_not_converge_where_z_is_infinite():
    point = tap(positive(Gaussian, Gaussian, 1.04))
    assert not point.converged and np.isnan(point.log_z)


@pytest.mark.parametrize(
    "road",
    [
        lambda rbm: ais(rbm, base="uniform", num_chains=5, betas=[0, 1]),
        lambda rbm: monte_carlo(rbm, num_samples=5),
        lambda rbm: tempered_windows(rbm, base="uniform", num_steps=5),
        log_z,
        moments,
        judged_log_z,
    ],
)
def test_every_road_refuses_an_rbm_without_z(road):
    for infinite in (positive(Gaussian, Gaussian, 1.04), positive(Gaussian, ReLU, 1.44)):
        with pytest.raises(
            ValueError, match=r"Z is infinite: lambda_max\(K\) is 1\.\d+ .*kernel by"
        ):
            road(infinite)
    broken = positive(Binary, Binary, 1.0, bias=np.nan)
    with pytest.raises(ValueError, match="ln Z needs finite parameters"):
        road(broken)
