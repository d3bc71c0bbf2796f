"""Penalties on the kernel, and clipping of the gradient's norm, by Keras's own means."""

import keras
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import tensorflow as tf
from test_free_energy_gap import GivenStates

from rbm_tf.datasets import bars_and_stripes
from rbm_tf.rbm import RBM, BernoulliRBM
from rbm_tf.training.coordinates import GRADIENTS
from rbm_tf.training.negative_phase import ExactPhase
from rbm_tf.training.penalties import SquaredL1
from rbm_tf.units import Binary, Gaussian, Potts, ReLU

PENALTIES = {
    "l1": (keras.regularizers.L1(0.1), lambda w: 0.1 * np.abs(w).sum()),
    "l2": (keras.regularizers.L2(0.1), lambda w: 0.1 * (w**2).sum()),
    "squared": (SquaredL1(0.1), lambda w: 0.1 * (np.abs(w).sum(0) ** 2).sum()),
}


def plain_gradients(rbm, data):
    with tf.GradientTape() as tape:
        loss = rbm.compute_loss(tf.constant(data), training=False)
    variables = [variable.value for variable in rbm.trainable_variables]
    return float(loss), [g.numpy() for g in tape.gradient(loss, variables)]


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_joins_the_loss_with_its_slope(random_rbm, name):
    penalty, value = PENALTIES[name]
    data = np.random.default_rng(1).integers(2, size=(4, 5)) * 1.0
    options = {"negative_phase": ExactPhase(seed=0), "gradient": "plain"}
    free, free_gradients = plain_gradients(random_rbm(5, 3, **options), data)
    rbm = random_rbm(5, 3, kernel_regularizer=penalty, **options)
    loss, gradients = plain_gradients(rbm, data)
    w, step = rbm.kernel.numpy(), 1e-6
    assert [float(x) for x in rbm.losses] == [pytest.approx(value(w), rel=1e-6)]  # L1 is float32
    assert loss - free == pytest.approx(value(w), rel=1e-6)
    slope = np.zeros_like(w)
    for index in np.ndindex(w.shape):
        moved = step * (np.arange(w.size).reshape(w.shape) == np.ravel_multi_index(index, w.shape))
        slope[index] = (value(w + moved) - value(w - moved)) / (2 * step)
    np.testing.assert_allclose(gradients[0] - free_gradients[0], slope, atol=1e-8)
    for found, expected in zip(gradients[1:], free_gradients[1:], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-14)


def optimum(x, factor):
    """W, a and b of unit Gaussian and Potts(1, 2) units where likelihood and L2 penalty are best.

    p(v) is a mixture of normal densities with means a + W_k and weights p_k, whose logarithms are
    b_k + |a + W_k|^2/2 but for a constant.
    """

    def parts(flat):
        return flat[:6].reshape(3, 2), flat[6:9], flat[9:]

    def loss_and_slope(flat):
        w, a, b = parts(flat)
        means = a[:, None] + w  # (3, 2)
        logits, fields = b + (means**2).sum(0) / 2, b + x @ w
        p, of_x = scipy.special.softmax(logits), scipy.special.softmax(fields, 1)
        log_p = x @ a + scipy.special.logsumexp(fields, 1) - scipy.special.logsumexp(logits)
        slopes = means * p - x.T @ of_x / len(x) + 2 * factor * w, means @ p - x.mean(0)
        flat_slope = np.concatenate([*map(np.ravel, slopes), p - of_x.mean(0)])
        return factor * (w**2).sum() - log_p.mean(), flat_slope

    start = np.random.default_rng(0).normal(0, 0.5, 11)
    return parts(scipy.optimize.minimize(loss_and_slope, start, jac=True, tol=1e-10).x)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_training_stays_where_the_slope_of_likelihood_and_penalty_vanishes(gradient):
    x = np.random.default_rng(0).normal([2.0, -1.0, 0.0], 1.0, (40, 3))
    x[:, 2] += x[:, 0] - 2.0
    best = optimum(x, 0.0625)
    options = {"kernel_regularizer": keras.regularizers.L2(0.0625), "dtype": "float64"}
    layers = Gaussian(3), Potts(1, 2)
    rbm = RBM(*layers, negative_phase=ExactPhase(), gradient=gradient, seed=0, **options)
    rbm.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    rbm.adapt(x)
    for variable, value in zip(rbm.trainable_variables, best, strict=True):
        variable.assign(value)
    rbm.train_on_batch(x)
    for variable, value in zip(rbm.trainable_variables, best, strict=True):
        np.testing.assert_allclose(variable, value, atol=1e-7)
    assert np.abs(best[0]).max() > 0.1


@pytest.mark.long
def test_training_arrives_where_the_slope_of_likelihood_and_penalty_vanishes():
    x = np.random.default_rng(0).normal([2.0, -1.0, 0.0], 1.0, (40, 3))
    x[:, 2] += x[:, 0] - 2.0
    options = {"negative_phase": ExactPhase(), "kernel_regularizer": "l2", "dtype": "float64"}
    rbm = RBM(Gaussian(3), Potts(1, 2), gradient="centered", seed=0, **options)
    rbm.kernel.assign(np.random.default_rng(0).normal(0, 0.5, (3, 2)))
    rbm.compile(keras.optimizers.SGD(0.3, momentum=0.9), steps_per_execution=100)
    rbm.fit(tf.data.Dataset.from_tensors(x).repeat(3000), verbose=0)
    rbm.gradient = "plain"
    _, slopes = plain_gradients(rbm, x)
    assert np.abs(rbm.kernel.numpy()).max() > 0.1
    for slope in slopes:
        np.testing.assert_allclose(slope, np.zeros_like(slope), atol=1e-7)


@pytest.mark.long
def test_squared_l1_leaves_each_hidden_unit_few_weights():
    x = bars_and_stripes(3)[0].reshape(-1, 9).astype("float32")
    shares = []
    for penalty in (None, SquaredL1(3e-3)):
        rbm = BernoulliRBM(9, 6, negative_phase=ExactPhase(), kernel_regularizer=penalty, seed=0)
        rbm.compile(keras.optimizers.SGD(0.3, momentum=0.5), steps_per_execution=20)
        rbm.fit(tf.data.Dataset.from_tensors(x).repeat(500), verbose=0)
        w = np.abs(rbm.kernel.numpy())
        shares.append((w < 0.05 * w.max(0)).mean())
    assert shares[1] > shares[0] + 0.1


def test_penalties_are_saved_with_the_model(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    for penalty in (SquaredL1(0.1), keras.regularizers.L1L2(0.125, 0.25)):
        rbm = RBM(Gaussian(3), Binary(2), kernel_regularizer=penalty, seed=0)
        rbm.run_eagerly = True
        rbm.fit(x, verbose=0)
        rbm.save(tmp_path / "rbm.keras")
        loaded = keras.models.load_model(tmp_path / "rbm.keras")
        loaded.run_eagerly = True
        assert loaded.kernel_regularizer.get_config() == penalty.get_config()
        assert loaded.evaluate(x, verbose=0) == rbm.evaluate(x, verbose=0)
    with pytest.raises(ValueError, match="factor must be 0 or more; got -1"):
        SquaredL1(-1)


@pytest.mark.grid
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_clipping_bounds_the_norm_of_the_step_and_keeps_its_direction(gradient):
    rng = np.random.default_rng(0)
    phase = GivenStates(10 * rng.normal(size=(9, 3)))  # chains that went astray
    data, steps = rng.normal(size=(6, 3)), []
    for clip in (None, 0.5):
        rbm = RBM(
            *(Gaussian(3), ReLU(2)),
            negative_phase=phase,
            gradient=gradient,
            unit_rate=0.1,
            seed=0,
            dtype="float64",
        )
        rbm.compile(keras.optimizers.SGD(0.1, global_clipnorm=clip), run_eagerly=True)
        before = [x.numpy() for x in rbm.trainable_variables]
        rbm.train_on_batch(data)
        after = [x.numpy() for x in rbm.trainable_variables]
        moved = [(b - a).ravel() for a, b in zip(before, after, strict=True)]
        steps.append(np.concatenate(moved))
    free, clipped = steps
    assert np.linalg.norm(free) > 0.1
    assert np.linalg.norm(clipped) == pytest.approx(0.1 * 0.5, rel=1e-6)  # a float32 rate
    np.testing.assert_allclose(clipped / np.linalg.norm(clipped), free / np.linalg.norm(free))
