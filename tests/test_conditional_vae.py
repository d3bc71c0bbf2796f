import keras
import numpy as np
import pytest
import tensorflow as tf
from linear_gaussian import LinearGaussian

from vae_keras import evidence
from vae_keras.conditional_vae import ConditionalVAE
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.objectives import IWAE

MODEL = LinearGaussian(num_conditions=3)


@pytest.fixture
def vae():
    return MODEL.conditional_vae(seed=0)


def test_exact_posterior_makes_every_log_weight_the_evidence_given_the_condition(vae):
    log_weights = vae.log_weights(MODEL.x, MODEL.y, 4, seed=0)
    np.testing.assert_allclose(log_weights, np.tile(MODEL.log_p(), (4, 1)), rtol=1e-4, atol=1e-4)
    other = vae.log_weights(MODEL.x, MODEL.y + 1, 4, seed=0)
    assert np.min(np.abs(evidence.iwae(other) - MODEL.log_p())) > 1e-3


def test_elbo_of_many_samples_is_the_evidence_at_the_exact_posterior(vae):
    values = np.stack([vae.elbo(MODEL.x, MODEL.y, num_samples=50, seed=seed) for seed in range(20)])
    error = values.std(0, ddof=1) / np.sqrt(len(values))
    assert np.all(np.abs(values.mean(0) - MODEL.log_p()) < 5 * error + 1e-4)


def test_generated_data_have_the_mean_of_their_condition(vae):
    num = 2000
    y = np.repeat(MODEL.y[:2], num, 0)
    x = vae.generate(y, seed=1).numpy().reshape(2, num, 5)
    np.testing.assert_array_equal(x[0, :5], vae.generate(y, seed=1)[:5])
    error = x.std(1) / np.sqrt(num)
    assert np.all(np.abs(x.mean(1) - MODEL.mean(MODEL.y[:2])) < 5 * error)


def test_sampled_data_have_mean_and_covariance_of_the_model_given_their_condition(vae):
    num = 20_000
    y = np.repeat(MODEL.y[:1], num, 0)
    x, z = (np.asarray(a, float) for a in vae.sample(y, seed=1))
    residual = x - MODEL.mean(MODEL.y[0])
    assert np.all(np.abs(residual.mean(0)) < 5 * x.std(0) / np.sqrt(num))
    for second, exact in (
        (np.einsum("ni,nj->nij", residual, residual), MODEL.covariance),
        (np.einsum("ni,nj->nij", residual, z), MODEL.loadings),
    ):
        assert np.all(np.abs(second.mean(0) - exact) < 5 * second.std(0) / np.sqrt(num))


def test_encode_decode_and_reconstruct_use_the_condition(vae):
    mean, log_var = vae.encode(MODEL.x, MODEL.y)
    expected = (MODEL.x - MODEL.mean(MODEL.y)) @ MODEL.to_mean
    np.testing.assert_allclose(mean, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(np.exp(-log_var), np.tile(MODEL.precision, (30, 1)), rtol=1e-4)
    x = vae.reconstruct(MODEL.x, MODEL.y)
    np.testing.assert_allclose(x, vae.decode(mean, MODEL.y), rtol=1e-5)
    np.testing.assert_allclose(
        x, expected @ MODEL.loadings.T + MODEL.mean(MODEL.y), rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(vae.predict((MODEL.x, MODEL.y), verbose=0), x, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("objective", [None, IWAE(3)])
def test_fit_raises_the_evidence_of_data_given_their_condition(objective):
    vae = MODEL.conditional_vae(seed=0, objective=objective)
    decoder = vae.decoder.layers[-1]
    decoder.layers[1].set_weights([0 * w for w in decoder.layers[1].get_weights()])
    before = vae.evaluate(MODEL.x, MODEL.y, verbose=0)[0]
    vae.compile(keras.optimizers.Adam(0.1))
    history = vae.fit(
        MODEL.x,
        MODEL.y,
        epochs=40,
        validation_freq=40,
        batch_size=30,
        verbose=0,
        validation_data=(MODEL.x, MODEL.y),
        sample_weight=np.ones(30),
    ).history
    assert history["val_loss"][-1] < before - 10
    exact = -MODEL.log_p().mean()
    assert history["val_loss"][-1] < exact + 5  # nats; it started 10 or more above


def test_data_sets_yield_pairs_of_pairs(vae):
    data = tf.data.Dataset.from_tensor_slices(((MODEL.x, MODEL.y),)).batch(10)
    vae.fit(data, validation_data=data, epochs=1, verbose=0)
    losses = [vae.evaluate(data, verbose=0), vae.evaluate(MODEL.x, MODEL.y, verbose=0)]
    assert np.all(np.isfinite(losses))
    vae.fit(MODEL.x, MODEL.y, validation_split=0.2, epochs=1, verbose=0)


def test_saved_model_loads_in_safe_mode(tmp_path, vae):
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    for model in (vae, loaded):
        model.fit(MODEL.x, MODEL.y, epochs=1, verbose=0)
    for weight, other in zip(vae.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), other.numpy())


def test_networks_and_data_that_do_not_fit_are_refused(vae):
    encoder, decoder = dense_encoder((5,), 2), dense_decoder((5,), 2)
    with pytest.raises(ValueError, match=r"encoder of a conditional VAE must take two inputs, x"):
        ConditionalVAE(encoder, vae.decoder)
    with pytest.raises(ValueError, match=r"decoder of a conditional VAE must take two inputs, z"):
        ConditionalVAE(vae.encoder, decoder)
    other = LinearGaussian(num_conditions=4).conditional_vae()
    with pytest.raises(ValueError, match=r"decoder takes \[\(2,\), \(4,\)\]"):
        ConditionalVAE(vae.encoder, other.decoder)
    with pytest.raises(ValueError, match=r"y must have shape \(batch, 3\)"):
        vae.log_weights(MODEL.x, MODEL.y[:, :2], 5)
    with pytest.raises(ValueError, match="one length"):
        vae.fit(MODEL.x, MODEL.y[:20], verbose=0)
    with pytest.raises(ValueError, match="finite"):
        vae.fit(MODEL.x * np.nan, MODEL.y, verbose=0)
    for call in (
        lambda y: vae.fit(MODEL.x, y, verbose=0),
        lambda y: vae.log_weights(MODEL.x, y, 5),
        lambda y: vae.elbo(MODEL.x, y),
        lambda y: vae.generate(y),
        lambda y: vae.sample(y),
    ):
        with pytest.raises(ValueError, match="y must be finite"):
            call(MODEL.y * np.nan)
