"""ln q(z|x) comes from the noise that was drawn; each kind of draws has the gradient it names."""

import math

import keras
import numpy as np
import pytest
from autodiff import jacobian
from keras import ops

from vae_keras.layers import BernoulliSampling, CategoricalSampling, GaussianSampling
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.objectives import (
    ELBO,
    IWAE,
    DoublyReparameterizedIWAE,
    ThermodynamicObjective,
)
from vae_keras.parts import Gaussian, Latents, RelaxedBernoulli, RelaxedCategorical
from vae_keras.vae import VAE

NARROW = [(3.0, -20.0), (30.0, -24.0), (300.0, -24.0), (30.0, -200.0)]  # mean and log_var
SCALE = np.array([[0.3], [2.0]], "float32")  # of the path of each draw


def constant_vae(mean, log_var, **options):
    """A VAE whose q(z|x) is N(mean, exp(log_var)) in 2 latent variables for every x."""
    keras.utils.set_random_seed(0)
    encoder = dense_encoder((6,), 2, hidden_units=())
    for name, value in (("mean", mean), ("log_var", log_var)):
        kernel, bias = encoder.get_layer(name).get_weights()
        encoder.get_layer(name).set_weights([0 * kernel, 0 * bias + value])
    return VAE(encoder, dense_decoder((6,), 2), **options)


def numbers(x):
    return ops.convert_to_numpy(ops.stop_gradient(x)).astype(float)


@pytest.mark.parametrize(("mean", "log_var"), NARROW)
def test_density_of_a_narrow_posterior_is_exact(mean, log_var):
    x = np.zeros((3, 6), "float32")
    vae = constant_vae(mean, log_var, objective=IWAE(50), seed=0)
    (block,) = vae.blocks_of_draws(x, 50, seed=0)
    noise = numbers(keras.random.normal((50, 3, 2), seed=keras.random.SeedGenerator(0)))
    trained = vae.draws(ops.convert_to_tensor(x), training=True)
    for draws in (block, trained):
        exact = -0.5 * np.sum(noise**2 + log_var + math.log(2 * math.pi), -1)
        np.testing.assert_allclose(numbers(draws.log_posterior), exact, rtol=1e-5)
        for same in (draws.fixed(), draws.along_path(ops.ones((50, 3)))):
            np.testing.assert_array_equal(numbers(same.log_posterior), numbers(draws.log_posterior))
            np.testing.assert_array_equal(numbers(same.z), numbers(draws.z))


@pytest.mark.long
@pytest.mark.grid
@pytest.mark.parametrize("mean_and_log_var", NARROW[1::2])
@pytest.mark.parametrize(
    "objective",
    [ELBO(), IWAE(5), DoublyReparameterizedIWAE(5), ThermodynamicObjective(5)],
    ids=lambda objective: objective.name,
)
def test_narrow_posterior_trains_with_finite_numbers(objective, mean_and_log_var):
    x = (np.random.default_rng(0).random((40, 6)) < 0.3).astype("float32")
    vae = constant_vae(*mean_and_log_var, objective=objective, seed=0)
    history = vae.fit(x, epochs=3, batch_size=10, verbose=0).history["loss"]
    assert np.all(np.isfinite(history))
    for weight in vae.weights:
        assert np.all(np.isfinite(numbers(weight)))
    assert np.all(np.isfinite(numbers(vae.log_weights(x, 3, seed=0))))


def log_posterior_of(parameters, kind):
    """ln q of two draws of one example as a function of its mean and log_var, and the noise."""
    noise = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(2, 1, 3)), "float32")
    mean, log_var = parameters[:1], parameters[1:]
    latents = Latents(lambda x: (mean, log_var), lambda z: z)
    draws = latents.draws(ops.zeros((1, 3)), 2, noise=ops.reshape(noise, (2, 3)))
    if kind == "fixed":
        draws = draws.fixed()
    elif kind == "along_path":
        draws = draws.along_path(ops.convert_to_tensor(SCALE))
    return draws.log_posterior, noise


@pytest.mark.parametrize("kind", ["pathwise", "fixed", "along_path"])
def test_gradients_of_the_density_are_those_of_its_formula(kind):
    parameters = np.array([[0.5, -1.0, 30.0], [0.3, -2.0, -12.0]], "float32")
    by_parameters = jacobian(lambda p: log_posterior_of(p, kind)[0], parameters)[:, 0]  # (2, 2, 3)
    eps = numbers(log_posterior_of(ops.convert_to_tensor(parameters), kind)[1])[:, 0]
    sigma = np.exp(parameters[1].astype(float) / 2)
    if kind == "pathwise":  # ln q = -sum(eps^2 + log_var + ln 2 pi) / 2
        by_mean, by_log_var = 0 * eps, 0 * eps - 0.5
    elif kind == "fixed":
        by_mean, by_log_var = eps / sigma, (eps**2 - 1) / 2
    else:  # d ln q / dz = -eps / sigma, dz / dmean = 1 and dz / dlog_var = sigma eps / 2
        by_mean, by_log_var = -SCALE * eps / sigma, -SCALE * eps**2 / 2
    expected = np.stack([by_mean, by_log_var], 1)
    np.testing.assert_allclose(by_parameters, expected, rtol=1e-5, atol=1e-5)


SAMPLING = [
    (GaussianSampling(temperature=0.0, seed=0), Gaussian(temperature=0.0)),
    (GaussianSampling(temperature=0.25, seed=0), Gaussian(temperature=0.25)),
    (GaussianSampling(seed=0), Gaussian()),
    (BernoulliSampling(0.3, seed=0), RelaxedBernoulli(0.3)),
    (CategoricalSampling(0.3, seed=0), RelaxedCategorical(3, 0.3)),
]


@pytest.mark.parametrize(("layer", "part"), SAMPLING)
def test_a_sampling_layer_draws_what_its_part_draws(layer, part):
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    first, second = map(ops.convert_to_tensor, x)
    statistics = (first, second) if isinstance(part, Gaussian) else first
    noise = part.noise(statistics, 4, keras.random.SeedGenerator(0))
    z = part.emit(part.draw(statistics, noise)[0])
    np.testing.assert_allclose(numbers(layer(statistics)), numbers(z), rtol=1e-5, atol=1e-7)
    mean = layer(statistics, deterministic=True)
    np.testing.assert_array_equal(numbers(mean), numbers(part.mean(statistics)))
