"""Some of a layer's units, and layers of which some units are held."""

import numpy as np
import pytest
import tensorflow as tf

from rbm_tf import enumeration
from rbm_tf.machine import Machine, clamped_free_energy
from rbm_tf.units import (
    Binary,
    Clamped,
    DReLU,
    Gaussian,
    Mixed,
    Potts,
    ReLU,
    Spin,
    TruncatedExponential,
    check_unit,
)

G = [0.5, 1.0, 2.0, 4.0]
LAYERS = [
    Binary(4),
    Spin(4),
    Gaussian(4, G),
    Potts(4, 3),
    ReLU(4, G),
    DReLU(4, G, 2.0, threshold_plus=G, threshold_minus=-0.2),
    TruncatedExponential(4),
    Mixed([Gaussian(2, [0.5, 3.0]), Potts(1, 3), ReLU(1, 2.0)]),
    Binary(4).add_precision([0.1, 0.2, 0.3, 0.4]),
]
FIELDS = np.random.default_rng(0).normal(size=(5, 12))


def columns(layer, units):
    return np.concatenate([np.flatnonzero(layer.unit_of_column == i) for i in units])


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
@pytest.mark.parametrize("units", [[2], [0, 3], [3, 1, 0]])
def test_some_units_are_what_they_were_among_all(layer, units):
    x, own = FIELDS[:, : layer.size], columns(layer, units)
    some = layer.take(units)
    assert some.num == len(units) and some.size == len(own)
    np.testing.assert_allclose(some.cgf(x[:, own]), layer.cgf(x).numpy()[:, units], rtol=1e-12)
    of_all = layer.cumulants(x, 3).numpy()[..., own]
    np.testing.assert_allclose(some.cumulants(x[:, own], 3), of_all, rtol=1e-12)
    t = layer.sample(x, seed=0).numpy()
    np.testing.assert_allclose(some.energy(t[:, own]), layer.energy(t).numpy()[:, units])
    some.check(t[:, own])


def test_columns_belong_to_units_in_their_order():
    layer = Mixed([Binary(2), Potts(2, 3), Gaussian(1)])
    np.testing.assert_array_equal(layer.unit_of_column, [0, 1, 2, 2, 2, 3, 3, 3, 4])
    np.testing.assert_array_equal(Potts(2, 2).unit_of_column, [0, 0, 1, 1])


def test_units_of_one_part_are_units_of_its_kind():
    layer = Mixed([Binary(2), Potts(2, 3), Binary(1)])
    assert repr(layer.take([2, 3])) == "Potts(2, 3)"
    assert repr(layer.take([0, 3, 4])) == "Mixed([Binary(1), Potts(1, 3), Binary(1)])"


def test_gradients_pass_to_the_parameters_of_units_that_are_taken():
    log_g = tf.Variable(np.log(G))
    layer = Gaussian(4).with_parameters(log_precision=log_g)
    with tf.GradientTape() as tape:
        energy = tf.reduce_sum(layer.take([1, 2]).energy(np.ones((1, 2))))
    slope = tf.convert_to_tensor(tape.gradient(energy, log_g))
    np.testing.assert_allclose(slope, [0, 0.5, 1, 0])


@pytest.mark.parametrize("indices", [[], [4], [-1], [0.0], 1, [True, False, True, True]])
def test_no_such_units_are_refused(indices):
    with pytest.raises(ValueError, match=r"from 0 to 3, the numbers of units of Binary\(4\); got"):
        Binary(4).take(indices)


def half_clamped(layer, num=1):
    """Rows in which units 0 and 2 are held, and those of which are."""
    values = layer.sample(FIELDS[:num, : layer.size], seed=1).numpy()
    values[:, columns(layer, [1, 3])] = np.nan
    return Clamped(layer, values)


CLAMPED = LAYERS[:-1]


@pytest.mark.slow
@pytest.mark.parametrize("layer", CLAMPED, ids=repr)
def test_units_that_are_free_are_what_they_were(layer):
    check_unit(Clamped(layer, np.full(layer.size, np.nan)), num_draws=2000)
    x, clamped, free = FIELDS[:, : layer.size], half_clamped(layer, 5), columns(layer, [1, 3])
    np.testing.assert_allclose(clamped.cgf(x).numpy()[:, [1, 3]], layer.cgf(x).numpy()[:, [1, 3]])
    of_all = layer.cumulants(x, 4).numpy()[..., free]
    np.testing.assert_allclose(clamped.cumulants(x, 4).numpy()[..., free], of_all)
    draws = layer.sample(x, seed=2).numpy()[:, free]
    np.testing.assert_array_equal(clamped.sample(x, seed=2).numpy()[:, free], draws)


@pytest.mark.parametrize("layer", CLAMPED, ids=repr)
def test_units_that_are_held_have_one_state(layer):
    x, clamped, held = FIELDS[:, : layer.size], half_clamped(layer, 5), columns(layer, [0, 2])
    t = np.nan_to_num(clamped.parameters["values"])
    exact = [
        x[:, own] @ t[:, own].T - layer.energy(t).numpy()[:, i]
        for i, own in ((i, columns(layer, [i])) for i in (0, 2))
    ]
    found = clamped.cgf(x).numpy()[:, [0, 2]]
    np.testing.assert_allclose(found, np.stack([np.diag(row) for row in exact], 1), rtol=1e-12)
    for states in (clamped.mean(x), clamped.sample(x, seed=0), clamped.cumulants(x, 4)[0]):
        np.testing.assert_array_equal(states.numpy()[:, held], t[:, held])
    assert not clamped.cumulants(x, 4).numpy()[1:, :, held].any()


def test_cumulants_along_a_direction_do_not_move_where_units_are_held():
    layer, x, w = Potts(4, 3), tf.constant(FIELDS), tf.constant(FIELDS[::-1].copy())
    clamped = half_clamped(layer, 5)
    with tf.autodiff.ForwardAccumulator(x, w) as accumulator:
        mean = tf.reduce_sum(tf.reshape(clamped.mean(x) * w, (5, 4, 3)), -1)
    kappa = clamped.cumulants_along(x, w, 3)
    np.testing.assert_allclose(kappa[0], mean, rtol=1e-12)
    np.testing.assert_allclose(kappa[1], accumulator.jvp(mean), rtol=1e-12, atol=1e-15)
    assert not kappa.numpy()[1:, :, [0, 2]].any()


@pytest.mark.parametrize(
    "layer", [Gaussian(4, G), Potts(4, 3), Mixed([Spin(2), ReLU(2)])], ids=repr
)
def test_a_graph_takes_clamped_units_without_another_trace(layer):
    @tf.function(reduce_retracing=True)
    def cgf(unit, x):
        return unit.cgf(x)

    for seed in (0, 1):
        values = layer.sample(np.zeros(layer.size), seed=seed).numpy()
        values[columns(layer, [seed])] = np.nan
        clamped, x = Clamped(layer, values), tf.constant(FIELDS[:, : layer.size])
        np.testing.assert_allclose(cgf(clamped, x), clamped.cgf(x), rtol=1e-14)
    assert cgf.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("layer", CLAMPED, ids=repr)
def test_log_z_of_a_machine_with_all_units_held_is_minus_the_clamped_free_energy(layer):
    rng = np.random.default_rng(0)
    parameters = [tf.constant(rng.normal(size=s)) for s in ((layer.size, 3), layer.size, 3)]
    v = layer.sample(rng.normal(size=(1, layer.size)), seed=0)
    machine = Machine(*parameters, Clamped(layer, v), Binary(3))
    exact = -clamped_free_energy(Machine(*parameters, layer, Binary(3)), v)
    assert enumeration.log_z(machine) == pytest.approx(float(exact[0]), rel=1e-12)


def test_some_of_the_clamped_units_are_clamped_alike():
    clamped = half_clamped(Potts(4, 3), 5).take([2, 1])
    x = FIELDS[:, :6]
    whole = half_clamped(Potts(4, 3), 5)
    full = np.concatenate([0 * x[:, :3], x[:, 3:], x[:, :3], 0 * x[:, :3]], -1)
    np.testing.assert_allclose(clamped.cgf(x), whole.cgf(full).numpy()[:, [2, 1]], rtol=1e-13)
    with pytest.raises(ValueError, match="12 entries"):
        Clamped(Potts(4, 3), np.zeros(11))
