import keras
import numpy as np
import pytest
import tensorflow as tf
from linear_gaussian import LinearGaussian

from vae_keras import evidence
from vae_keras.networks import conv_decoder, conv_encoder, dense_decoder, dense_encoder
from vae_keras.objectives import IWAE
from vae_keras.vae import VAE

MODEL = LinearGaussian()
TEMPERATURES = (0.0, 0.25, 1.0, 2.0)


@pytest.fixture
def x():
    return (np.random.default_rng(0).random((40, 8, 8)) < 0.3).astype("float32")


def test_at_temperature_zero_the_loss_is_that_of_an_autoencoder_with_a_code_penalty():  # B32
    vae = MODEL.vae(np.array([0.3, -0.4]), temperature=0.0)
    z = vae.encode(MODEL.x)[0]
    squares = np.sum((MODEL.x - vae.decode(z)) ** 2, -1) / MODEL.scale**2
    reconstruction = 0.5 * squares + 2.5 * np.log(2 * np.pi * MODEL.scale**2)
    expected = np.mean(reconstruction + 0.5 * np.sum(z**2, -1))
    assert [float(vae.compute_loss(MODEL.x)) for _ in range(2)] == pytest.approx([expected] * 2)


def test_at_temperature_one_the_loss_is_that_of_the_vae():
    losses = [MODEL.vae(seed=0, **t).compute_loss(MODEL.x) for t in ({}, {"temperature": 1.0})]
    assert float(losses[0]) == float(losses[1])


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_distortion_of_the_best_posterior_grows_linearly_with_temperature(temperature):
    # exp(-E / T) of a Gaussian has T times the covariance: the encoder of T = 1 is best at every T
    vae = MODEL.vae(temperature=temperature, seed=0)
    num = 4000
    draws = vae.draws(tf.constant(np.repeat(MODEL.x[:1], num, 0)), training=False)
    mean = np.asarray(vae.encode(MODEL.x[:1])[0][0])
    residual = MODEL.x[0] - MODEL.offset - mean @ MODEL.loadings.T
    constant = 2.5 * np.log(2 * np.pi * MODEL.scale**2)
    noise = np.sum(MODEL.loadings**2 / MODEL.precision) * temperature
    exact = 0.5 * (np.sum(residual**2) + noise) / MODEL.scale**2 + constant
    distortion = draws.reconstruction.numpy()
    assert abs(distortion.mean() - exact) < 5 * distortion.std() / np.sqrt(num) + 1e-5


@pytest.mark.grid
@pytest.mark.parametrize("temperature", TEMPERATURES[1:])
def test_exact_posterior_minimises_the_free_energy_at_every_temperature(temperature):
    vae = MODEL.vae(temperature=temperature, seed=1)
    weights = [w.value for w in vae.encoder.trainable_weights]
    values = []
    for _ in range(40):
        with tf.GradientTape() as tape:
            loss = vae.compute_loss(np.tile(MODEL.x, (10, 1)))
        values.append(np.concatenate([np.ravel(g) for g in tape.gradient(loss, weights)]))
    error = np.std(values, 0, ddof=1) / np.sqrt(len(values))
    assert np.all(np.abs(np.mean(values, 0)) < 5 * error + 1e-6)


@pytest.mark.long
def test_trained_rate_falls_and_distortion_grows_with_temperature(x):
    rates, distortions = [], []
    for temperature in (0.0, 0.2, 1.0):
        keras.utils.set_random_seed(0)
        networks = (
            dense_encoder((8, 8), 2, hidden_units=(16,)),
            dense_decoder((8, 8), 2, hidden_units=(16,)),
        )
        vae = VAE(*networks, temperature=temperature, seed=0)
        vae.compile(keras.optimizers.Adam(0.01))
        for _ in range(300):
            distortion = vae.train_on_batch(x, return_dict=True)["reconstruction"]
        mean, log_var = (np.asarray(a) for a in vae.encode(x))
        variance = temperature * np.exp(log_var)
        with np.errstate(divide="ignore"):  # at T = 0 the rate is infinite
            rate = 0.5 * np.sum(mean**2 + variance - 1 - np.log(variance), -1)
        distortions.append(distortion)
        rates.append(np.mean(rate))
    assert distortions == sorted(distortions)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.long
def test_convolutional_autoencoder_trains_and_loads_deterministic(tmp_path, x):
    vae = VAE(
        conv_encoder((8, 8), 4, filters=(4, 8)),
        conv_decoder((8, 8), 4, filters=(8, 4)),
        temperature=0.0,
    )
    before = vae.evaluate(x, verbose=0)
    vae.fit(x, epochs=5, verbose=0)
    vae.save(tmp_path / "autoencoder.keras")
    loaded = keras.models.load_model(tmp_path / "autoencoder.keras")
    assert loaded.evaluate(x, verbose=0) == vae.evaluate(x, verbose=0) < before


def test_log_weights_stay_unbiased_at_another_temperature():
    log_weights = tf.cast(MODEL.vae(temperature=1.5).log_weights(MODEL.x, 4000, seed=0), "float64")
    ratios = np.exp(log_weights - MODEL.log_p())
    assert np.std(log_weights) > 0.1
    assert np.all(np.abs(ratios.mean(0) - 1) < 5 * ratios.std(0) / np.sqrt(4000))
    assert np.all(evidence.elbo(log_weights) < MODEL.log_p())


def test_temperatures_without_meaning_are_refused():
    with pytest.raises(ValueError, match="needs the objective ELBO"):
        MODEL.vae(temperature=0.5, objective=IWAE(5))
    with pytest.raises(ValueError, match="temperature"):
        MODEL.vae(temperature=-1.0)
    for method in ("log_weights", "elbo"):
        with pytest.raises(ValueError, match="no log-weights"):
            getattr(MODEL.vae(temperature=0.0), method)(MODEL.x, num_samples=5)
