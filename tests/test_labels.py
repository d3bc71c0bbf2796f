"""A label as a visible unit: p(y | v), and learning it, against sums and slopes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_units_layers import KINDS, A, B, W, log_z

from rbm_tf import RBM, BernoulliRBM, enumeration, labels
from rbm_tf.conditional import log_conditional
from rbm_tf.datasets import load_digits
from rbm_tf.labels import classify, log_p_label, with_labels, without_labels
from rbm_tf.machine import Machine
from rbm_tf.training import label_loss
from rbm_tf.training.coordinates import Coordinates
from rbm_tf.units import Binary, Mixed, Potts

R = np.array([[0.4, -0.2], [-0.5, 0.3], [0.1, 0.6]])
D = np.array([0.1, -0.3, 0.2])
V0 = np.array([[0.4, -0.3, 0.8]])


STILL = {"log_precision": 0.0}, {"log_precision": 0.0}  # the units' own parameters


def labelled(hidden="ReLU", visible="Gaussian"):
    layer = Mixed([KINDS[visible](3), Potts(1, 3)])
    parameters = np.concatenate([W, R]), np.concatenate([A, D]), B
    return Machine(*map(tf.constant, parameters), layer, KINDS[hidden](2))


def test_probabilities_of_labels_are_the_known_ones():
    log_p = log_p_label(labelled(), V0)
    exact = [[0.3019406620, 0.1643896550, 0.5336696829]]
    np.testing.assert_allclose(np.exp(log_p), exact, rtol=0, atol=6e-11)
    assert classify(labelled(), V0) == [2]


def test_ln_z_with_a_label_is_the_known_one():
    layers = KINDS["ReLU"](2), KINDS["Gaussian"](3)
    by_label = [d + log_z(*layers, B + r, A, W.T) for d, r in zip(D, R, strict=True)]
    assert np.logaddexp.reduce(by_label) == pytest.approx(4.4851014099, abs=1e-9)
    with_label = log_z(
        KINDS["ReLU"](2), labelled().visible, B, np.append(A, D), np.vstack([W, R]).T
    )
    assert with_label == pytest.approx(4.4851014099, abs=1e-9)


@pytest.mark.parametrize("hidden", KINDS)
@pytest.mark.parametrize("visible", ["Binary", "TruncatedExponential"])
def test_labels_given_v_are_the_conditional_of_the_label_unit(visible, hidden):  # B45
    rng = np.random.default_rng(0)
    q, layer = 3, Mixed([KINDS[visible](3), Potts(1, 3)])
    h = KINDS[hidden](2)
    shapes = (layer.size, h.size), layer.size, h.size
    rbm = Machine(*(tf.constant(0.5 * rng.normal(size=s)) for s in shapes), layer, h)
    v = layer.sample(rng.normal(size=(4, layer.size)), seed=0).numpy()[:, :-q]
    log_p = log_p_label(rbm, v)
    for y in range(q):
        whole = with_labels(v, np.full(4, y), q)
        exact = log_conditional(rbm, whole, mask=[1, 1, 1, 0, 0, 0])
        np.testing.assert_allclose(log_p[:, y], exact, rtol=1e-11)


def test_blocks_of_examples_are_put_together(monkeypatch):
    rbm, v = labelled(), np.random.default_rng(0).normal(size=(7, 3))
    whole = log_p_label(rbm, v)
    monkeypatch.setattr(labels, "_NUMBERS", 2 * 3 * 2)  # two examples at a time
    np.testing.assert_array_equal(log_p_label(rbm, v), whole)


@pytest.mark.parametrize("hidden", ["Binary", "Spin", "ReLU", "Gaussian"])
def test_gradient_of_the_label_loss_is_the_formula_and_the_slope(hidden):
    rbm = labelled(hidden)
    v = with_labels(np.random.default_rng(1).normal(size=(4, 3)), [0, 2, 1, 2], 3)

    def loss(*parameters):
        machine = Machine(*parameters, rbm.visible, rbm.hidden)
        return tf.reduce_sum(label_loss(machine, tf.constant(v), Coordinates()))

    with tf.GradientTape() as tape:
        tape.watch(rbm.parameters)
        value = loss(*rbm.parameters)
    gradients = [x.numpy() for x in tape.gradient(value, rbm.parameters)]

    x, y = v[:, :3], v[:, 3:]
    mean = rbm.hidden.mean(B + (x @ W)[:, None] + R).numpy()  # (4, 3, 2)
    share = y - np.exp(log_p_label(rbm, x))  # of the label less that of the model
    np.testing.assert_allclose(gradients[0][:3], -np.einsum("si,sq,sqj->ij", x, share, mean))
    np.testing.assert_allclose(gradients[0][3:], -np.einsum("sq,sqj->qj", share, mean))
    np.testing.assert_allclose(gradients[1], [*np.zeros(3), *-share.sum(0)], atol=1e-15)
    np.testing.assert_allclose(gradients[2], -np.einsum("sq,sqj->j", share, mean), rtol=1e-11)

    for index, entry in ((0, (0, 1)), (0, (4, 0)), (1, (5,)), (2, (1,))):
        steps = []
        for step in (1e-3, -1e-3, 2e-3, -2e-3):
            moved = [x.numpy() for x in rbm.parameters]
            moved[index][entry] += step
            steps.append(float(loss(*map(tf.constant, moved))))
        slope = (8 * (steps[0] - steps[1]) - (steps[2] - steps[3])) / 12e-3
        assert gradients[index][entry] == pytest.approx(slope, abs=1e-10)


def test_gradient_in_centred_coordinates_is_that_of_the_parameters_there():
    rbm = labelled()
    v = tf.constant(with_labels(np.random.default_rng(1).normal(size=(4, 3)), [0, 2, 1, 2], 3))
    mu, lam = tf.constant(np.linspace(0.1, 0.6, 6)), tf.constant([0.3, 0.8], tf.float64)
    kernel, a, b = rbm.parameters
    mine = a + tf.linalg.matvec(kernel, lam), b + tf.linalg.matvec(kernel, mu, transpose_a=True)

    def machine_in(kernel, a, b):  # from the parameters of units that are measured from the offsets
        a -= tf.linalg.matvec(kernel, lam)
        b -= tf.linalg.matvec(kernel, mu, transpose_a=True)
        return Machine(kernel, a, b, rbm.visible, rbm.hidden)

    with tf.GradientTape(persistent=True) as tape:
        tape.watch((kernel, *mine))
        plain = tf.reduce_sum(label_loss(machine_in(kernel, *mine), v, Coordinates()))
        tape.watch(rbm.parameters)
        centred = tf.reduce_sum(
            label_loss(rbm, v, Coordinates(offsets=(mu, lam), unit_rates=STILL))
        )
    by_kernel, by_a, by_b = tape.gradient(plain, (kernel, *mine))
    expected = (
        by_kernel,
        by_a - tf.linalg.matvec(by_kernel, lam),
        by_b - tf.linalg.matvec(by_kernel, mu, transpose_a=True),
    )
    assert float(centred) == pytest.approx(float(plain), rel=1e-13)
    for found, exact in zip(tape.gradient(centred, rbm.parameters), expected, strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-11, atol=1e-13)


def hybrid_gradient(share, data, **options):
    layer = Mixed([Binary(4), Potts(1, 3)])
    rng = np.random.default_rng(0)
    parameters = rng.normal(size=(7, 2)), rng.normal(size=7), rng.normal(size=2)
    rbm = RBM.from_parameters(
        layer, Binary(2), *parameters, discriminative=share, seed=0, dtype="float64", **options
    )
    rbm.visible_offset.assign(np.full(7, 0.3))
    with tf.GradientTape() as tape:
        loss = rbm.compute_loss(tf.constant(data), training=False)
    return float(loss), tape.gradient(loss, rbm.kernel.value).numpy(), rbm


def test_the_hybrid_loss_mixes_both_and_leaves_a_missing_label_out():
    x = np.random.default_rng(1).integers(2, size=(5, 4))
    data = with_labels(x, [0, 1, 2, 2, 0], 3).astype(float)
    (gap, by_gap, rbm), (nll, by_nll, _), (both, by_both, _) = (
        hybrid_gradient(share, data) for share in (0.0, 1.0, 0.25)
    )
    exact = -log_p_label(rbm, x).numpy()[range(5), [0, 1, 2, 2, 0]]
    assert nll == pytest.approx(exact.mean(), rel=1e-12)
    assert both == pytest.approx(0.75 * gap + 0.25 * nll, rel=1e-12)
    np.testing.assert_allclose(by_both, 0.75 * by_gap + 0.25 * by_nll, rtol=1e-11, atol=1e-14)
    data[3:, 4:] = np.nan
    nll, by_some, _ = hybrid_gradient(1.0, data, missing_steps=2)
    assert nll == pytest.approx(exact[:3].sum() / 5, rel=1e-12)
    np.testing.assert_allclose(by_some * 5 / 3, hybrid_gradient(1.0, data[:3])[1], rtol=1e-10)


@pytest.mark.long
def test_training_to_tell_digits_apart_tells_them_apart():
    (x, y), (x_test, y_test) = load_digits(binarization="threshold")
    x, x_test = (images.reshape(len(images), -1) for images in (x, x_test))
    losses = []
    for share in (0.0, 1.0):
        layers = Mixed([Binary(64), Potts(1, 10)]), Binary(32)
        rbm = RBM(*layers, discriminative=share, seed=0)
        rbm.compile(keras.optimizers.SGD(0.5), steps_per_execution=29)
        rbm.fit(with_labels(x, y, 10), epochs=60, batch_size=50, verbose=0)
        assert np.mean(classify(rbm, x_test) != y_test) < 0.12
        losses.append(-log_p_label(rbm, x).numpy()[np.arange(len(y)), y].mean())
    assert losses[1] < 0.8 * losses[0]


def test_labels_come_back_as_they_were_put():
    x, y = np.random.default_rng(0).random((5, 2, 3)), np.array([0, 3, -1, 2, 3])
    v = with_labels(x, y, 4)
    assert v.shape == (5, 10) and v.dtype == float
    np.testing.assert_array_equal(np.isnan(v).sum(1), [0, 0, 4, 0, 0])
    np.testing.assert_array_equal(np.nansum(v[:, 6:], 1), y >= 0)
    back = without_labels(v, 4)
    np.testing.assert_array_equal(back[0], x.reshape(5, 6))
    np.testing.assert_array_equal(back[1], y)
    assert with_labels(np.ones((5, 2), int), y, 4).dtype == np.float32


@pytest.mark.parametrize(
    ("y", "num_classes", "message"),
    [
        ([0, 1], 3, r"got shape \(2,\) for x of shape \(3, 2\)"),
        ([0, 1, 3], 3, r"0 to 2, or -1 .* and 1 others"),
        ([0, 1, 0.5], 3, "and 1 others"),
        ([0, 1, -2], 3, "and 1 others"),
        ([0, 0, 0], 1, "num_classes must be an integer of 2 or more"),
    ],
)
def test_what_is_no_label_is_refused(y, num_classes, message):
    with pytest.raises(ValueError, match=message):
        with_labels(np.zeros((3, 2)), y, num_classes)


def test_a_layer_without_a_label_is_refused():
    for layer in (
        Binary(3),
        Potts(1, 3),
        Mixed([Potts(1, 3), Binary(3)]),
        Mixed([Binary(1), Potts(2, 3)]),
    ):
        rbm = RBM(layer, Binary(2), discriminative=0.5)
        with pytest.raises(ValueError, match="one Potts unit, the last of the visible ones"):
            log_p_label(rbm, np.zeros((1, 3)))
        with pytest.raises(ValueError, match="one Potts unit, the last of the visible ones"):
            rbm.fit(layer.sample(np.zeros((5, layer.size), "float32"), seed=0), verbose=0)
    rbm = labelled()
    with pytest.raises(ValueError, match=r"give v\[:, :-3\]"):
        log_p_label(rbm, np.zeros((2, 6)))
    with pytest.raises(ValueError, match=r"v must have shape \(num, 3\)"):
        log_p_label(rbm, np.zeros((2, 5)))
    with pytest.raises(ValueError, match="more than 3 columns"):
        without_labels(np.zeros((2, 3)), 3)
    with pytest.raises(ValueError, match=r"discriminative must be from 0 to 1; got 1\.5"):
        BernoulliRBM(3, 2, discriminative=1.5)


@pytest.mark.long
def test_a_model_that_tells_labels_saves_and_loads(tmp_path):
    rbm = RBM(Mixed([Binary(2), Potts(1, 3)]), Binary(2), discriminative=0.5, missing_steps=3)
    rbm.save(tmp_path / "rbm.keras")
    loaded = keras.models.load_model(tmp_path / "rbm.keras")
    assert (loaded.discriminative, loaded.missing_steps) == (0.5, 3)
    v = np.eye(2)
    np.testing.assert_array_equal(log_p_label(loaded, v), log_p_label(rbm, v))
    assert enumeration.log_z(loaded) == enumeration.log_z(rbm)
