"""Chains that keep what is observed draw from the exact conditional."""

import numpy as np
import pytest
import tensorflow as tf
from no_drift import States, check_no_drift, check_samples
from test_conditional import rbm_of, some_states

from rbm_tf import RBM, conditional
from rbm_tf.conditional import clamped_log_z, inpaint, log_conditional
from rbm_tf.machine import Machine
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.units import Binary, Gaussian, Mixed, Potts, ReLU, Spin

NAN, NUM = np.nan, 20_000
FINITE = [  # layers, and what is clamped
    (Binary(4), Binary(3), [1, NAN, NAN, NAN]),
    (Spin(4), Gaussian(2), [NAN, 1, -1, NAN]),
    (Mixed([Potts(2, 3), Spin(2)]), ReLU(2), [0, 1, 0, NAN, NAN, NAN, NAN, 1]),
]


def model(visible, hidden, seed=0, scale=0.7):
    rng = np.random.default_rng(seed)
    shapes = (visible.size, hidden.size), visible.size, hidden.size
    parameters = (scale * rng.normal(size=shape) for shape in shapes)
    return RBM.from_parameters(visible, hidden, *parameters, dtype="float64", seed=0)


def conditional_states(rbm, clamped):
    """p(v | clamped) of a small model over whole states."""
    clamped = np.asarray(clamped, float)
    states = rbm.visible.layer_states().numpy()
    states = states[np.all((states == clamped) | np.isnan(clamped), 1)]
    log_p = log_conditional(rbm, states, mask=~np.isnan(clamped))
    return States(states, np.exp(log_p))


@pytest.mark.grid
@pytest.mark.slow
@pytest.mark.parametrize(("visible", "hidden", "clamped"), FINITE)
def test_clamped_chains_leave_the_conditional_as_it_is(visible, hidden, clamped):
    rbm = model(visible, hidden)

    def move(v):
        moved = rbm.sample(NUM, 3, start=v, clamped=clamped, seed=1).numpy()
        seen = ~np.isnan(clamped)
        assert np.all(moved[:, seen] == np.array(clamped)[seen])
        return moved

    check_no_drift(move, conditional_states(rbm, clamped))


@pytest.mark.grid
@pytest.mark.slow
@pytest.mark.parametrize(("visible", "hidden", "clamped"), FINITE)
def test_clamped_chains_reach_the_conditional(visible, hidden, clamped):
    rbm = model(visible, hidden)
    v = rbm.sample(NUM, 100, clamped=clamped, seed=1)
    check_samples(v, conditional_states(rbm, clamped))
    free = rbm.sample(NUM, 100, clamped=np.full(visible.size, NAN), seed=1)
    check_samples(free, conditional_states(rbm, np.full(visible.size, NAN)))


def test_every_chain_may_keep_other_units():
    rbm = model(*FINITE[0][:2])
    rows = np.array([[1, NAN, NAN, 0], [NAN, 0, 0, NAN]])
    v = rbm.sample(NUM, 100, clamped=np.repeat(rows, NUM // 2, 0), seed=1)
    for half, row in zip(np.split(v, 2), rows, strict=True):
        check_samples(half, conditional_states(rbm, row))


def test_chains_begin_where_they_are_told_to():
    layers = Binary(4), Binary(4)  # each visible unit is held by a hidden one
    stiff = RBM.from_parameters(*layers, 80 * np.eye(4), np.full(4, -40), np.full(4, -40))
    start = np.random.default_rng(0).integers(2, size=(50, 4)) * 1.0
    np.testing.assert_array_equal(stiff.sample(50, 3, start=start, seed=1), start)
    clamped = [0, 1, NAN, NAN]
    start[:, :2] = [0, 1]
    others = np.random.default_rng(1).integers(2, size=(50, 2)), start[:, 2:]
    kept = stiff.sample(50, 3, start=np.concatenate(others, 1), clamped=clamped, seed=1)
    np.testing.assert_array_equal(kept, start)


def test_chains_from_a_start_leave_the_model_as_it_is():
    rbm = model(*FINITE[0][:2])
    states = conditional_states(rbm, [NAN] * 4)
    check_no_drift(lambda v: rbm.sample(NUM, 2, start=v, seed=1), states)


def test_clamped_chains_begin_with_what_is_clamped_and_a_start_or_the_means_of_the_data():
    rbm = model(Binary(4), Binary(3))
    rbm.visible_offset.assign([0.1, 0.9, 0.3, 0.4])
    ones = np.ones((2, 4))
    for start, first in ((None, [0.1, 0, 1, 0.4]), (ones, [1, 0, 1, 1])):
        _, fields = conditional.chains_of(rbm, 2, start, [NAN, 0, 1, NAN])
        expected = np.tile(first, (2, 1)) @ rbm.kernel.numpy() + rbm.hidden_bias.numpy()
        np.testing.assert_allclose(fields, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"start": np.zeros((3, 4))},
            r"start must have a row for each of 2 chains; got .* \(3, 4\)",
        ),
        ({"start": np.full((2, 4), 0.5)}, "start must hold 0 and 1 alone"),
        ({"start": np.full((2, 4), NAN)}, "start must lie in .0, 1., without NaN"),
        ({"clamped": np.zeros((3, 4))}, "clamped must have a row for each of 2"),
        ({"clamped": np.zeros(3)}, r"clamped must have shape \(num, 4\)"),
        ({"clamped": [2, NAN, NAN, NAN]}, "clamped must lie in"),
    ],
)
def test_wrong_chains_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BernoulliRBM(4, 3).sample(2, 1, **options)


def exact_mean(rbm, v):
    """<v | o>, the slopes of ln Z(o) by the visible biases."""
    bias = rbm.visible_bias
    with tf.GradientTape() as tape:
        tape.watch(bias)
        log_z = clamped_log_z(
            Machine(rbm.kernel, bias, rbm.hidden_bias, rbm.visible, rbm.hidden), v
        )
    return tape.gradient(log_z, bias).numpy()


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(
    ("visible", "hidden"),
    [("Binary", "DReLU"), ("Potts", "Gaussian"), ("Gaussian", "Spin"), ("ReLU", "Binary")],
)
def test_inpainted_means_are_the_exact_ones(visible, hidden):
    rbm, num = rbm_of(visible, hidden), 400
    v = some_states(rbm, 1)
    v[:, rbm.visible.unit_of_column != 1] = NAN
    rows = np.repeat(v, num, 0)
    samples, mean = inpaint(rbm, rows, num_steps=20, num_burn_in=20, seed=1)
    exact, seen = exact_mean(rbm, v), ~np.isnan(v[0])
    for states in (samples.numpy(), mean.numpy()):
        np.testing.assert_array_equal(states[:, seen], rows[:, seen])
        error = states.std(0, ddof=1) / np.sqrt(num)
        assert np.all(np.abs(states.mean(0) - exact)[~seen] < 5 * error[~seen])
    states = [inpaint(rbm, rows, num_steps=1, num_burn_in=b, seed=1)[0] for b in range(20, 24)]
    of_states = np.mean(states, 0).std(0)  # of four states; the means of four fields are better
    of_fields = inpaint(rbm, rows, num_steps=4, num_burn_in=20, seed=1).mean.numpy().std(0)
    assert np.all(of_fields[~seen] < of_states[~seen])
    assert np.all(samples.numpy()[:, ~seen].std(0) > 0)


def test_inpainting_takes_a_model_a_mask_and_no_burn_in():
    rbm = BernoulliRBM(3, 2, seed=0)
    v, mask = np.ones((2, 3)), np.array([[1, 0, 1], [0, 0, 0]])
    one = inpaint(rbm, v, mask=mask, num_steps=3, num_burn_in=0, seed=1)
    other = inpaint(rbm, np.where(mask, v, NAN), num_steps=3, num_burn_in=0, seed=1)
    for a, b in zip(one, other, strict=True):
        assert a.dtype == "float32"
        np.testing.assert_array_equal(a, b)
    assert np.all(np.abs(one.mean.numpy()[mask == 0] - 0.5) < 0.02)  # a weak kernel
    with pytest.raises(ValueError, match="num_steps"):
        inpaint(rbm, v, mask=mask, num_steps=0)
