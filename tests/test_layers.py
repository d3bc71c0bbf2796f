import keras
import numpy as np
import pytest
from keras import ops
from keras.src.testing import TestCase

from vae_keras.layers import AddGaussianKL, GaussianKL, GaussianSampling

PAIR = [(2, 3), (2, 3)]


@pytest.mark.parametrize(
    ("layer", "output_shape", "seeds", "losses"),
    [
        (GaussianSampling, (2, 3), 1, 0),
        (GaussianKL, (2,), 0, 0),
        (AddGaussianKL, PAIR, 0, 1),
    ],
)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_layer_passes_keras_own_layer_test(layer, output_shape, seeds, losses, policy):
    TestCase().run_layer_test(
        layer,
        init_kwargs={"dtype": policy},
        input_shape=PAIR,
        expected_output_shape=output_shape,
        expected_num_trainable_weights=0,
        expected_num_seed_generators=seeds,
        expected_num_losses=losses,
        run_training_check=False,  # Keras's own step cannot feed two inputs; trained below
        run_mixed_precision_check=layer is not GaussianKL,  # KL stays float32 under every policy
        supports_masking=False,
        assert_built_after_instantiation=False,
    )


def test_kl_equals_tensorflow_probability():  # B30
    from tensorflow_probability import distributions as tfd

    rng = np.random.default_rng(0)
    mean, log_var = rng.normal(size=(2, 5, 3)).astype("float32")
    posterior = tfd.MultivariateNormalDiag(mean, np.exp(log_var / 2))
    prior = tfd.MultivariateNormalDiag(np.zeros(3, "float32"))
    expected = tfd.kl_divergence(posterior, prior)
    np.testing.assert_allclose(GaussianKL()((mean, log_var)), expected, rtol=1e-5)


def test_samples_have_the_mean_and_variance_of_the_posterior():  # B29, B31
    num = 100_000
    mean, log_var = np.array([1.0, -2.0]), np.array([0.5, -1.0])
    pair = tuple(ops.convert_to_tensor(np.tile(x, (num, 1)), "float32") for x in (mean, log_var))
    z = np.asarray(GaussianSampling(seed=0)(pair))
    variance = np.exp(log_var)
    assert np.all(np.abs(z.mean(0) - mean) < 5 * np.sqrt(variance / num))
    assert np.all(np.abs(z.var(0) - variance) < 5 * variance * np.sqrt(2 / num))
    correlation = np.corrcoef(z.T)[0, 1]
    assert abs(correlation) < 5 / np.sqrt(num)  # the factors are independent


def test_sampling_is_the_reparameterisation_and_lets_gradients_through():  # B31
    import tensorflow as tf

    mean, log_var = tf.constant([[1.0, 2.0]]), tf.constant([[0.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch([mean, log_var])
        z = GaussianSampling(seed=0)((mean, log_var))
        total = tf.reduce_sum(z)
    by_mean, by_log_var = tape.gradient(total, [mean, log_var])
    np.testing.assert_allclose(by_mean, [[1.0, 1.0]])
    np.testing.assert_allclose(by_log_var, (z - mean) / 2, rtol=1e-6)  # dz/dlog_var = sigma eps/2


def test_a_seed_gives_the_same_sequence_and_saved_weights_continue_it(tmp_path):
    pair = (ops.zeros((4, 2)), ops.zeros((4, 2)))
    layer, twin = GaussianSampling(seed=5), GaussianSampling(seed=5)
    first, second = np.asarray(layer(pair)), np.asarray(layer(pair))
    np.testing.assert_array_equal(first, twin(pair))
    assert np.any(first != second)
    inputs = (keras.Input((2,)), keras.Input((2,)))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    third = np.asarray(layer(pair))
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(pair), third)


def test_large_log_variance_does_not_overflow_under_mixed_precision():
    pair = (ops.zeros((1, 2), "float16"), ops.full((1, 2), 20.0, "float16"))
    kl = GaussianKL(dtype="mixed_float16")(pair)
    expected = np.exp(20) - 1 - 20  # two latents; float16 ends at 65,504
    np.testing.assert_allclose(kl, [expected], rtol=1e-3)


def test_kl_in_the_loss_makes_a_vae_of_a_functional_model():
    x = np.random.default_rng(0).random((8, 6)).astype("float32")
    inputs = keras.Input((6,))
    pair = AddGaussianKL()((keras.layers.Dense(2)(inputs), keras.layers.Dense(2)(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(6)(GaussianSampling(seed=0)(pair)))
    model.compile("sgd", "mse")
    statistics = keras.Model(inputs, pair)(x)
    expected = np.mean(np.asarray(GaussianKL()(statistics)))
    model(x)
    assert float(model.losses[0]) == pytest.approx(expected, rel=1e-5)
    losses = model.fit(x, x, epochs=2, verbose=0).history["loss"]
    assert losses[0] > expected / 2


@pytest.mark.parametrize("layer", [GaussianSampling, GaussianKL, AddGaussianKL])
def test_input_that_is_not_a_pair_of_equal_shapes_is_refused(layer):
    with pytest.raises(ValueError, match="takes a pair"):
        layer()(ops.zeros((2, 3)))
    with pytest.raises(ValueError, match="equal shape"):
        layer()((ops.zeros((2, 3)), ops.zeros((2, 4))))
