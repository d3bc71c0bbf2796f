"""Training on data of which some entries are missing raises ln p of those that are observed."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from no_drift import check_no_drift, check_samples
from test_free_energy_gap import GivenStates
from test_inpainting import FINITE, conditional_states, model

from rbm_tf import RBM
from rbm_tf.conditional import log_marginal
from rbm_tf.datasets import bars_and_stripes
from rbm_tf.machine import Machine, hidden_input
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.training import draw_missing
from rbm_tf.training.negative_phase import ExactPhase
from rbm_tf.units import Binary, Gaussian, Mixed, Potts, ReLU, Spin

NAN = np.nan


@pytest.mark.long
@pytest.mark.parametrize(("visible", "hidden", "clamped"), FINITE)
def test_missing_units_are_drawn_given_the_observed_ones(visible, hidden, clamped):
    rbm, observed = model(visible, hidden), ~np.isnan(clamped)
    target = conditional_states(rbm, clamped)

    def move(v, num_steps=2):
        rows = tf.constant(np.broadcast_to(observed, v.shape))
        v = draw_missing(rbm.machine, tf.constant(v), rows, num_steps=num_steps, seed=(0, 1))
        np.testing.assert_array_equal(
            v.numpy()[:, observed], np.array(clamped)[observed] + 0 * v[:, :1]
        )
        return v

    check_no_drift(move, target)
    start = np.where(observed, np.nan_to_num(clamped), 0.3)
    check_samples(move(np.tile(start, (20_000, 1)), num_steps=30), target)


MODELS = [
    (Binary(3), Spin(2), [[1, NAN, NAN], [NAN, NAN, NAN], [0, 1, 0], [NAN, 1, 0]]),
    (Gaussian(3, [1.0, 1.5, 2.0]), Binary(2), [[0.5, NAN, NAN], [NAN, -1, NAN], [0.1, 0.2, 0.3]]),
    (Spin(3), ReLU(2), [[1, NAN, -1], [NAN, NAN, 1]]),
    (Mixed([Potts(1, 3), Binary(2)]), Binary(2), [[NAN, NAN, NAN, 1, NAN], [0, 1, 0, NAN, NAN]]),
]


def gradient_of_log_p(rbm, rows):
    """The exact mean of -ln p(v_o) and its slopes; those of precisions last."""
    machine = rbm.machine
    parameters = [*machine.parameters, *machine.visible.parameters.values()]
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        units = dict(zip(machine.visible.parameters, parameters[3:], strict=True))
        visible = machine.visible.with_parameters(**units)
        loss = -tf.reduce_mean(
            log_marginal(Machine(*parameters[:3], visible, machine.hidden), rows)
        )
    return [x.numpy() for x in tape.gradient(loss, parameters)]


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(("visible", "hidden", "rows"), MODELS)
def test_the_gradient_of_training_is_that_of_the_observed_likelihood(visible, hidden, rows):  # B44
    rng, rows, num = np.random.default_rng(0), np.array(rows), 6_000
    shapes = (visible.size, hidden.size), visible.size, hidden.size
    options = {"negative_phase": ExactPhase(seed=1), "gradient": "plain", "unit_rate": 1.0}
    rbm = RBM.from_parameters(
        *(visible, hidden, *(0.7 * rng.normal(size=shape) for shape in shapes)),
        **options,
        missing_steps=15,
        dtype="float64",
    )
    data = np.repeat(rows, num // len(rows), 0)
    variables = [x.value for x in (rbm.kernel, rbm.visible_bias, rbm.hidden_bias)]
    variables += [x.value for name, x in rbm.unit_parameters.items() if name.startswith("visible")]
    with tf.GradientTape() as tape:
        loss = rbm.compute_loss(tf.constant(data), training=False)
    found = [x.numpy() for x in tape.gradient(loss, variables)]

    start = np.where(np.isnan(data), rbm.visible_offset, data)
    v = draw_missing(rbm.machine, tf.constant(start), ~np.isnan(data), num_steps=15, seed=(2, 3))
    h = rbm.hidden_mean(v)
    each = [v[:, :, None] * h[:, None], v, h, rbm.visible.energy(v)]  # d ln g is U itself
    by_row = [np.reshape(x, (len(rows), -1, *x.shape[1:])) for x in each]
    for index, exact in enumerate(gradient_of_log_p(rbm, rows)):
        error = np.sqrt((by_row[index].var(1) / by_row[index].shape[1]).sum(0)) / len(rows)
        assert np.all(np.abs(found[index] - exact) <= 5 * error + 1e-12)
        assert np.any(error > 0)


def test_complete_data_train_as_ever():
    x = np.random.default_rng(0).integers(2, size=(60, 6)) * 1.0
    kernels = []
    for missing_steps in (0, 3):
        rbm = BernoulliRBM(6, 4, seed=0, missing_steps=missing_steps)
        rbm.fit(x, epochs=2, verbose=0)
        kernels.append(rbm.kernel.numpy())
    np.testing.assert_array_equal(*kernels)


@pytest.mark.long
def test_training_on_what_is_observed_nearly_reaches_the_truth_and_filling_in_means_does_not():
    images = bars_and_stripes(3)[0].reshape(-1, 9)
    x = np.tile(images, (50, 1)).astype("float32")
    holes = np.where(np.random.default_rng(0).random(x.shape) < 0.3, NAN, x)
    filled = np.where(np.isnan(holes), np.nanmean(holes, 0), holes)
    fits = np.all((holes[:, None] == images) | np.isnan(holes[:, None]), -1)  # (num, 14)
    truth, lost = np.mean(np.log(fits.mean(1))), []
    for data, options in ((holes, {"missing_steps": 5}), (filled, {"resample": True})):
        rbm = BernoulliRBM(9, 10, negative_phase=ExactPhase(), seed=0, **options)
        rbm.compile(keras.optimizers.SGD(0.3, momentum=0.5), steps_per_execution=10)
        rbm.fit(data, batch_size=70, epochs=100, verbose=0)
        lost.append(truth - float(np.mean(log_marginal(rbm, holes))))
    assert 0 < lost[0] < 0.25 and lost[1] > 0.7


def test_means_and_biases_come_from_what_is_observed():
    x = np.full((50, 4), NAN)
    x[:40, 0], x[:10, 1] = 1, 0
    x[:20, 2] = 1
    x[20:40, 2] = 0
    rbm = BernoulliRBM(4, 2, seed=0, missing_steps=1)
    rbm.adapt(x)
    np.testing.assert_allclose(rbm.visible_offset, [1, 0, 0.5, 0.5])
    np.testing.assert_allclose(rbm.visible_bias, np.log([41, 1 / 11, 1, 1]), rtol=1e-6, atol=1e-6)
    layer = Mixed([Gaussian(1, 4.0), Potts(1, 2)])
    observed = np.array([[0.5, NAN, NAN], [1.5, 1, 0], [NAN, 1, 0]])
    bias = layer.initial_bias(np.nanmean(observed, 0), count=np.array([2, 2, 2]))
    np.testing.assert_allclose(bias, [4, np.log(3) / 2, -np.log(3) / 2], rtol=1e-12)


def test_grey_levels_are_drawn_anew_and_what_is_missing_with_them():
    x = np.full((4000, 3), 0.3, "float32")
    x[:, 2] = NAN
    parameters = np.zeros((3, 3)), np.array([0.0, 0.0, 2.0]), np.zeros(3)
    phase = GivenStates(np.zeros((1, 3)))
    options = {"missing_steps": 2, "resample": True, "negative_phase": phase, "seed": 0}
    rbm = BernoulliRBM.from_parameters(*parameters, **options)
    rbm.kernel.assign(np.diag([1.0, 1.0, 0.0]))  # hidden inputs are the first two pixels
    rbm.compute_loss(tf.constant(x), training=False)
    seen = phase.seen[0].numpy()
    assert set(np.unique(seen)) == {0, 1}
    assert np.all(np.abs(seen[:, :2].mean(0) - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 4000))
    rbm.kernel.assign(np.diag([0.0, 0.0, 1e-6]))  # and the last one, which no other unit feels
    rbm.compute_loss(tf.constant(x), training=False)
    drawn, p = phase.seen[1].numpy()[:, 2] * 1e6, 1 / (1 + np.exp(-2))
    assert abs(drawn.mean() - p) < 5 * np.sqrt(p * (1 - p) / 4000)


@pytest.mark.long
def test_every_carrier_brings_missing_data():
    x = np.random.default_rng(0).integers(2, size=(60, 6)).astype("float32")
    x[::3, 2], x[::4, 4:] = NAN, NAN
    kernels = []
    batches = tf.data.Dataset.from_tensor_slices(x).batch(20)
    for data, steps in ((x, None), (batches, None), (iter([x[:20], x[20:40], x[40:]]), 3)):
        rbm = BernoulliRBM(6, 4, seed=0, missing_steps=2)
        rbm.adapt(x)
        options = {"batch_size": 20, "steps_per_epoch": steps, "shuffle": False, "verbose": 0}
        history = rbm.fit(data, validation_data=x[:30], **options).history
        assert np.all(np.isfinite([*history["loss"], *history["val_loss"]]))
        assert rbm.evaluate(x, verbose=0) == rbm.evaluate(x, verbose=0)
        kernels.append(rbm.kernel.numpy())
        with pytest.raises(ValueError, match=r"call rbm_tf\.inpaint"):
            rbm.predict(x, verbose=0)
        with pytest.raises(ValueError, match=r"call rbm_tf\.inpaint"):
            rbm.predict_on_batch(x)
        assert rbm.missing_steps == 2
    np.testing.assert_array_equal(kernels[0], kernels[1])
    np.testing.assert_array_equal(kernels[0], kernels[2])


def test_missing_data_are_refused_unless_asked_for():
    x = np.array([[1.0, NAN, 0.0]])
    for units in (Binary(3), Gaussian(3), Spin(3)):
        with pytest.raises(ValueError, match=r"without NaN.* 1 of 3 .*missing_steps=10"):
            RBM(units, Binary(2)).fit(x, verbose=0)
    potts = RBM(Potts(1, 3), Binary(2), missing_steps=1)
    with pytest.raises(ValueError, match="NaN in Data, cover whole units"):
        potts.fit(x, verbose=0)
    with pytest.raises(ValueError, match="Data must lie in"):
        BernoulliRBM(3, 2, missing_steps=1).fit(2 * x, verbose=0)
    for number in (-1, 0.5):
        with pytest.raises(ValueError, match="missing_steps must be an integer of 0 or more"):
            BernoulliRBM(3, 2, missing_steps=number)


def test_a_draw_depends_on_the_machine_and_not_on_nan():
    rbm = model(Binary(4), Binary(3))
    v = tf.constant([[1.0, 0.2, 0.7, 0.0]], tf.float64)
    observed = tf.constant([[True, False, False, True]])
    one, same = (
        draw_missing(rbm.machine, v, observed, num_steps=12, seed=(0, 1)) for _ in range(2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.all(np.isfinite(hidden_input(rbm.machine, one)))
