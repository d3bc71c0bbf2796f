"""Parts with closed forms, and the test for parts; run it with KERAS_BACKEND=jax or torch, too."""

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

from vae_keras.parts import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    Mixture,
    Own,
    Part,
    check_part,
    kl_terms,
)
from vae_keras.parts.autodiff import gradients
from vae_keras.parts.inputs import gumbel, total

numpy = ops.convert_to_numpy
RNG = np.random.default_rng(0)
MEAN, LOG_VAR = RNG.normal(size=(2, 6, 3)).astype("float32")
A, B = (ops.convert_to_tensor(a) for a in (MEAN, LOG_VAR))
UNIT = {"support": (0.0, 1.0)}
CASES = {
    "gaussian": (Gaussian(), (2,), {}),
    "fixed": (Gaussian(scale=0.5), (1,), {}),
    "shared": (Gaussian(scale=0.5, shared=True), (1,), {}),
    "cold": (Gaussian(temperature=0.3), (1,), {}),
    "bernoulli": (Bernoulli(), (3,), {}),
    "categorical": (Categorical(3), (2,), {}),
    "continuous": (ContinuousBernoulli(), (1,), UNIT),
    "own": (Own(Gaussian(), (2,), spread=0.5), (2,), {}),
    "own bits": (Own(Bernoulli(), (2,), spread=0.5), (2,), {}),
}


def random(*shape):
    return ops.convert_to_tensor(RNG.normal(size=shape).astype("float32"))


@pytest.mark.parametrize("name", CASES)
def test_methods_of_a_part_agree_with_each_other(name):
    part, event, options = CASES[name]
    check_part(part, event, **options)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Gaussian(), scipy.stats.norm(MEAN, np.exp(LOG_VAR / 2)).logpdf),
        (Gaussian(temperature=0.3), scipy.stats.norm(MEAN, np.sqrt(0.3 * np.exp(LOG_VAR))).logpdf),
    ],
)
def test_gaussian_density_is_that_of_scipy(part, expected):
    value = random(6, 3)
    np.testing.assert_allclose(numpy(part.terms((A, B), value)), expected(numpy(value)), rtol=1e-4)
    np.testing.assert_allclose(
        numpy(part.log_prob((A, B), value)), expected(numpy(value)).sum(-1), rtol=1e-4
    )


def test_fixed_and_shared_scales_are_standard_deviations():
    value = random(6, 3)
    expected = scipy.stats.norm(MEAN, 0.7).logpdf
    for part in (Gaussian(scale=0.7), Gaussian(scale=0.7, shared=True)):
        np.testing.assert_allclose(numpy(part.terms(A, value)), expected(numpy(value)), rtol=1e-4)
    assert not Gaussian(scale=0.7).trainable_weights
    assert len(Gaussian(scale=0.7, shared=True).trainable_weights) == 1


def test_grey_levels_have_the_density_and_the_quantiles_of_an_exponential_on_the_unit_interval():
    logits = np.array([[-40.0, -3, -0.4, -0.02, 0.01, 0.4, 3, 40]], "float32")
    u = RNG.random((1, 8)).astype("float32")
    exact = logits.astype(float)
    tensors = (ops.convert_to_tensor(a) for a in (logits, u))
    value, log_prob = ContinuousBernoulli().draw(*tensors)
    expected = np.log1p(u * np.expm1(exact)) / exact
    np.testing.assert_allclose(numpy(value), expected, rtol=1e-5, atol=1e-6)
    log_z = np.log(np.expm1(exact) / exact)
    np.testing.assert_allclose(numpy(log_prob)[0], np.sum(exact * expected - log_z), rtol=1e-5)


def test_the_gradient_of_a_grey_level_is_that_of_its_quantile_also_at_logit_zero():
    u = np.linspace(0.05, 0.95, 7, dtype="float32")[:, None]
    for logit in (-2.0, -0.05, -0.02, 0.0, 0.02, 0.05, 2.0):
        logits = np.full((7, 1), logit, "float32")
        noise = ops.convert_to_tensor(u)
        path = gradients(
            lambda s, noise=noise: ops.sum(ContinuousBernoulli().draw(s[0], noise)[0]), [logits]
        )[0]
        above, below = (
            np.log1p(u.astype(float) * np.expm1(logit + d)) / (logit + d) for d in (1e-4, -1e-4)
        )
        np.testing.assert_allclose(path, (above - below) / 2e-4, atol=2e-4)


@pytest.mark.parametrize(
    ("part", "q", "p", "event"),
    [
        (Gaussian(), (A, B), (B, A), (3,)),
        (Gaussian(scale=0.7), A, B, (3,)),
        (Bernoulli(), A, B, (3,)),
        (Categorical(3), A, B, ()),
        (ContinuousBernoulli(), A, B, (3,)),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, Part) else "",
)
def test_closed_form_of_the_kl_is_the_average_over_draws(part, q, p, event):
    terms = kl_terms(part, q, part, p)
    assert tuple(terms.shape) == (6, *event)
    num, closed = 20_000, numpy(total(terms))
    for row in range(6):
        q_row, p_row = (
            keras.tree.map_structure(lambda a: ops.repeat(a[row : row + 1], num, 0), s)  # noqa: B023
            for s in (q, p)
        )
        value, log_q = part.draw(q_row, part.noise(q_row, num, row))
        ratio = numpy(log_q - part.log_prob(p_row, value)).astype(float)
        assert abs(ratio.mean() - closed[row]) < 5 * ratio.std() / num**0.5


def test_the_kl_is_zero_for_equal_parts_and_none_without_a_rule():
    for part, statistics in ((Gaussian(), (A, B)), (Bernoulli(), A), (Categorical(3), A)):
        assert np.max(np.abs(numpy(kl_terms(part, statistics, part, statistics)))) < 1e-6

    class Halved(Bernoulli):
        pass

    assert kl_terms(Halved(), A, Bernoulli(), A) is None
    assert kl_terms(Gaussian(), (A, B), Bernoulli(), A) is None


def test_a_part_is_at_its_standard_member_when_its_own_weights_begin():
    value = random(6, 3)
    prior = Own(Gaussian(), (3,), trainable=False)
    expected = scipy.stats.norm().logpdf(numpy(value)).sum(-1)
    np.testing.assert_allclose(numpy(prior.log_prob(None, value)), expected, rtol=1e-5)
    assert not prior.trainable_weights and prior.is_standard
    learned = Own(Gaussian(), (3,))
    assert len(learned.trainable_weights) == 2 and not learned.is_standard
    for weight, new in zip(learned.values, random(2, 3), strict=True):
        weight.assign(new)
    mean, log_var = learned.resolve(None, 6)  # a pair on TensorFlow too, which wraps tuples
    expected = (
        scipy.stats.norm(numpy(mean), np.exp(numpy(log_var) / 2)).logpdf(numpy(value)).sum(-1)
    )
    np.testing.assert_allclose(numpy(learned.log_prob(None, value)), expected, rtol=1e-4)
    spread = Own(Categorical(4), (1000,), spread=0.5, seed=0).values
    assert abs(numpy(spread[0]).std() - 0.5) < 5 * 0.5 / 8000**0.5


def test_weights_exist_from_the_beginning_and_go_through_files_without_a_call(tmp_path):
    part = Own(Gaussian(scale=0.3, shared=True), (3,))
    assert len(part.trainable_weights) == 2

    class Holder(keras.Model):
        def __init__(self, part):
            super().__init__()
            self.part, self.built = part, True

    holder = Holder(part)
    for weight in part.weights:
        weight.assign(weight + 0.25)
    holder.save_weights(tmp_path / "part.weights.h5")
    other = Holder(Own(Gaussian(1.0, shared=True), (3,)))
    other.load_weights(tmp_path / "part.weights.h5")
    for weight, loaded in zip(part.weights, other.part.weights, strict=True):
        np.testing.assert_array_equal(numpy(weight), numpy(loaded))


def test_as_a_layer_a_part_goes_into_a_model_which_is_saved_in_safe_mode(tmp_path):
    x = keras.Input((3,))
    statistics = keras.layers.Dense(3)(x), keras.layers.Dense(3)(x)
    model = keras.Model(x, Gaussian(seed=3)(statistics))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    for ours, theirs in zip(model(A), loaded(A), strict=True):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))
    words = keras.Model(x, Categorical(4)(keras.layers.Dense(4)(x)))
    value, log_prob = words(A)
    np.testing.assert_array_equal(numpy(value).sum(-1), np.ones(6))
    assert log_prob.shape == (6,)
    prior, log_prob = Own(Bernoulli(), (5,))(A)
    assert prior.shape == (6, 5) and np.allclose(numpy(log_prob), -5 * np.log(2))


def test_under_mixed_precision_densities_and_weights_are_float32():
    """A method called by a float16 layer would read weights that autocast as float16."""

    class Noisy(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.part = Gaussian(scale=0.1, shared=True, dtype=self.dtype_policy)

        def call(self, x):
            x = ops.cast(x, "float32")
            return self.part.log_prob(x, x), self.part.log_var + 0.0

    mixed, full = (Noisy(dtype=policy)(A) for policy in ("mixed_float16", "float32"))
    for ours, expected in zip(mixed, full, strict=True):
        assert keras.backend.standardize_dtype(ours.dtype) == "float32"
        np.testing.assert_array_equal(numpy(ours), numpy(expected))
    pair = keras.tree.map_structure(lambda a: ops.cast(a, "float16"), (A, 22 + 0 * B))
    value, log_prob = Gaussian(dtype="mixed_float16")(pair)  # exp(11) overflows float16 at 65,504
    assert keras.backend.standardize_dtype(value.dtype) == "float16"
    assert keras.backend.standardize_dtype(log_prob.dtype) == "float32"
    assert np.all(np.isfinite(numpy(log_prob)))


@pytest.mark.parametrize("name", ["gaussian", "bernoulli", "categorical", "continuous"])
def test_a_seed_gives_the_same_sequence_of_calls(name):
    make, event, _ = CASES[name]
    shape = make.shapes((5,) * len(event))
    statistics = keras.tree.map_shape_structure(lambda s: ops.zeros((40, *s)), shape)
    config = make.get_config()
    first, second, other = (type(make).from_config({**config, "seed": seed}) for seed in (1, 1, 2))
    for _ in range(2):
        draws = [numpy(part(statistics)[0]) for part in (first, second, other)]
        np.testing.assert_array_equal(draws[0], draws[1])
        assert np.any(draws[0] != draws[2])
    assert np.any(numpy(first(statistics)[0]) != draws[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Gaussian(scale=0.0), "scale must be above 0"),
        (lambda: Gaussian(shared=True), "needs a number to begin at"),
        (lambda: Gaussian(temperature=-1), "temperature must be 0 or more"),
        (lambda: Gaussian().log_prob(A, A), r"a pair \(mean, log_var\).*got shape \(6, 3\)"),
        (lambda: Gaussian(scale=1.0).log_prob((A, B), A), "takes the mean alone.*got 2 tensors"),
        (lambda: Gaussian().log_prob((A, B), A[:, :1]), r"value of shape \(rows, 1\).*\(rows, 3\)"),
        (lambda: Gaussian().log_prob((A, B[:, :1]), A), "Gaussian's mean"),
        (lambda: Gaussian(temperature=0.0).log_prob((A, B), A), "no density"),
        (lambda: Bernoulli().log_prob(A[:, :1], A), "Bernoulli was given a value"),
        (lambda: Categorical(1), "num_classes"),
        (lambda: Categorical(4).log_prob(A, A[:, 0]), "takes logits with a last axis of 4"),
        (lambda: Gaussian().resolve(None, 3), "a part with|A part with weights of its own"),
        (lambda: Own(Gaussian(), (3,)).resolve((A, B), 6), "takes None"),
        (lambda: Own(Gaussian(), (3,), spread=-1.0), "spread must be 0 or more"),
        (lambda: Gaussian(seed="a"), "seed must be an integer"),
        (
            lambda: kl_terms(Gaussian(temperature=0.5), (A, B), Gaussian(), (A, B)),
            "against N\\(0, I\\) alone",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_at_a_temperature_the_kl_is_energy_minus_t_times_entropy():
    zeros = ops.zeros_like(A), ops.zeros_like(A)
    prior = Own(Gaussian(), (3,), trainable=False)
    for t in (0.0, 0.4, 1.0):
        terms = numpy(kl_terms(Gaussian(temperature=t), (A, B), prior, zeros))
        np.testing.assert_allclose(
            terms, (MEAN**2 + t * (np.exp(LOG_VAR) - 1 - LOG_VAR)) / 2, rtol=1e-5
        )
    cold = Gaussian(temperature=0.0)
    value, _ = cold.draw((A, B), cold.noise((A, B), 6, 0))
    np.testing.assert_array_equal(numpy(value), MEAN)


class Broken(Gaussian):
    """A Gaussian with one thing wrong; each must be found."""


class WrongDensity(Broken):
    def terms(self, statistics, value):
        return super().terms(statistics, value) + 0.1

    def draw(self, statistics, noise):
        value, log_prob = super().draw(statistics, noise)
        return value, log_prob + 0.1 * value.shape[1]


class WrongDraw(Broken):
    def draw(self, statistics, noise):
        value = super().draw(statistics, noise)[0]
        return statistics[0] - (value - statistics[0]) ** 2, self.log_prob(
            statistics, statistics[0] - (value - statistics[0]) ** 2
        )


class WrongLogProb(Broken):
    def draw(self, statistics, noise):
        value, log_prob = super().draw(statistics, noise)
        return value, log_prob - 0.01


class WrongPath(Broken):
    def draw(self, statistics, noise):
        return super().draw((statistics[0], ops.stop_gradient(statistics[1])), noise)


class WrongMean(Broken):
    def mean(self, statistics):
        return statistics[0] + 0.1


class MixedRows(Broken):
    def terms(self, statistics, value):
        return super().terms(statistics, value) + 0.1 * ops.std(value, axis=0)

    def draw(self, statistics, noise):
        value = super().draw(statistics, noise)[0]
        return value, self.log_prob(statistics, value)


class NoiseOfStatistics(Broken):
    def noise(self, statistics, rows, seed):
        return super().noise(statistics, rows, seed) + ops.mean(statistics[0])


class Forgets(Broken):
    def __init__(self, scale=0.5, **kwargs):
        super().__init__(None, **kwargs)
        self.offset = scale

    def moments(self, statistics):
        return statistics[0] + self.offset, statistics[1]

    def get_config(self):
        return {**super().get_config(), "scale": 0.0}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (WrongDensity, "integrates to 1.1"),
        (WrongDraw, "average of draws"),
        (WrongLogProb, "from the noise"),
        (WrongPath, "gradient through draws"),
        (WrongMean, "the mean"),
        (MixedRows, "with others and without"),
        (NoiseOfStatistics, "noise depends"),
        (Forgets, "a loaded part"),
    ],
)
def test_check_part_finds_what_is_wrong(broken, message):
    keras.saving.register_keras_serializable(package="test_parts")(broken)
    with pytest.raises(AssertionError, match=message):
        check_part(broken())


def test_check_part_finds_wrong_frequencies_of_discrete_draws():
    class Biased(Bernoulli):
        def draw(self, statistics, noise):
            return super().draw(statistics, noise**1.1)

    with pytest.raises(AssertionError, match="a frequency"):
        check_part(Biased(), (2,))
    with pytest.raises(ValueError, match="one entry or two"):
        check_part(Gaussian(), (3,))


def test_a_part_of_ones_own_is_told_what_it_lacks():
    class Empty(Part):
        pass

    part = Empty()
    calls = {
        "noise": lambda: part.noise(A, 6, 0),
        "draw": lambda: part.draw(A, A),
        "terms or log_prob": lambda: part.log_prob(A, A),
        "terms or": lambda: part.terms(A, A),
        "mean": lambda: part.mean(A),
        "shapes": lambda: part.shapes((3,)),
    }
    for lacks, call in calls.items():
        with pytest.raises(NotImplementedError, match=f"Empty does not write {lacks}"):
            call()


def test_an_integer_seed_gives_different_noise_to_each_component_of_a_part():
    """Two draws from one and the same integer would be the same numbers."""
    part, rows = Mixture(Bernoulli(), 2), 2000
    statistics = ops.zeros((rows, 2)), ops.zeros((rows, 2, 2))
    choice, bits = (numpy(n) for n in part.noise(statistics, rows, 3))
    correlation = np.corrcoef(choice.ravel(), bits.ravel())[0, 1]
    assert abs(correlation) < 5 / (2 * rows) ** 0.5


def test_gumbel_noise_has_the_mean_and_variance_of_its_distribution():
    noise = numpy(gumbel((40_000,), "float32", 0)).astype(float)
    expected = scipy.stats.gumbel_r()
    assert abs(noise.mean() - expected.mean()) < 5 * expected.std() / 200
    fourth = expected.stats("k") + 2
    assert abs(noise.var() - expected.var()) < 5 * expected.var() * fourth**0.5 / 200
