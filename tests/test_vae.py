import keras
import numpy as np
import pytest
import tensorflow as tf
from linear_gaussian import LinearGaussian
from tensorflow_probability import distributions as tfd

from vae_keras import evidence
from vae_keras.lambda_vae import build_lambda_vae
from vae_keras.layers import GaussianKL
from vae_keras.networks import conv_decoder, conv_encoder, dense_decoder, dense_encoder
from vae_keras.vae import VAE


@pytest.fixture
def x():
    return (np.random.default_rng(0).random((40, 8, 8)) < 0.3).astype("float32")


@pytest.fixture
def vae():
    keras.utils.set_random_seed(0)
    return VAE(
        dense_encoder((8, 8), 2, hidden_units=(16,)),
        dense_decoder((8, 8), 2, hidden_units=(16,)),
        seed=0,
    )


def test_log_weights_equal_tensorflow_probability(vae, x):  # B18: -V = ln w
    mean, log_var = vae.encode(x)
    posterior = tfd.MultivariateNormalDiag(mean, tf.exp(log_var / 2))
    prior = tfd.MultivariateNormalDiag(tf.zeros(2))
    (draws,) = vae.blocks_of_draws(x, 5, seed=3)
    z = draws.z
    pixels = tfd.Bernoulli(logits=tf.reshape(vae.decoder(tf.reshape(z, (-1, 2))), (5, 40, 8, 8)))
    expected_likelihood = tfd.Independent(pixels, 2).log_prob(x)
    np.testing.assert_allclose(draws.log_likelihood, expected_likelihood, rtol=1e-5)
    expected = expected_likelihood + prior.log_prob(z) - posterior.log_prob(z)
    np.testing.assert_allclose(vae.log_weights(x, 5, seed=3), expected, rtol=1e-4)


def test_loss_is_reconstruction_plus_analytic_kl_averaged_over_the_batch(vae, x):  # B32
    state = vae.noise.seed_generator.state.numpy()
    loss = float(vae.compute_loss(x))
    vae.noise.seed_generator.state.assign(state)
    pair = vae.encode(x)
    pixels = tfd.Bernoulli(logits=vae.decoder(vae.draws(x, training=True).value))
    reconstruction = -tfd.Independent(pixels, 2).log_prob(x).numpy()
    kl = GaussianKL()(pair).numpy()
    assert loss == pytest.approx(float(np.mean(reconstruction + kl)), rel=1e-5)


def test_loss_is_energy_minus_entropy(vae, x):  # B14, B15: -ELBO = <E>_q - S(q)
    mean, log_var = vae.encode(x)
    posterior = tfd.MultivariateNormalDiag(mean, tf.exp(log_var / 2))
    num = 2000
    prior = tfd.MultivariateNormalDiag(tf.zeros(2))
    blocks = list(vae.blocks_of_draws(x, num, seed=0))
    energy = -np.concatenate([d.log_likelihood + prior.log_prob(d.z) for d in blocks])
    free_energy = energy.mean(0) - posterior.entropy().numpy()
    elbo = vae.elbo(x, num_samples=num, seed=0).numpy()
    standard_error = energy.std(0) / np.sqrt(num)
    assert np.all(np.abs(free_energy + elbo) < 5 * standard_error)


@pytest.mark.slow
def test_lambda_vae_and_vae_have_the_same_loss_and_gradients(x):
    model = build_lambda_vae((8, 8), latent_dim=2, intermediate_dim=16, seed=4)
    vae = VAE(model.get_layer("encoder"), model.get_layer("decoder"), seed=4)
    gradients, losses = [], []
    for loss in (
        lambda: model.compute_loss(x, x, model(x, training=True)),
        lambda: vae.compute_loss(x),
    ):
        with tf.GradientTape() as tape:
            value = loss()
        losses.append(float(value))
        gradients.append(tape.gradient(value, [w.value for w in vae.trainable_weights]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for gradient, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-6)


@pytest.mark.long
def test_lambda_vae_and_vae_train_alike(x):
    weights = []
    for kind in ("lambda", "class"):
        keras.utils.set_random_seed(0)
        model = build_lambda_vae((8, 8), latent_dim=2, intermediate_dim=16, seed=4)
        networks = model.get_layer("encoder"), model.get_layer("decoder")
        trained, data = (model, (x, x)) if kind == "lambda" else (VAE(*networks, seed=4), (x,))
        trained.fit(*data, epochs=3, batch_size=10, shuffle=False, verbose=0)
        weights.append([w.numpy() for network in networks for w in network.weights])
    for weight, other in zip(*weights, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_lambda_vae_trains_and_loads_in_safe_mode(tmp_path, x):
    model = build_lambda_vae((8, 8), intermediate_dim=16, seed=0)
    history = model.fit(x, x, epochs=15, batch_size=10, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    encoder, loaded_encoder = (m.get_layer("encoder") for m in (model, loaded))
    np.testing.assert_array_equal(encoder(x)[0], loaded_encoder(x)[0])
    assert loaded.fit(x, x, epochs=1, verbose=0).history["loss"][0] < history[0]


def test_exact_posterior_makes_every_log_weight_the_evidence():
    model = LinearGaussian()
    log_p = model.log_p()
    log_weights = model.vae().log_weights(model.x, 4, seed=0)
    np.testing.assert_allclose(log_weights, np.tile(log_p, (4, 1)), rtol=1e-4, atol=1e-4)
    for estimate in (evidence.elbo, evidence.iwae, evidence.jackknife, evidence.cumulant):
        np.testing.assert_allclose(estimate(log_weights), log_p, rtol=1e-4, atol=1e-4)


def test_elbo_is_below_iwae_is_below_the_evidence_in_expectation():  # B14
    model, shift = LinearGaussian(), np.array([0.3, -0.4])
    log_p = model.log_p()
    log_weights = tf.cast(model.vae(shift).log_weights(model.x, 4000, seed=0), "float64")
    groups = tf.reshape(log_weights, (4, 1000, -1))
    gaps = [(evidence.elbo(w) - log_p).numpy() for w in (log_weights[:1000], log_weights)]
    bounds = {
        1: log_weights[:1000] - log_p,
        4: evidence.iwae(groups) - log_p,
    }
    mean = {k: float(np.mean(v)) for k, v in bounds.items()}
    error = {k: float(np.std(np.mean(v, 1)) / np.sqrt(1000)) for k, v in bounds.items()}
    assert mean[1] + 5 * error[1] < mean[4] - 5 * error[4]
    assert mean[4] + 5 * error[4] < 0
    # A shifted Gaussian posterior has Gaussian log-weights: gap = shift^2 / (2 variance), order 2
    # exact (B25).
    gap = (shift**2 * model.precision).sum() / 2
    variance = 2 * gap
    assert abs(np.mean(gaps[1]) + gap) < 5 * np.sqrt(variance / 4000)
    order_two = evidence.cumulant(log_weights, order=2) - log_p
    assert abs(np.mean(order_two)) < 5 * np.sqrt(variance / 4000 + variance**2 / 2 / 4000)


@pytest.mark.parametrize(
    ("encoder", "decoder"), [(dense_encoder, dense_decoder), (conv_encoder, conv_decoder)]
)
def test_networks_train_in_a_vae(encoder, decoder, x):
    name = "hidden_units" if encoder is dense_encoder else "filters"
    networks = encoder((8, 8), 2, **{name: (8, 4)}), decoder((8, 8), 2, **{name: (4, 8)})
    vae = VAE(*networks, seed=0)
    history = vae.fit(x, epochs=8, batch_size=20, verbose=0).history
    assert set(history) == {"loss", "reconstruction", "kl"}
    assert history["loss"][-1] < history["loss"][0]
    assert history["loss"][0] == pytest.approx(
        history["reconstruction"][0] + history["kl"][0], rel=1e-5
    )


@pytest.mark.long
def test_fit_takes_what_keras_users_give_it(vae, x):
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=5)
    history = vae.fit(
        x,
        epochs=2,
        batch_size=16,
        verbose=0,
        validation_data=x[:10],
        sample_weight=np.linspace(0, 1, 40),
        callbacks=[stop],
    ).history
    assert {"val_loss", "val_reconstruction", "val_kl"} < set(history)
    vae.fit(tf.data.Dataset.from_tensor_slices(x).batch(20), epochs=1, verbose=0)
    assert set(vae.evaluate(x, verbose=0, return_dict=True)) == {"loss", "reconstruction", "kl"}
    assert vae.predict(x, verbose=0).shape == x.shape


def test_encode_decode_reconstruct_and_generate_fit_together(vae, x):
    mean, log_var = vae.encode(x)
    assert mean.shape == log_var.shape == (40, 2)
    np.testing.assert_array_equal(vae.reconstruct(x), vae.decode(mean))
    images = vae.generate(3, seed=1).numpy()
    assert images.shape == (3, 8, 8)
    assert np.all((images > 0) & (images < 1))
    np.testing.assert_array_equal(images, vae.generate(3, seed=1))


@pytest.mark.long
def test_saved_vae_goes_on_exactly_where_it_stopped(tmp_path, vae, x):
    vae.fit(x, epochs=2, verbose=0, shuffle=False)
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")  # safe mode
    for model in (vae, loaded):
        model.fit(x, epochs=2, verbose=0, shuffle=False)
    for weight, loaded_weight in zip(vae.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), loaded_weight.numpy())


def test_export_serves_the_reconstruction(tmp_path, vae, x):
    vae.export(tmp_path / "vae", verbose=False)
    exported = tf.saved_model.load(tmp_path / "vae")
    np.testing.assert_allclose(exported.serve(x), vae.reconstruct(x), rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_with_finite_float32_losses(policy, x):
    keras.config.set_dtype_policy(policy)
    try:
        vae = VAE(
            dense_encoder((8, 8), 2, hidden_units=(16,)),
            dense_decoder((8, 8), 2, hidden_units=(16,)),
            seed=0,
        )
        history = vae.fit(x, epochs=3, verbose=0).history["loss"]
        assert np.all(np.isfinite(history))
        assert vae.log_weights(x, 3, seed=0).dtype == tf.float32
    finally:
        keras.config.set_dtype_policy("float32")


def test_log_weights_in_blocks_are_reproducible(vae, x, monkeypatch):
    whole = vae.log_weights(x, 20, seed=1)
    np.testing.assert_array_equal(whole, vae.log_weights(x, 20, seed=1))
    monkeypatch.setattr("vae_keras.parts.latents._BLOCK", 7 * x.size)
    blocks = vae.log_weights(x, 20, seed=1)
    assert blocks.shape == (20, 40)
    np.testing.assert_array_equal(blocks, vae.log_weights(x, 20, seed=1))
    np.testing.assert_allclose(np.mean(blocks, 0), np.mean(whole, 0), atol=5)


def test_sampled_data_scatter_about_the_decoder_mean_of_their_own_z():
    vae = VAE(dense_encoder((6,), 2, hidden_units=(4,)), dense_decoder((6,), 2, hidden_units=(4,)))
    for weight in vae.decoder.trainable_variables:
        weight.assign(2 * weight)
    x, z = (np.asarray(a) for a in vae.sample(5000, seed=0))
    assert set(np.unique(x)) == {0.0, 1.0}
    residual = x - np.asarray(vae.decode(z))
    for values in (residual, residual * z[:, :1], residual * z[:, 1:]):
        assert np.all(np.abs(values.mean(0)) < 5 * values.std(0) / np.sqrt(5000))
    assert np.abs(np.corrcoef(x.T, z[:, 0])[-1, :-1]).max() > 0.2  # x does depend on z
    np.testing.assert_array_equal(x, vae.sample(5000, seed=0)[0])
