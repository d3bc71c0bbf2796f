import keras
import numpy as np
import pytest
from autodiff import jacobian
from keras import ops
from scipy import special, stats

from vae_keras.layers import BernoulliKL, BernoulliSampling, CategoricalKL, CategoricalSampling

numpy = ops.convert_to_numpy
LAYERS = [BernoulliSampling, CategoricalSampling]


def tiled(logits, num):
    return ops.convert_to_tensor(np.tile(logits, (num,) + (1,) * np.ndim(logits)), "float32")


def test_bernoulli_kl_equals_the_sum_over_both_states():  # B29
    logits, prior_logits = np.random.default_rng(0).normal(scale=3, size=(2, 5, 4))
    for prior in (np.zeros((5, 4)), prior_logits):
        p, r = special.expit(logits), special.expit(prior)
        expected = (special.rel_entr(p, r) + special.rel_entr(1 - p, 1 - r)).sum(1)
        inputs = (logits, prior) if prior.any() else logits
        np.testing.assert_allclose(numpy(BernoulliKL()(inputs)), expected, rtol=1e-4)


def test_categorical_kl_equals_the_sum_over_classes():  # B29
    logits, prior_logits = np.random.default_rng(0).normal(scale=3, size=(2, 5, 4, 6))
    for prior in (np.zeros((5, 4, 6)), prior_logits):
        p, r = special.softmax(logits, axis=-1), special.softmax(prior, axis=-1)
        expected = special.rel_entr(p, r).sum((1, 2))
        inputs = (logits, prior) if prior.any() else logits
        np.testing.assert_allclose(numpy(CategoricalKL()(inputs)), expected, rtol=1e-4)


@pytest.mark.parametrize("large", [50.0, 1e4])
def test_kl_is_finite_and_exact_for_certain_variables(large):
    certain = ops.convert_to_tensor([[large, -large]])
    assert float(BernoulliKL()(certain)[0]) == pytest.approx(2 * np.log(2))
    assert float(CategoricalKL()(certain)[0]) == pytest.approx(np.log(2))
    assert float(BernoulliKL()((certain, certain))[0]) == 0
    for layer in (BernoulliKL(), CategoricalKL()):
        gradient = jacobian(lambda x, layer=layer: ops.sum(layer(x)), certain)
        np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_two_categories_are_a_bernoulli_variable():
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    pairs = np.stack([logits, np.zeros_like(logits)], axis=-1)
    expected = numpy(BernoulliKL()(logits))
    np.testing.assert_allclose(numpy(CategoricalKL()(pairs)), expected, rtol=1e-4)


@pytest.mark.parametrize("temperature", [0.01, 0.5, 2.0])
def test_threshold_of_a_relaxed_bernoulli_has_its_frequency_at_every_temperature(temperature):
    num, logits = 100_000, np.array([-2.0, 0.0, 1.0])
    p = special.expit(logits)
    z = numpy(BernoulliSampling(temperature, seed=0)(tiled(logits, num)))
    assert np.all(np.abs((z > 0.5).mean(0) - p) < 5 * np.sqrt(p * (1 - p) / num))
    if temperature == 0.01:  # the limit: z itself is in {0, 1} but for a share of order T
        assert np.all(np.abs(z.mean(0) - p) < 5 * np.sqrt(p * (1 - p) / num) + temperature**2)
        assert np.mean(np.minimum(z, 1 - z) > 0.01) < 5 * temperature


def test_relaxed_bernoulli_has_the_binary_concrete_distribution():
    num, logit, temperature = 20_000, 0.7, 0.6
    z = numpy(BernoulliSampling(temperature, seed=1)(tiled([logit], num)))[:, 0]
    # T logit(z) - logit is a standard logistic variable
    noise = temperature * special.logit(z.astype("float64")) - logit
    assert stats.kstest(noise[np.isfinite(noise)], "logistic").pvalue > 1e-4


@pytest.mark.parametrize("temperature", [0.01, 0.5, 2.0])
def test_largest_entry_of_a_relaxed_category_has_its_frequency_at_every_temperature(temperature):
    num, logits = 100_000, np.array([[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]])
    p = special.softmax(logits, axis=-1)
    z = numpy(CategoricalSampling(temperature, seed=0)(tiled(logits, num)))
    np.testing.assert_allclose(z.sum(-1), 1, rtol=1e-5)
    frequencies = np.eye(3)[z.argmax(-1)].mean(0)
    assert np.all(np.abs(frequencies - p) < 5 * np.sqrt(p * (1 - p) / num))
    if temperature == 0.01:
        assert np.all(np.abs(z.mean(0) - p) < 5 * np.sqrt(p * (1 - p) / num) + temperature**2)


@pytest.mark.parametrize("layer", LAYERS)
def test_deterministic_call_returns_the_mean_without_a_draw(layer):
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    mean = special.expit(logits) if layer is BernoulliSampling else special.softmax(logits, -1)
    sampling = layer(temperature=0.1, seed=0)
    state = numpy(sampling.seed_generator.state)
    np.testing.assert_allclose(numpy(sampling(logits, deterministic=True)), mean, rtol=1e-5)
    np.testing.assert_array_equal(numpy(sampling.seed_generator.state), state)


@pytest.mark.parametrize("layer", LAYERS)
def test_gradients_pass_through_relaxed_samples(layer):
    logits = ops.convert_to_tensor([[0.5, -0.3, 0.1]])

    def sample(x):
        return layer(temperature=0.7, seed=3)(x)[0]

    z, gradient = numpy(sample(logits)), jacobian(sample, logits)[:, 0]
    slope = np.diag(z * (1 - z)) if layer is BernoulliSampling else np.diag(z) - np.outer(z, z)
    np.testing.assert_allclose(gradient, slope / 0.7, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_temperature_follows_assignment_inside_a_compiled_predict(layer):
    sampling = layer(temperature=1.0, seed=0)
    model = keras.Sequential([keras.Input((4,)), sampling])
    logits = np.zeros((200, 4), "float32")
    distances = []
    for temperature in (1.0, 0.01):
        sampling.temperature.assign(temperature)
        z = model.predict(logits, verbose=0)
        distances.append(np.minimum(z, 1 - z).mean())
    assert distances[0] > 0.1 > 0.02 > distances[1]


@pytest.mark.parametrize("layer", LAYERS)
def test_saved_weights_hold_the_annealed_temperature(layer, tmp_path):
    sampling = layer(temperature=1.0, seed=0)
    model = keras.Sequential([keras.Input((4,)), sampling])
    sampling.temperature.assign(0.25)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    assert float(loaded.temperature) == 0.25
    logits = ops.zeros((5, 4))
    np.testing.assert_array_equal(numpy(loaded(logits)), numpy(sampling(logits)))
    assert layer.from_config(sampling.get_config()).temperature == 1.0


@pytest.mark.parametrize("layer", LAYERS)
def test_temperature_that_is_not_above_zero_is_refused(layer):
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="deterministic=True"):
            layer(temperature=temperature)


@pytest.mark.parametrize("layer", [BernoulliKL, CategoricalKL])
def test_logits_that_differ_from_the_priors_in_shape_are_refused(layer):
    with pytest.raises(ValueError, match="equal shape"):
        layer()((ops.zeros((2, 3)), ops.zeros((2, 4))))
    with pytest.raises(ValueError, match="takes logits or"):
        layer()((ops.zeros((2, 3)),) * 3)
