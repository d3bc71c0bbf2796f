"""Probabilities of some visible units, and of those given the others, against direct sums."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp
from test_units_layers import KINDS, log_z, machine

from rbm_tf import enumeration
from rbm_tf.conditional import (
    clamped_log_z,
    clamped_machine,
    conditional_machine,
    exact,
    log_conditional,
    log_marginal,
)
from rbm_tf.machine import Machine, clamped_free_energy
from rbm_tf.units import Binary, Gaussian, Mixed, Potts, ReLU, Spin

FINITE = ("Binary", "Spin", "Potts")
PAIRS = [  # every second one that can be summed over, as on a chessboard
    pair
    for number, pair in enumerate(itertools.product(KINDS, KINDS))
    if set(pair) & set(FINITE) and number % 2 == 0  # seven kinds: each in every row and column
]
PAIRS.append(("Gaussian", "Gaussian"))
PATTERNS = np.array([[0, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]])  # observed units


def rbm_of(visible, hidden):
    v, h, a, b, kernel = machine(visible, hidden)
    return Machine(*map(tf.constant, (kernel, a, b)), v, h)


def some_states(rbm, num, seed=0):
    fields = np.random.default_rng(seed).normal(size=(num, rbm.num_visible))
    return rbm.visible.sample(fields, seed=seed).numpy()


def masks_of(rbm):
    return PATTERNS[:, rbm.visible.unit_of_column]


def by_hand(rbm, v, mask):
    """ln Z(o) of one example by NumPy alone, or quadrature over one layer."""
    w, a, b = (x.numpy() for x in rbm.parameters)
    seen = mask == 1
    bias = b + v[seen] @ w[seen]
    units = np.unique(rbm.visible.unit_of_column[~seen])
    observed = np.setdiff1d(np.arange(3), units)
    constant = v[seen] @ a[seen] - rbm.visible.energy(v).numpy()[observed].sum()
    if not len(units):
        return constant + np.sum(rbm.hidden.cgf(bias))
    visible = rbm.visible.take(units)
    if rbm.hidden.is_finite or not visible.is_finite:
        return constant + log_z(rbm.hidden, visible, bias, a[~seen], w[~seen].T)
    return constant + log_z(visible, rbm.hidden, a[~seen], bias, w[~seen])


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_ln_z_with_units_clamped_is_the_sum_over_all_others(visible, hidden):  # B42
    rbm = rbm_of(visible, hidden)
    v, masks = some_states(rbm, 5), masks_of(rbm)
    expected = [by_hand(rbm, *pair) for pair in zip(v, masks, strict=True)]
    np.testing.assert_allclose(clamped_log_z(rbm, v, mask=masks), expected, rtol=0, atol=1e-9)


ORACLES = [
    ("Gaussian", "Binary", -1.2189594959),
    ("Binary", "ReLU", -0.5794805002),
    ("Gaussian", "Gaussian", -1.2981746908),
]


@pytest.mark.parametrize(("visible", "hidden", "value"), ORACLES)
def test_marginal_of_one_unit(visible, hidden, value):
    found = log_marginal(rbm_of(visible, hidden), [[1, np.nan, np.nan]])
    np.testing.assert_allclose(found, [value], rtol=0, atol=6e-11)


@pytest.mark.parametrize(("visible", "hidden"), [("Spin", "ReLU"), ("ReLU", "Potts")])
def test_nothing_observed_is_certain_and_nothing_missing_has_the_probability_of_all(
    visible, hidden
):
    rbm = rbm_of(visible, hidden)
    v = some_states(rbm, 4)
    log_p = -clamped_free_energy(rbm, tf.constant(v)) - enumeration.log_z(rbm)
    none, every = np.zeros(rbm.num_visible), np.ones(rbm.num_visible)
    np.testing.assert_array_equal(log_marginal(rbm, v, mask=none), np.zeros(4))
    np.testing.assert_allclose(clamped_log_z(rbm, v, mask=none), [enumeration.log_z(rbm)] * 4)
    np.testing.assert_allclose(log_marginal(rbm, v, mask=every), log_p, rtol=1e-12)
    np.testing.assert_allclose(log_conditional(rbm, v, mask=none), log_p, rtol=1e-12)
    np.testing.assert_allclose(log_conditional(rbm, v, mask=every), np.zeros(4), atol=1e-13)
    both = log_conditional(rbm, v, mask=masks_of(rbm)[:4]) + log_marginal(
        rbm, v, mask=masks_of(rbm)[:4]
    )
    np.testing.assert_allclose(both, log_p, rtol=1e-12)
    of_estimate = log_marginal(rbm, v, mask=every, log_z=enumeration.log_z(rbm) + 1)
    np.testing.assert_allclose(of_estimate, log_p - 1, rtol=1e-12)


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(
    ("visible", "hidden"),
    [
        (Mixed([Binary(2), Potts(2, 3), Spin(1)]), ReLU(3)),
        (Mixed([Binary(2), Potts(2, 3), Spin(1)]), Binary(3)),
        (Mixed([Binary(2), Potts(2, 3), Spin(1)]), Binary(9)),
    ],
)
def test_conditional_probabilities_are_those_of_all_states_together(visible, hidden):  # B43
    rng = np.random.default_rng(0)
    shapes = (visible.size, hidden.size), visible.size, hidden.size
    rbm = Machine(*(tf.constant(rng.normal(size=shape)) for shape in shapes), visible, hidden)
    states = visible.layer_states().numpy()
    log_weight = -clamped_free_energy(rbm, states).numpy()
    for units in ([0, 3], [1], [0, 1, 2, 3, 4]):
        mask = ~np.isin(visible.unit_of_column, units)
        same = np.all((states == states[7])[:, mask], -1)
        expected = log_weight[same] - logsumexp(log_weight[same])
        found = log_conditional(rbm, states[same], mask=mask)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
        marginal = logsumexp(log_weight[same]) - logsumexp(log_weight)
        assert float(log_marginal(rbm, states[7:8], mask=mask)[0]) == pytest.approx(
            marginal, abs=1e-12
        )


def test_what_is_missing_is_nan_or_where_the_mask_is_0():
    rbm = rbm_of("Potts", "ReLU")
    v, masks = some_states(rbm, 5), masks_of(rbm)
    expected = clamped_log_z(rbm, v, mask=masks)
    np.testing.assert_array_equal(clamped_log_z(rbm, np.where(masks, v, np.nan)), expected)
    anything = np.where(masks, v, 7.0)
    np.testing.assert_array_equal(clamped_log_z(rbm, anything, mask=masks.astype(bool)), expected)
    for_all = clamped_log_z(rbm, v, mask=masks[0])
    np.testing.assert_array_equal(for_all, clamped_log_z(rbm, v, mask=np.tile(masks[0], (5, 1))))


@pytest.mark.parametrize("hidden", ["Binary", "ReLU"])
def test_blocks_add_up(hidden, monkeypatch):
    rbm = rbm_of("Potts", hidden)
    v, masks = some_states(rbm, 15), np.tile(masks_of(rbm), (3, 1))
    expected = clamped_log_z(rbm, v, mask=masks)
    for traced in (exact._sum_visible, exact._sum_hidden):
        monkeypatch.setattr(exact, traced.__name__, traced.python_function)
    monkeypatch.setattr(exact, "_NUMBERS", 16)  # 2 rows and 2 states, or 1, at a time
    np.testing.assert_allclose(clamped_log_z(rbm, v, mask=masks), expected, rtol=1e-14)


def test_the_conditional_machine_is_over_the_missing_units():
    rbm = rbm_of("Potts", "ReLU")
    v, mask = some_states(rbm, 4), masks_of(rbm)[1]  # unit 1 is missing
    part = conditional_machine(rbm, v, mask=mask)
    assert repr(part.visible) == "Potts(1, 3)"
    log_p = tf.nn.log_softmax(
        [-clamped_free_energy(part, tf.tile(state[None], (4, 1))) for state in np.eye(3)], axis=0
    )
    for index, state in enumerate(np.eye(3)):
        whole = v.copy()
        whole[:, 3:6] = state
        np.testing.assert_allclose(log_p[index], log_conditional(rbm, whole, mask=mask), rtol=1e-11)


def test_ln_z_of_the_clamped_machine_is_that_of_the_sums():
    rbm = rbm_of("DReLU", "Potts")
    v, masks = some_states(rbm, 5), masks_of(rbm)
    expected = clamped_log_z(rbm, v, mask=masks)
    for row in range(5):
        machine = clamped_machine(rbm, v[row : row + 1], mask=masks[row])
        assert enumeration.log_z(machine) == pytest.approx(float(expected[row]), rel=1e-12)


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(
    ("visible", "hidden"), [("Gaussian", "Binary"), ("Binary", "ReLU"), ("Gaussian", "Gaussian")]
)
def test_gradients_of_the_marginal_are_its_slopes(visible, hidden):
    rbm = rbm_of(visible, hidden)
    v, masks = some_states(rbm, 5), masks_of(rbm)
    names = rbm.visible.parameters, rbm.hidden.parameters
    start = [*rbm.parameters, *(tf.constant(x) for part in names for x in part.values())]

    def mean(*tensors):
        left = dict(zip(names[0], tensors[3:], strict=False))
        right = dict(zip(names[1], tensors[3 + len(left) :], strict=True))
        units = rbm.visible.with_parameters(**left), rbm.hidden.with_parameters(**right)
        return tf.reduce_mean(log_marginal(Machine(*tensors[:3], *units), v, mask=masks))

    with tf.GradientTape() as tape:
        tape.watch(start)
        value = mean(*start)
    rng = np.random.default_rng(1)
    for index, slopes in enumerate(tape.gradient(value, start)):
        direction = rng.normal(size=slopes.shape)  # any wrong entry shows
        direction /= np.linalg.norm(direction)

        def at(shift, index=index, direction=direction):
            moved = start[index] + shift * direction
            return float(mean(*start[:index], moved, *start[index + 1 :]))

        near, far = (at(k * 1e-3) - at(-k * 1e-3) for k in (1, 2))
        slope = (8 * near - far) / 12e-3
        assert np.sum(slopes * direction) == pytest.approx(slope, abs=1e-10)


NAN = float("nan")


@pytest.mark.parametrize(
    ("v", "mask", "message"),
    [
        (np.zeros((2, 4)), None, r"v must have shape \(num, 6\)"),
        (np.zeros(6), None, r"v must have shape \(num, 6\)"),
        (
            np.tile(np.eye(3)[:1], (2, 2)),
            np.ones(5),
            r"in the shape \(2, 6\) of v or \(6,\) for all",
        ),
        (np.tile(np.eye(3)[:1], (2, 2)), np.full(6, 0.5), "1 where v is observed and 0 elsewhere"),
        (np.tile(np.eye(3)[:1], (1, 2)), [1, 1, 1, 1, 0, 0], "unit 1 of Potts.* columns 3 to 5"),
        ([[1, 0, 0, 1, NAN, NAN]], None, "has 1 of the columns 3 to 5"),
        ([[1, 0, 0, NAN, NAN, NAN]], np.ones(6), "NaN in row 0, column 3"),
        ([[1, 1, 0, NAN, NAN, NAN]], None, "no Potts units"),
    ],
)
def test_wrong_masks_and_states_are_refused(v, mask, message):
    rbm = Machine(tf.zeros((6, 2)), tf.zeros(6), tf.zeros(2), Potts(2, 3))
    with pytest.raises(ValueError, match=message):
        clamped_log_z(rbm, v, mask=mask)


def test_what_cannot_be_summed_over_is_refused_with_the_remedy():
    kernel, a, b = (tf.zeros(shape) for shape in ((40, 30), 40, 30))
    big = Machine(kernel, a, b)
    with pytest.raises(ValueError, match=r"have more\. Estimate ln Z\(o\).*clamped_ais"):
        clamped_log_z(big, np.zeros((1, 40)), mask=np.arange(40) < 10)
    few = clamped_log_z(big, np.zeros((1, 40)), mask=np.arange(40) < 35)  # 2^5 states
    np.testing.assert_allclose(few, [35 * np.log(2)])
    infinite = Machine(tf.zeros((3, 2)), tf.zeros(3), tf.zeros(2), Gaussian(3), ReLU(2))
    with pytest.raises(ValueError, match="infinitely many"):
        log_marginal(infinite, [[0.5, NAN, NAN]])
    wide = Machine(tf.ones((3, 2)), tf.zeros(3), tf.zeros(2), Gaussian(3), Gaussian(2))
    with pytest.raises(ValueError, match="make the weights smaller"):
        clamped_log_z(wide, [[0.5, NAN, NAN]])
    assert np.isfinite(clamped_log_z(wide, [[0.5, 0.5, 0.5]]))


def test_a_conditional_machine_needs_one_pattern():
    rbm = rbm_of("Binary", "ReLU")
    for v in ([[1, NAN, 0], [NAN, 1, 0]], [[1, 0, 0]]):
        with pytest.raises(ValueError, match="take clamped_machine"):
            conditional_machine(rbm, v)
