import keras
import numpy as np
import pytest
import tensorflow as tf
from linear_gaussian import LinearGaussian

from vae_keras import evidence
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.objectives import IWAE
from vae_keras.parts import Gaussian, RelaxedBernoulli, enumerated
from vae_keras.vae import VAE

MODEL = LinearGaussian(num_conditions=3)
DATA = {"x": MODEL.x, "y": MODEL.y}


@pytest.fixture
def vae():
    return MODEL.conditional_vae(seed=0)


def test_exact_posterior_makes_every_log_weight_the_evidence_given_the_condition(vae):
    log_weights = vae.log_weights(DATA, 4, seed=0)
    np.testing.assert_allclose(log_weights, np.tile(MODEL.log_p(), (4, 1)), rtol=1e-4, atol=1e-4)
    other = vae.log_weights({"x": MODEL.x, "y": MODEL.y + 1}, 4, seed=0)
    assert np.min(np.abs(evidence.iwae(other) - MODEL.log_p())) > 1e-3


def test_elbo_of_many_samples_is_the_evidence_at_the_exact_posterior(vae):
    values = np.stack([vae.elbo(DATA, num_samples=50, seed=seed) for seed in range(20)])
    error = values.std(0, ddof=1) / np.sqrt(len(values))
    assert np.all(np.abs(values.mean(0) - MODEL.log_p()) < 5 * error + 1e-4)


def test_estimates_in_blocks_take_data_with_conditions(vae):
    found = evidence.estimate_in_blocks(vae, DATA, {"iwae": evidence.iwae}, 50, seed=0)
    np.testing.assert_allclose(found["iwae"], MODEL.log_p(), rtol=1e-4, atol=1e-3)


def test_annealing_and_sums_over_states_take_pairs_as_fit_does(vae):
    options = {"num_chains": 3, "betas": [0, 0.5, 1], "seed": 0}
    runs = [evidence.ais(vae, x, **options) for x in (DATA, (MODEL.x, MODEL.y))]
    np.testing.assert_array_equal(runs[0].log_weights, runs[1].log_weights)
    x, y, z = (keras.Input((3,), name=name) for name in "xyz")
    networks = keras.Model([x, y], x + y), keras.Model([z, y], z - y)
    bits = VAE(*networks, posterior=RelaxedBernoulli(0.5))
    pixels, y = (MODEL.x[:, :3] > 0).astype("float32"), MODEL.y
    sums = [enumerated(bits, data) for data in ({"x": pixels, "y": y}, (pixels, y))]
    np.testing.assert_array_equal(*sums)
    for call in (lambda data: enumerated(bits, data), bits.elbo):
        with pytest.raises(ValueError, match="divide 8-bit images by 255"):
            call((255 * pixels, y))


def test_generated_data_have_the_mean_of_their_condition(vae):
    num = 2000
    y = {"y": np.repeat(MODEL.y[:2], num, 0)}
    x = vae.generate(conditions=y, seed=1).numpy().reshape(2, num, 5)
    np.testing.assert_array_equal(x[0, :5], vae.generate(2 * num, conditions=y, seed=1)[:5])
    error = x.std(1) / np.sqrt(num)
    assert np.all(np.abs(x.mean(1) - MODEL.mean(MODEL.y[:2])) < 5 * error)


def test_sampled_data_have_mean_and_covariance_of_the_model_given_their_condition(vae):
    num = 20_000
    y = {"y": np.repeat(MODEL.y[:1], num, 0)}
    x, z = (np.asarray(a, float) for a in vae.sample(conditions=y, seed=1))
    residual = x - MODEL.mean(MODEL.y[0])
    assert np.all(np.abs(residual.mean(0)) < 5 * x.std(0) / np.sqrt(num))
    for second, exact in (
        (np.einsum("ni,nj->nij", residual, residual), MODEL.covariance),
        (np.einsum("ni,nj->nij", residual, z), MODEL.loadings),
    ):
        assert np.all(np.abs(second.mean(0) - exact) < 5 * second.std(0) / np.sqrt(num))


def test_encode_decode_and_reconstruct_use_the_condition(vae):
    mean, log_var = vae.encode(DATA)
    expected = (MODEL.x - MODEL.mean(MODEL.y)) @ MODEL.to_mean
    np.testing.assert_allclose(mean, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(np.exp(-log_var), np.tile(MODEL.precision, (30, 1)), rtol=1e-4)
    x = vae.reconstruct(DATA)
    np.testing.assert_allclose(x, vae.decode(mean, conditions={"y": MODEL.y}), rtol=1e-5)
    np.testing.assert_allclose(
        x, expected @ MODEL.loadings.T + MODEL.mean(MODEL.y), rtol=1e-3, atol=1e-4
    )
    for data in (DATA, (MODEL.x, MODEL.y)):
        np.testing.assert_allclose(vae.predict(data, verbose=0), x, rtol=1e-4, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("objective", [None, IWAE(3)])
def test_fit_raises_the_evidence_of_data_given_their_condition(objective):
    vae = MODEL.conditional_vae(seed=0, objective=objective)
    decoder = vae.decoder.layers[-1]
    decoder.layers[1].set_weights([0 * w for w in decoder.layers[1].get_weights()])
    before = vae.evaluate(DATA, verbose=0)[0]
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


@pytest.mark.long
def test_data_come_as_a_dict_as_a_pair_and_in_data_sets(vae):
    pairs = tf.data.Dataset.from_tensor_slices(((MODEL.x, MODEL.y),)).batch(10)
    dicts = tf.data.Dataset.from_tensor_slices(DATA).batch(10)
    losses = [
        vae.evaluate(data, batch_size=10, verbose=0)[0] for data in (DATA, (MODEL.x, MODEL.y))
    ]
    losses.append(vae.evaluate(MODEL.x, MODEL.y, batch_size=10, verbose=0)[0])
    losses += [vae.evaluate(data, verbose=0)[0] for data in (pairs, dicts)]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)
    vae.fit(pairs, validation_data=dicts, epochs=1, verbose=0)
    vae.fit(DATA, validation_split=0.2, epochs=1, verbose=0)


def test_prior_network_moves_the_prior_with_the_condition():
    # q(z|y) = p(z|y) = N(y, 1), p(x|z) = N(z, 1): ln w = ln p(x|z), and p(x|y) = N(y, 2)
    x, y, z = (keras.Input((2,), name=name) for name in "xyz")
    pair = keras.Model(y, (y, keras.ops.zeros_like(y)))
    encoder = keras.Model((x, y), (y + 0 * x, 0 * x))
    vae = VAE(
        encoder,
        keras.Model(z, z + 0.0),
        prior=Gaussian(),
        prior_network=pair,
        likelihood=Gaussian(scale=1.0),
    )
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(4, 2)), "y": rng.normal(size=(4, 2)) * 2}
    w = np.exp(np.asarray(vae.log_weights(data, 20_000, seed=0), float))
    exact = np.exp(-np.sum((data["x"] - data["y"]) ** 2, 1) / 4) / (4 * np.pi)
    assert np.all(np.abs(w.mean(0) - exact) < 5 * w.std(0) / np.sqrt(20_000))
    np.testing.assert_allclose(vae.draws(vae._checked(data)).kl, 0, atol=1e-6)
    mean = np.asarray(vae.generate(20_000, conditions={"y": np.full((20_000, 2), 3.0)}, seed=0))
    assert np.all(np.abs(mean.mean(0) - 3) < 5 / np.sqrt(20_000))


def test_a_decoder_of_z_alone_passes_over_the_condition():
    vae = MODEL.conditional_vae()
    z = keras.Input((2,), name="z")
    free = VAE(
        vae.encoder, keras.Model(z, dense_decoder((5,), 2)(z)), likelihood=Gaussian(scale=1.0)
    )
    assert free.log_weights(DATA, 2).shape == (2, 30)


@pytest.mark.long
def test_saved_model_loads_in_safe_mode(tmp_path, vae):
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    for model in (vae, loaded):
        model.fit(DATA, epochs=1, verbose=0)
    for weight, other in zip(vae.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), other.numpy())


def test_networks_and_data_that_do_not_fit_are_refused(vae):
    a, b = keras.Input((5,)), keras.Input((3,))
    nameless = keras.Model((a, b), dense_encoder((8,), 2)(keras.layers.Concatenate()((a, b))))
    with pytest.raises(ValueError, match="target is 'x'"):
        VAE(nameless, vae.decoder)
    with pytest.raises(ValueError, match=r"asks for 'keras_tensor.*name its inputs so"):
        VAE(dense_encoder((5,), 2), vae.decoder)  # an encoder that does not say which it takes
    with pytest.raises(ValueError, match="takes 'x', 'y': give x as a dict"):
        vae.fit(MODEL.x, verbose=0)
    with pytest.raises(ValueError, match="x lacks 'y'"):
        vae.generate(3)
    with pytest.raises(ValueError, match="num_samples is 3, but"):
        vae.generate(3, conditions={"y": MODEL.y})
    with pytest.raises(ValueError, match=r"y must have shape \(batch, 3\)"):
        vae.log_weights({"x": MODEL.x, "y": MODEL.y[:, :2]}, 5)
    for call in (vae.fit, vae.encode):
        with pytest.raises(ValueError, match="one length"):
            call({"x": MODEL.x, "y": MODEL.y[:20]})
    with pytest.raises(ValueError, match="finite"):
        vae.fit(MODEL.x * np.nan, MODEL.y, verbose=0)
    for call in (
        lambda y: vae.fit(MODEL.x, y, verbose=0),
        lambda y: vae.log_weights({"x": MODEL.x, "y": y}, 5),
        lambda y: vae.elbo({"x": MODEL.x, "y": y}),
        lambda y: vae.generate(conditions={"y": y}),
        lambda y: vae.sample(conditions={"y": y}),
    ):
        with pytest.raises(ValueError, match="y must be finite"):
            call(MODEL.y * np.nan)
