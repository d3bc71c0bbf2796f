"""Maximum mean discrepancy and InfoVAE against closed forms of Gaussians.

Run it with KERAS_BACKEND=jax or torch, too.
"""

import keras
import numpy as np
import pytest
from keras import ops

from vae_keras.objectives import ELBO, InfoVAE, mmd_terms
from vae_keras.parts import Chain, Gaussian, Latents, Own, RelaxedBernoulli
from vae_keras.parts.autodiff import gradients

RNG = np.random.default_rng(7)
numpy = ops.convert_to_numpy


def tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))


def mean_kernel(mean, var, unit):
    """<exp(-|d|^2 / unit)> of d ~ N(mean, diag(var)), from 1-D integrals."""
    spread = 1 + 2 * var / unit
    return np.prod(np.exp(-(mean**2) / unit / spread) / spread**0.5, -1)


def exact_mmd(mean, var, other_mean, other_var, scale=1.0):
    """MMD^2 of two Gaussians with independent entries under the RBF kernel."""
    unit = 2 * len(mean) * scale**2
    cross = mean_kernel(mean - other_mean, var + other_var, unit)
    zero = np.zeros_like(mean)
    return mean_kernel(zero, 2 * var, unit) + mean_kernel(zero, 2 * other_var, unit) - 2 * cross


def average_kernel(unit, dim=2):
    """<1 / (1 + |d|^2 / unit)> of d ~ N(0, 2 I) in two dimensions: |d|^2 / 4 is exponential."""
    t = np.linspace(0, 60, 600_001)
    integrand = np.exp(-t) / (1 + 4 * t / unit)
    return np.sum((integrand[1:] + integrand[:-1]) / 2) * (t[1] - t[0])


@pytest.mark.parametrize("scale", [0.7, 1.5])
def test_the_statistic_has_the_mean_of_the_closed_form(scale):
    mean, var = np.array([0.8, -0.3]), np.array([0.5, 1.6])
    sets, num = 4000, 6
    z = tensor(mean + var**0.5 * RNG.normal(size=(sets, num, 2)))
    other = tensor(RNG.normal(size=(sets, num, 2)))
    found = numpy(ops.mean(mmd_terms(z, other, kernel="rbf", scale=scale), axis=-1))
    exact = exact_mmd(mean, var, np.zeros(2), np.ones(2), scale)
    error = found.std() / sets**0.5
    assert abs(found.mean() - exact) < 5 * error and error < 0.1 * exact


@pytest.mark.parametrize("kernel", ["rbf", "inverse_multiquadric"])
def test_the_statistic_of_equal_distributions_is_zero_on_average(kernel):
    z, other = (tensor(RNG.normal(size=(4000, 5, 2))) for _ in range(2))
    found = numpy(ops.mean(mmd_terms(z, other, kernel=kernel), axis=-1))
    error = found.std() / 4000**0.5
    assert abs(found.mean()) < 5 * error and error < 3e-3
    assert np.min(found) < 0  # as no biased one is


def test_the_inverse_multiquadric_kernel_has_the_mean_of_its_integral():
    """z ~ N(0, I) against a point far away, whose kernel with z is nothing: 1 + <k(z, z')>."""
    z = tensor(RNG.normal(size=(4000, 4, 2)))
    other = ops.zeros_like(z) + 1e4
    found = numpy(ops.mean(mmd_terms(z, other), axis=-1))
    error = found.std() / 4000**0.5
    assert abs(found.mean() - 1 - average_kernel(unit=4)) < 5 * error and error < 5e-3


def model(mean, log_var, **parts):
    """The statistics of each example as they are, and a decoder that says nothing of z."""
    return Latents(
        lambda x: (mean, log_var), lambda z: 0 * z, likelihood=Gaussian(scale=1.0), **parts
    )


@pytest.mark.long
def test_the_gradient_is_that_of_the_closed_form():
    """All examples have one posterior, so that q(z) is that Gaussian."""
    mean, log_var = np.array([0.8, -0.3]), np.array([-0.4, 0.3])
    objective, num, batch = InfoVAE(1.0, lambda_=2.0, kernel="rbf", seed=0), 80, 100
    x = np.zeros((batch, 2), "float32")

    def loss(pair, seed):
        alike = [ops.broadcast_to(a[None], (batch, 2)) for a in pair]
        return ops.mean(objective.call(model(*alike).draws(x, 1, seed=seed, training=True)))

    pair = [tensor(mean), tensor(log_var)]
    found = np.array(
        [np.concatenate(gradients(lambda p, s=s: loss(p, s), pair)) for s in range(num)]
    )

    def exact(both):
        return 2 * exact_mmd(both[:2], np.exp(both[2:]), np.zeros(2), np.ones(2))

    both, steps = np.concatenate([mean, log_var]), np.eye(4) * 1e-5
    expected = np.array([(exact(both + d) - exact(both - d)) / 2e-5 for d in steps])
    error = found.std(0) / num**0.5
    assert np.all(np.abs(found.mean(0) - expected) < 5 * error)
    assert np.all(error < 0.25 * np.abs(expected).max())


@pytest.mark.long
def test_a_learned_prior_follows_the_aggregate_posterior():
    prior, batch, num = Own(Gaussian(), (2,)), 100, 80
    mean = np.array([0.8, -0.3])
    alike = [ops.broadcast_to(tensor(a)[None], (batch, 2)) for a in (mean, np.zeros(2))]
    x = np.zeros((batch, 2), "float32")

    def loss(values, seed):
        objective = InfoVAE(1.0, lambda_=2.0, kernel="rbf", seed=seed + num)
        with keras.StatelessScope(list(zip(prior.values, values, strict=True))):
            draws = model(*alike, prior=prior).draws(x, 1, seed=seed, training=False)
            return ops.mean(objective.call(draws))

    values = [tensor(np.zeros(2)), tensor(np.zeros(2))]
    found = np.array([gradients(lambda v, s=s: loss(v, s), values)[0] for s in range(num)])

    def exact(prior_mean):
        return 2 * exact_mmd(mean, np.ones(2), prior_mean, np.ones(2))

    expected = np.array([(exact(d) - exact(-d)) / 2e-5 for d in np.eye(2) * 1e-5])
    error = found.std(0) / num**0.5
    assert np.all(np.abs(found.mean(0) - expected) < 5 * error)
    assert np.all(error < 0.25 * np.abs(expected).max())


def test_the_loss_adds_up_to_its_parts_and_no_example_counts_twice():
    x = RNG.normal(size=(7, 2)).astype("float32")
    latents = model(tensor(x), tensor(0 * x - 1))
    draws = latents.draws(x, 3, seed=0, training=False)
    parts = {}
    for alpha, lambda_ in ((0.0, 1.0), (1.0, 1.0), (0.5, 4.0)):
        objective = InfoVAE(alpha, lambda_=lambda_, num_samples=3)
        parts[alpha, lambda_] = numpy(objective.call(draws))
    np.testing.assert_allclose(parts[0.0, 1.0], ELBO().call(draws))
    prior = Gaussian().noise(draws.prior_statistics, 21, 0)  # of N(0, I), in evaluation
    z, prior = (numpy(a).reshape(3, 7, 2) for a in (draws.value, prior))

    def kernel(a, b):
        return 1 / (1 + np.sum((a - b) ** 2) / 4)

    value = 0.0
    for k in range(3):
        for n in range(7):
            for m in set(range(7)) - {n}:
                a, b, c, d = z[k, n], z[k, m], prior[k, n], prior[k, m]
                value += (kernel(a, b) + kernel(c, d) - kernel(a, d) - kernel(b, c)) / 42 / 3
    found = parts[0.5, 4.0] - numpy(draws.reconstruction) - 0.5 * numpy(draws.kl)
    assert np.mean(found) == pytest.approx(3.5 * value, rel=1e-4)


def test_draws_of_the_prior_are_new_in_training_and_the_same_in_evaluation():
    x = np.zeros((5, 2), "float32")
    objective = InfoVAE(seed=3)
    for training, alike in ((True, False), (None, False), (False, True)):
        draws = model(tensor(x), tensor(x)).draws(x, 1, seed=0, training=training)
        first, second = (numpy(objective.call(draws)) for _ in range(2))
        assert np.array_equal(first, second) == alike


def test_a_deterministic_encoder_is_a_wasserstein_autoencoder():
    x = RNG.normal(size=(6, 2)).astype("float32")
    latents = model(tensor(x), tensor(x), posterior=Gaussian(temperature=0.0))
    draws = latents.draws(x, 1, seed=0)
    assert np.all(np.isfinite(numpy(InfoVAE().call(draws))))


def test_it_takes_what_networks_see_of_several_latents():
    parts = {"a": Gaussian(), "b": RelaxedBernoulli()}
    pair, logits = (tensor(np.zeros((4, 2))),) * 2, tensor(np.zeros((4, 3)))
    latents = Latents(
        lambda x: {"a": pair, "b": logits},
        lambda given: ops.concatenate([given["a"], given["b"]], axis=1),
        posterior=Chain(parts),
    )
    draws = latents.draws(np.ones((4, 5), "float32"), 2, seed=0)
    objective = InfoVAE(num_samples=2, seed=0)
    seen = objective._vectors(draws, draws.value)
    assert tuple(seen.shape) == (2, 4, 5)
    assert tuple(objective.call(draws).shape) == (4,)
    bits = numpy(seen)[..., 2:]
    assert np.all((bits > 0) & (bits < 1))


def test_a_batch_of_one_has_no_pair():
    x = np.ones((1, 2), "float32")
    draws = model(tensor(x), tensor(x)).draws(x, 1, seed=0)
    np.testing.assert_allclose(InfoVAE().call(draws), draws.reconstruction)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "must be 0 or above and finite; got alpha 1.5"),
        ({"alpha": 0.0, "lambda_": 0.5}, "lambda_ 0.5"),
        ({"kernel": "cosine"}, "'rbf' or 'inverse_multiquadric'"),
        ({"scale": 0.0}, "scale above 0"),
    ],
)
def test_options_without_meaning_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        InfoVAE(**options)


def test_it_comes_back_from_its_configuration():
    objective = InfoVAE(0.25, lambda_=7.0, num_samples=2, kernel="rbf", scale=0.5, seed=4)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(objective))
    assert copy.get_config() == objective.get_config()
