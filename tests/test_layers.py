import keras
import numpy as np
import pytest
from autodiff import jacobian
from keras import ops

from vae_keras.layers import (
    AddKL,
    BernoulliKL,
    BernoulliSampling,
    GaussianKL,
    GaussianSampling,
)
from vae_keras.objectives import ELBO

numpy = ops.convert_to_numpy


def random_tensors(num, shape, seed=0, dtype="float32"):
    rng = np.random.default_rng(seed)
    return tuple(ops.convert_to_tensor(rng.normal(size=shape), dtype) for _ in range(num))


@pytest.mark.parametrize("num_tensors", [2, 4])
def test_kl_equals_tensorflow_probability(num_tensors):  # B30
    tfd = pytest.importorskip("tensorflow_probability").distributions
    tensors = random_tensors(num_tensors, (5, 3))
    arrays = [numpy(x) for x in (*tensors, *random_tensors(2, (5, 3)))[: max(num_tensors, 4)]]
    if num_tensors == 2:
        arrays[2:] = np.zeros((2, 5, 3), "float32")
    posterior = tfd.MultivariateNormalDiag(arrays[0], np.exp(arrays[1] / 2))
    prior = tfd.MultivariateNormalDiag(arrays[2], np.exp(arrays[3] / 2))
    expected = tfd.kl_divergence(posterior, prior)
    np.testing.assert_allclose(numpy(GaussianKL()(tensors)), expected, rtol=1e-5)


def test_kl_sums_over_every_axis_but_the_first():
    pair = random_tensors(2, (2, 3, 4, 5))
    flat = tuple(ops.reshape(x, (2, 60)) for x in pair)
    np.testing.assert_allclose(numpy(GaussianKL()(pair)), numpy(GaussianKL()(flat)), rtol=1e-5)


def test_gradient_of_the_kl_is_the_mean_and_half_the_excess_variance():  # B30
    mean, log_var = random_tensors(2, (4, 3))
    by_mean = jacobian(lambda x: ops.sum(GaussianKL()((x, log_var))), mean)
    by_log_var = jacobian(lambda x: ops.sum(GaussianKL()((mean, x))), log_var)
    np.testing.assert_allclose(by_mean, numpy(mean), rtol=1e-5)
    np.testing.assert_allclose(by_log_var, (np.exp(numpy(log_var)) - 1) / 2, rtol=1e-4, atol=1e-6)


def test_batch_mean_with_free_bits_is_the_papers_objective():
    mean, log_var = (numpy(x) for x in random_tensors(2, (6, 4)))
    terms = (mean**2 + np.exp(log_var) - 1 - log_var) / 2
    free_bits = float(np.median(terms.mean(0)))
    values = numpy(GaussianKL(free_bits=free_bits)((mean, log_var)))
    assert values.shape == (6,)
    expected = np.maximum(terms.mean(0), free_bits).sum()  # Kingma et al. (2016)
    assert values.mean() == pytest.approx(expected, rel=1e-5)


def test_free_bits_put_no_pressure_on_latents_below_them_and_full_pressure_on_others():
    mean = ops.convert_to_tensor([[0.1, 2.0], [0.2, 0.0]])  # 0.0125 and 1 nat in the batch mean
    gradient = jacobian(lambda x: ops.sum(GaussianKL(free_bits=0.5)((x, ops.zeros((2, 2))))), mean)
    np.testing.assert_allclose(gradient, [[0, 2], [0, 0]], atol=1e-7)
    gradient = jacobian(lambda x: ops.sum(GaussianKL()((x, ops.zeros((2, 2))))), mean)
    np.testing.assert_allclose(gradient, numpy(mean), atol=1e-7)


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.0])
def test_kl_at_a_temperature_is_energy_minus_temperature_times_entropy(temperature):  # B32
    pair = random_tensors(2, (5, 3))
    mean, log_var = (numpy(x) for x in pair)
    kl = numpy(GaussianKL()(pair))
    expected = temperature * kl + (1 - temperature) * (mean**2).sum(1) / 2
    values = numpy(GaussianKL(temperature=temperature)(pair))
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    if temperature:
        variance = temperature * np.exp(log_var)  # of the scaled noise
        energy = (mean**2 + variance).sum(1) / 2
        entropy = 0.5 * np.log(2 * np.pi * np.e * variance).sum(1)
        constant = 1.5 * temperature * np.log(2 * np.pi * temperature)
        free_energy = energy - temperature * entropy + constant
        np.testing.assert_allclose(values, free_energy, rtol=1e-4, atol=1e-5)


def test_samples_have_the_mean_and_variance_of_the_posterior():  # B29, B31
    num = 100_000
    mean, log_var = np.array([1.0, -2.0]), np.array([0.5, -1.0])
    pair = tuple(ops.convert_to_tensor(np.tile(x, (num, 1)), "float32") for x in (mean, log_var))
    for temperature in (1.0, 0.25):
        z = numpy(GaussianSampling(seed=0, temperature=temperature)(pair))
        variance = temperature * np.exp(log_var)
        assert np.all(np.abs(z.mean(0) - mean) < 5 * np.sqrt(variance / num))
        assert np.all(np.abs(z.var(0) - variance) < 5 * variance * np.sqrt(2 / num))
        correlation = np.corrcoef(z.T)[0, 1]
        assert abs(correlation) < 5 / np.sqrt(num)  # the factors are independent


def test_sampling_is_the_reparameterisation_and_lets_gradients_through():  # B31
    mean = ops.convert_to_tensor([[1.0, 2.0]])
    log_var = ops.convert_to_tensor([[0.0, 1.0]])
    z = numpy(GaussianSampling(seed=0)((mean, log_var)))
    by_mean = jacobian(lambda x: ops.sum(GaussianSampling(seed=0)((x, log_var))), mean)
    by_log_var = jacobian(lambda x: ops.sum(GaussianSampling(seed=0)((mean, x))), log_var)
    np.testing.assert_allclose(by_mean, [[1.0, 1.0]])
    np.testing.assert_allclose(by_log_var, (z - numpy(mean)) / 2, rtol=1e-6)  # sigma eps / 2


def test_deterministic_call_and_temperature_zero_return_the_mean_without_a_draw():  # B32
    mean, log_var = random_tensors(2, (3, 2))
    cold, layer = GaussianSampling(seed=0, temperature=0.0), GaussianSampling(seed=0)
    for sampling, options in ((cold, {}), (layer, {"deterministic": True})):
        state = numpy(sampling.seed_generator.state)
        np.testing.assert_array_equal(numpy(sampling((mean, log_var), **options)), numpy(mean))
        np.testing.assert_array_equal(numpy(sampling.seed_generator.state), state)
    assert np.any(numpy(layer((mean, log_var))) != numpy(mean))


def test_large_log_variance_does_not_overflow_under_mixed_precision():
    pair = (ops.zeros((1, 2), "float16"), ops.full((1, 2), 20.0, "float16"))
    kl = GaussianKL(dtype="mixed_float16")(pair)
    expected = np.exp(20) - 1 - 20  # two latents; float16 ends at 65,504
    np.testing.assert_allclose(numpy(kl), [expected], rtol=1e-3)


def test_added_loss_is_the_weighted_batch_mean_and_the_input_passes_through():
    pair = random_tensors(2, (5, 3))
    for kl in (None, GaussianKL(free_bits=0.5), GaussianKL(temperature=0.0)):
        layer = AddKL(kl, weight=0.25)
        output = layer(pair)
        expected = 0.25 * numpy((kl or GaussianKL())(pair)).mean()
        assert numpy(layer.losses[0]) == pytest.approx(expected, rel=1e-5)
        for given, returned in zip(pair, output, strict=True):
            np.testing.assert_array_equal(numpy(given), numpy(returned))
    layer.weight.assign(2.0)
    layer(pair)
    assert numpy(layer.losses[0]) == pytest.approx(8 * expected, rel=1e-5)


@pytest.mark.parametrize("layer", [GaussianSampling, GaussianKL, AddKL])
def test_input_that_is_not_a_pair_of_equal_shapes_is_refused(layer):
    with pytest.raises(ValueError, match="takes a pair"):
        layer()(ops.zeros((2, 3)))
    with pytest.raises(ValueError, match="takes a pair"):
        layer()((ops.zeros((2, 3)),) * 3)
    with pytest.raises(ValueError, match="equal shape"):
        layer()((ops.zeros((2, 3)), ops.zeros((2, 4))))
    with pytest.raises(ValueError, match="equal shape"):
        layer()((ops.zeros((2, 3)), ops.zeros((2, 3, 1))))


def test_arguments_without_a_meaning_are_refused():
    for make in (
        lambda: GaussianSampling(temperature=-1.0),
        lambda: GaussianKL(temperature=float("nan")),
        lambda: GaussianKL(free_bits=-1.0),
        lambda: AddKL(weight=-1.0),
    ):
        with pytest.raises(ValueError, match="must be 0"):
            make()
    with pytest.raises(ValueError, match="leave the temperature at 1"):
        GaussianKL(temperature=0.5)((ops.zeros((2, 3)),) * 4)


def test_shapes_are_known_where_any_of_the_inputs_knows_them():
    pair = keras.Input((3,)), keras.Input((3,), batch_size=5)
    assert GaussianSampling()(pair).shape == (5, 3)
    assert GaussianKL()(pair).shape == (5,)
    assert BernoulliKL()(keras.Input((None, 3))).shape == (None,)


def test_masked_steps_count_nowhere():
    mean, log_var = (np.random.default_rng(i).normal(size=(2, 3, 4)) for i in range(2))
    tokens = np.array([[1, 2, 0], [1, 0, 0]])
    for layer in (GaussianKL(), GaussianKL(free_bits=0.3)):
        inputs = keras.Input((3,))
        embedded = keras.layers.Embedding(3, 8, mask_zero=True)(inputs)
        pair = [keras.layers.Dense(4, name=name)(embedded) for name in ("mean", "log_var")]
        model = keras.Model(inputs, layer(pair))
        for name, value in (("mean", mean), ("log_var", log_var)):
            kernel = np.zeros((8, 4), "float32")
            model.get_layer(name).set_weights([kernel, value[0, 0].astype("float32")])
        one = model.predict(np.array([[1], [1]]) * [[1, 1, 1]], verbose=0) / 3
        values = model.predict(tokens, verbose=0)
        np.testing.assert_allclose(values, one * tokens.astype(bool).sum(1), rtol=1e-6)


def test_masks_pass_through_layers_that_draw_and_reach_the_added_loss():
    inputs = keras.Input((3,))
    normal = keras.initializers.RandomNormal(stddev=1.0, seed=0)
    embedded = keras.layers.Embedding(3, 4, normal, mask_zero=True)(inputs)
    pair = AddKL(weight=2.0)((embedded, embedded))
    draws = GaussianSampling(seed=0)(pair), BernoulliSampling(seed=0)(embedded)
    model = keras.Model(inputs, draws)
    tokens = np.array([[1, 2, 0], [1, 0, 0]])
    for output in model(tokens):
        np.testing.assert_array_equal(output._keras_mask, tokens > 0)
    rows = keras.ops.convert_to_numpy(model.layers[1](tokens))
    expected = np.where(tokens[..., None] > 0, 0.5 * (rows**2 + np.exp(rows) - 1 - rows), 0)
    assert float(keras.ops.convert_to_numpy(model.losses[0])) == pytest.approx(
        2 * expected.sum() / 2, rel=1e-5
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianSampling(temperature=np.inf),
        lambda: GaussianKL(free_bits=np.inf),
        lambda: AddKL(weight=np.inf),
        lambda: BernoulliSampling(temperature=np.inf),
        lambda: ELBO(beta=np.inf),
    ],
)
def test_infinite_constants_are_refused(make):
    with pytest.raises(ValueError, match="finite; got inf"):
        make()
