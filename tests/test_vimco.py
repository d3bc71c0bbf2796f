"""VIMCO against sums over all tuples of states; run it with KERAS_BACKEND=jax or torch, too."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from vae_keras.objectives import IWAE, VIMCO
from vae_keras.parts import Bernoulli, Categorical, Draws, Latents, Own
from vae_keras.parts.autodiff import gradients

RNG = np.random.default_rng(5)
X = np.array([1.0, 0.0, 1.0])
LOADINGS, OFFSET = RNG.normal(size=(6, 3)) * 2, RNG.normal(size=3)
NUM = 3  # draws for each example
# A part, its states, and logits of one row of q and of the prior.
BITS = (
    Bernoulli(),
    np.array(list(itertools.product([0.0, 1.0], repeat=2))),
    RNG.normal(size=(1, 2)),
    RNG.normal(size=2),
)
CLASSES = Categorical(3), np.arange(3)[:, None], RNG.normal(size=(1, 1, 3)), RNG.normal(size=(1, 3))


class Reinforce(IWAE):
    """The score-function gradient without a baseline."""

    def call(self, draws):
        draws = draws.fixed()
        loss = super().call(draws)
        score = ops.sum(draws.log_posterior, axis=0)
        return loss + ops.stop_gradient(loss) * (score - ops.stop_gradient(score))


def tensor(x, dtype="float32"):
    return ops.convert_to_tensor(np.asarray(x, dtype))


def log_softmax(logits):
    return logits - np.log(np.sum(np.exp(logits), -1, keepdims=True))


def log_p(part, logits, states):
    """ln p of each state, (states,), by numpy."""
    if isinstance(part, Bernoulli):
        return np.sum(states * logits - np.logaddexp(0, logits), -1)
    return log_softmax(logits).reshape(-1)[states[:, 0]]


def emitted(part, states):
    return states if isinstance(part, Bernoulli) else np.eye(3)[states[:, 0]]


def exact_bound(setting, logits, offset):
    """The mean of ln (w_1 + .. + w_K) / K over all tuples of states, float64."""
    part, states, _, prior_logits = setting
    seen = emitted(part, states)
    pixels = seen @ LOADINGS[: seen.shape[1]] + offset
    log_likelihood = np.sum(X * pixels - np.logaddexp(0, pixels), -1)
    log_q = log_p(part, logits, states)
    log_w = log_likelihood + log_p(part, prior_logits, states) - log_q
    tuples = np.array(list(itertools.product(range(len(states)), repeat=NUM)))
    values = np.log(np.mean(np.exp(log_w[tuples]), -1))
    return np.exp(log_q[tuples].sum(-1)) @ values


def derivative(function, x, step=1e-5):
    found = np.zeros(x.size)
    for i in range(x.size):
        move = np.zeros(x.size)
        move[i] = step
        moved = move.reshape(x.shape)
        found[i] = (function(x + moved) - function(x - moved)) / (2 * step)
    return found


def of_all_tuples(setting, objective):
    """Gradients of the loss by q's logits for each tuple, (tuples, ..), and their probabilities."""
    part, states, logits, prior_logits = setting
    tuples = np.array(list(itertools.product(range(len(states)), repeat=NUM)))
    log_q = log_p(part, logits, states)[tuples]  # (tuples, draws)
    dtype = "float32" if isinstance(part, Bernoulli) else "int32"
    value = tensor(np.concatenate(states[tuples.T]), dtype)  # (draws * tuples, ..)
    x = tensor(np.repeat(X[None], len(tuples), 0))
    prior = Own(part, states.shape[1:])
    prior.values[0].assign(prior_logits)
    width = emitted(part, states).shape[1]

    def losses(leaves):
        kernel = tensor(LOADINGS[:width])

        def decoder(z):
            return ops.reshape(z, (-1, width)) @ kernel + ops.tile(leaves[1], (NUM, 1))

        latents = Latents(lambda x: leaves[0], decoder, posterior=part, prior=prior)
        many = ops.tile(leaves[0], (NUM, *(1,) * (logits.ndim - 1)))
        draws = Draws(latents, x, leaves[0], value, part.log_prob(many, value), NUM)
        return ops.sum(objective.call(draws))

    leaves = [tensor(np.repeat(a, len(tuples), 0)) for a in (logits, OFFSET[None])]
    found = gradients(losses, leaves)
    return [g.reshape(len(tuples), -1).astype(float) for g in found], np.exp(log_q.sum(-1))


@pytest.mark.parametrize("setting", [BITS, CLASSES], ids=["Bernoulli", "Categorical"])
def test_the_mean_gradient_over_all_tuples_is_that_of_the_bound(setting):
    (by_logits, by_offset), mass = of_all_tuples(setting, VIMCO(NUM))
    logits = setting[2]
    expected = -derivative(lambda q: exact_bound(setting, q, OFFSET), logits)
    np.testing.assert_allclose(mass @ by_logits, expected, atol=1e-5)
    expected = -derivative(lambda offset: exact_bound(setting, logits, offset), OFFSET)
    np.testing.assert_allclose(mass @ by_offset, expected, atol=1e-5)


@pytest.mark.parametrize("setting", [BITS, CLASSES], ids=["Bernoulli", "Categorical"])
def test_the_baselines_take_most_of_the_exact_variance(setting):
    variances = {}
    for objective in (VIMCO(NUM), Reinforce(NUM)):
        (by_logits, _), mass = of_all_tuples(setting, objective)
        mean = mass @ by_logits
        variances[type(objective)] = np.sum(mass @ (by_logits - mean) ** 2)
    assert variances[VIMCO] < 0.3 * variances[Reinforce]


def test_the_loss_is_that_of_iwae_for_the_same_draws():
    latents = Latents(
        lambda x: tensor(BITS[2]), lambda z: z @ tensor(LOADINGS[:2]), posterior=BITS[0]
    )
    draws = latents.draws(X[None], 5, seed=0)
    np.testing.assert_allclose(VIMCO(5).call(draws), IWAE(5).call(draws), rtol=1e-6)


def test_weights_far_apart_keep_their_digits():
    """One draw of weight e^200 times the others'; the baseline without it is far below."""

    class Far:
        log_weights = tensor([[-900.0], [-700.0], [-901.0]])
        log_posterior = tensor([[0.0], [0.0], [0.0]])

        def fixed(self):
            return self

    without = ops.convert_to_numpy(VIMCO(3)._without_each(Far.log_weights))[:, 0]
    others = np.array([[-700, -901, -800.5], [-900, -901, -900.5], [-900, -700, -800.0]])
    expected = np.log(3) - np.logaddexp.reduce(others, axis=1)
    np.testing.assert_allclose(without, expected, rtol=1e-6)
    assert np.isfinite(ops.convert_to_numpy(VIMCO(3).call(Far())))[0]


def test_one_draw_has_no_others():
    with pytest.raises(ValueError, match="num_samples must be an integer of 2 or more"):
        VIMCO(1)


def test_it_comes_back_from_its_configuration():
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(VIMCO(7)))
    assert isinstance(copy, VIMCO) and copy.num_samples == 7
