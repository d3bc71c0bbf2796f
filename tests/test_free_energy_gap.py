import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.machine import hidden_input
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.training.negative_phase import (
    ContrastiveDivergence,
    ModelStates,
)


class GivenStates(ContrastiveDivergence):
    """Given visible states in place of the chains'; it keeps what it sees of the data."""

    def __init__(self, states):
        super().__init__(seed=0)
        self.states, self.seen = states, []

    def call(self, data_hidden_input, machine, training):
        self.next_seed(training)
        self.seen.append(data_hidden_input)
        v = tf.constant(self.states, data_hidden_input.dtype)
        return ModelStates.of(machine, v, hidden_input(machine, v))


def gap_gradients(rbm, data):
    """The mean gap and the gradients that `fit` uses."""
    variables = [rbm.kernel, rbm.visible_bias, rbm.hidden_bias]
    with tf.GradientTape() as tape:
        loss = rbm.compute_loss(tf.constant(data), training=False)
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    return float(loss), [gradient.numpy() for gradient in gradients]


def test_plain_gap_gradient_equals_autodiff_of_the_free_energies(random_rbm):  # B10
    rng = np.random.default_rng(1)
    data, model_states = rng.integers(2, size=(4, 5)) * 1.0, rng.integers(2, size=(7, 5)) * 1.0
    rbm = random_rbm(5, 3, negative_phase=GivenStates(model_states), gradient="plain")
    loss, gradients = gap_gradients(rbm, data)
    variables = [rbm.kernel.value, rbm.visible_bias.value, rbm.hidden_bias.value]
    with tf.GradientTape() as tape:
        expected = tf.reduce_mean(rbm.free_energy(data)) - tf.reduce_mean(
            rbm.free_energy(model_states)
        )
    assert loss == pytest.approx(float(expected), rel=1e-12)
    for gradient, by_autodiff in zip(gradients, tape.gradient(expected, variables), strict=True):
        np.testing.assert_allclose(gradient, by_autodiff, rtol=1e-10, atol=1e-12)


def test_centred_gradient_is_the_plain_gradient_of_centred_parameters(random_rbm):
    # E = -(v - mu).a' - (h - lambda).b' - (v - mu) W (h - lambda) with a' = a + W lambda and
    # b' = b + W^T mu; a step in (W, a', b') moves a by da' - dW lambda, b by db' - dW^T mu.
    rng = np.random.default_rng(1)
    data, model_states = rng.integers(2, size=(4, 5)) * 1.0, rng.integers(2, size=(7, 5)) * 1.0
    rbm = random_rbm(5, 3, negative_phase=GivenStates(model_states))
    mu, lam = np.full(5, 0.3), np.array([0.2, 0.5, 0.6])
    rbm.visible_offset.assign(mu)
    rbm.hidden_offset.assign(lam)

    def averages(v):
        h = rbm.hidden_mean(v).numpy()
        return (v - mu).T @ (h - lam) / len(v), v.mean(0) - mu, h.mean(0) - lam

    kernel_step, visible_step, hidden_step = (
        model - real for model, real in zip(averages(model_states), averages(data), strict=True)
    )
    expected = kernel_step, visible_step - kernel_step @ lam, hidden_step - kernel_step.T @ mu
    _, gradients = gap_gradients(rbm, data)
    for gradient, value in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, value, rtol=1e-10, atol=1e-12)


def test_resampling_draws_grey_levels_anew_with_the_right_mean():
    x = np.full((2000, 6), 0.3, "float32")
    parameters = np.eye(6), np.zeros(6), np.zeros(6)  # hidden inputs are the visible states
    phase = GivenStates(np.zeros((1, 6)))
    rbm = BernoulliRBM.from_parameters(*parameters, negative_phase=phase, seed=0, resample=True)
    for _ in range(2):
        rbm.compute_loss(tf.constant(x), training=True)
    seen = np.array(phase.seen)
    assert set(np.unique(seen)) == {0, 1}
    assert np.any(seen[0] != seen[1])
    assert np.all(np.abs(seen[0].mean(0) - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 2000))
