"""Parts beyond the first ones, against scipy, sums and quadrature."""

import math

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops

from vae_keras import log_weights
from vae_keras.parts import (
    ContinuousBernoulli,
    Counts,
    FullGaussian,
    Gaussian,
    Levels,
    LogisticMixture,
    LowRankGaussian,
    NegativeBinomial,
    Own,
    Poisson,
    StudentT,
    ZeroInflated,
    check_part,
    kl_terms,
    log_gamma,
    log_gamma_ratio,
)
from vae_keras.parts.autodiff import gradients
from vae_keras.parts.inputs import total

numpy = ops.convert_to_numpy
RNG = np.random.default_rng(2)
CASES = {
    "full": (FullGaussian(), (2,)),
    "low rank": (LowRankGaussian(2), (2,)),
    "student": (StudentT(5.0), (1,)),
    "levels": (LogisticMixture(3, num_levels=8), (1,)),
    "grey levels": (Levels(ContinuousBernoulli(), num_levels=8), (1,)),
    "levels of a Gaussian": (Levels(Gaussian(scale=0.3, shared=True), num_levels=8), (1,)),
    "poisson": (Poisson(), (2,)),
    "negative binomial": (NegativeBinomial(), (1,)),
    "inflated": (ZeroInflated(Poisson()), (2,)),
    "inflated too": (ZeroInflated(NegativeBinomial()), (1,)),
    "own": (Own(FullGaussian(), (2,), spread=0.5), (2,)),
}


class Summed(Poisson):
    def width(self, statistics):
        return Counts.width(self, statistics)

    def lowest(self, statistics):
        return Counts.lowest(self, statistics)


def tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))


def random(*shape):
    return tensor(RNG.normal(size=shape))


@pytest.mark.grid
@pytest.mark.parametrize("name", CASES)
def test_methods_of_a_part_agree_with_each_other(name):
    check_part(*CASES[name])


def correlated(part, rows=6, dim=3):
    shapes = part.shapes((dim,))
    return tuple(random(rows, *shape) for shape in shapes)


def covariance(part, statistics):
    if isinstance(part, FullGaussian):
        factor = numpy(part.factor(statistics)).astype(float)
        return factor @ factor.swapaxes(1, 2)
    _, log_var, columns = (numpy(s).astype(float) for s in statistics)
    return columns @ columns.swapaxes(1, 2) + np.exp(log_var)[..., None] * np.eye(3)


@pytest.mark.parametrize("part", [FullGaussian(), LowRankGaussian(1), LowRankGaussian(2)])
def test_gaussians_with_correlations_have_the_density_of_scipy(part):
    statistics, value = correlated(part), random(6, 3)
    expected = [
        scipy.stats.multivariate_normal(mean, cov).logpdf(v)
        for mean, cov, v in zip(
            numpy(statistics[0]), covariance(part, statistics), numpy(value), strict=True
        )
    ]
    np.testing.assert_allclose(numpy(part.log_prob(statistics, value)), expected, rtol=1e-3)
    noise = part.noise(statistics, 6, 0)
    value, log_prob = part.draw(statistics, noise)
    again = numpy(part.log_prob(statistics, value))
    np.testing.assert_allclose(numpy(log_prob), again, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("part", [FullGaussian(), LowRankGaussian(2)])
@pytest.mark.parametrize("prior", [Gaussian(), FullGaussian()])
def test_kl_of_gaussians_with_correlations_is_the_formula_of_matrices(part, prior):
    q, p = correlated(part), tuple(random(6, *s) for s in prior.shapes((3,)))
    terms = kl_terms(part, q, prior, p)
    if isinstance(part, LowRankGaussian) and isinstance(prior, FullGaussian):
        assert terms is None
        return
    is_full = isinstance(prior, FullGaussian)
    covs = covariance(part, q)
    other = covariance(prior, p) if is_full else np.exp(numpy(p[1]))[..., None] * np.eye(3)
    inverse = np.linalg.inv(other)
    d = numpy(q[0] - p[0]).astype(float)
    expected = np.trace(inverse @ covs, axis1=1, axis2=2) - 3
    expected += np.einsum("ri,rij,rj->r", d, inverse, d)
    expected += np.linalg.slogdet(other)[1] - np.linalg.slogdet(covs)[1]
    np.testing.assert_allclose(numpy(total(terms)), expected / 2, rtol=1e-3)


def test_a_full_gaussian_is_the_posterior_of_probabilistic_pca():
    """6-D data, 3 latents, correlated a posteriori: ln w is ln p(x) at every draw."""
    loadings, scale, x = RNG.normal(size=(6, 3)), 0.7, RNG.normal(size=(5, 6)).astype("float32")
    precision = np.eye(3) + loadings.T @ loadings / scale**2
    mean = x @ loadings @ np.linalg.inv(precision) / scale**2
    factor = np.linalg.cholesky(np.linalg.inv(precision))
    rows = [np.log(np.diag(factor)), factor[np.tril_indices(3, -1)]]
    statistics = tensor(mean), *(tensor(np.tile(row, (5, 1))) for row in rows)
    kernel = tensor(loadings.T)
    log_w = log_weights(
        lambda x: statistics,
        lambda z: z @ kernel,
        x,
        20,
        posterior=FullGaussian(),
        likelihood=Gaussian(scale=scale),
        seed=0,
    )
    exact = scipy.stats.multivariate_normal(
        np.zeros(6), loadings @ loadings.T + scale**2 * np.eye(6)
    ).logpdf(x)
    assert np.max(np.abs(numpy(log_w) - exact)) < 5e-5
    diagonal = statistics[0], tensor(np.tile(-np.log(np.diag(precision)), (5, 1)))
    log_w = numpy(
        log_weights(
            lambda x: diagonal, lambda z: z @ kernel, x, 4000, likelihood=Gaussian(scale), seed=0
        )
    ).astype(float)
    gap = 0.5 * (np.sum(np.log(np.diag(precision))) - np.linalg.slogdet(precision)[1])
    error = 5 * log_w.std(0) / 4000**0.5
    assert np.all(np.abs(exact - log_w.mean(0) - gap) < error)


@pytest.mark.parametrize("df", [0.5, 1.0, 2.5, 30.0])
def test_student_t_has_the_density_of_scipy(df):
    location, log_scale, value = random(6, 3), random(6, 3), 10 * random(6, 3)
    expected = scipy.stats.t(df, numpy(location), np.exp(numpy(log_scale))).logpdf(numpy(value))
    found = StudentT(df).terms((location, log_scale), value)
    np.testing.assert_allclose(numpy(found), expected, rtol=1e-4)


def test_log_gamma_is_that_of_scipy():
    x = np.concatenate([np.geomspace(1e-3, 1e7, 2001), np.arange(1, 100)]).astype("float32")
    exact = scipy.special.gammaln(x.astype(float))
    error = np.abs(numpy(log_gamma(tensor(x))) - exact) / (1 + np.abs(exact))
    assert np.max(error) < 5e-6
    k = np.arange(0, 100, 7, dtype="float32")[:, None] + 0 * x
    exact = scipy.special.loggamma(x.astype(float) + k) - scipy.special.gammaln(x.astype(float))
    known = x < 1e4  # beyond, scipy's own difference loses its digits
    found = numpy(log_gamma_ratio(tensor(x + 0 * k), tensor(k)))
    error = np.abs(found - exact) / (1 + np.abs(exact))
    assert np.max(error[:, known]) < 5e-6
    np.testing.assert_allclose(found[1, x > 1e6], 7 * np.log(x[x > 1e6]), rtol=1e-5)


def test_counts_have_the_probabilities_of_scipy_which_sum_to_one():
    k = np.arange(0, 400, dtype="float32")[:, None]
    for rate, shift in ((0.1, 0), (3.0, 0), (14.0, 0), (80.0, 0), (5000.0, 4800)):
        found = numpy(Poisson().terms(tensor(np.full((400, 1), np.log(rate))), tensor(k + shift)))
        exact = scipy.stats.poisson(rate).logpmf(k + shift)
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=3e-5)
        assert shift or abs(np.exp(found).sum() - 1) < 1e-5
    for mean, r in ((3.0, 0.5), (3.0, 2.0), (20.0, 1e5)):
        pair = tuple(tensor(np.full((400, 1), np.log(a))) for a in (mean, r))
        found = numpy(NegativeBinomial().terms(pair, tensor(k)))
        exact = scipy.stats.nbinom(r, r / (r + mean)).logpmf(k)
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=2e-4)
        assert abs(np.exp(found).sum() - 1) < 1e-4
        gate = tensor(np.full((400, 1), 0.3))
        inflated = numpy(ZeroInflated(NegativeBinomial()).terms((gate, pair), tensor(k)))
        assert abs(np.exp(inflated).sum() - 1) < 1e-4
        zero = scipy.special.expit(0.3) + scipy.special.expit(-0.3) * np.exp(exact[0])
        np.testing.assert_allclose(np.exp(inflated[0]), zero, rtol=1e-4)


@pytest.mark.parametrize("r", [1e-3, 0.1, 1.0, 5.9, 30.0, 1e3])
@pytest.mark.parametrize("mean", [0.3, 20.0, 1e4, 1e6])
def test_negative_binomial_counts_keep_their_digits_and_gradients_however_large(mean, r):
    k = np.concatenate([np.arange(30), np.round(np.linspace(0.3, 2, 50) * mean)])[:, None]
    pair = [tensor(np.full(k.shape, np.log(a))) for a in (mean, r)]
    m, r = (np.exp(numpy(a).astype(float)) for a in pair)  # what float32 makes of them
    exact = scipy.stats.nbinom(r, r / (r + m)).logpmf(k)
    found = numpy(NegativeBinomial().terms(pair, tensor(k)))
    np.testing.assert_allclose(found, exact, rtol=3e-5, atol=1e-5)
    digamma = scipy.special.digamma
    rises = digamma(r + k) - digamma(r) + np.log(r / (r + m)) + (m - k) / (r + m)
    slopes = gradients(lambda s: ops.sum(NegativeBinomial().terms(s, tensor(k))), pair)
    for slope, right in zip(slopes, ((k - m) * r / (r + m), r * rises), strict=True):
        np.testing.assert_allclose(slope, right, rtol=5e-5, atol=5e-5)
    far = [tensor([[100.0, -100.0]]), tensor([[0.0, 0.0]])]  # e^100 is infinite in float32
    found = numpy(NegativeBinomial().terms(far, tensor([[20.0, 20.0]])))
    np.testing.assert_allclose(found, [[-100, -2000]], rtol=1e-5)


@pytest.mark.parametrize("rate", [0.02, 4.0, 200.0])  # exp(-200) is 0 in float32
def test_a_draw_of_counts_is_the_quantile_of_its_noise(rate):
    u = np.linspace(0.001, 0.999, 200, dtype="float32")[:, None]
    value, _ = Poisson().draw(tensor(np.full((200, 1), np.log(rate))), tensor(u))
    expected = scipy.stats.poisson(rate).ppf(u)
    np.testing.assert_array_equal(numpy(value), expected)
    if rate == 4.0:
        pair = tensor(np.full((200, 1), np.log(4))), tensor(np.full((200, 1), np.log(0.5)))
        value, _ = NegativeBinomial().draw(pair, tensor(u))
        np.testing.assert_array_equal(numpy(value), scipy.stats.nbinom(0.5, 1 / 9).ppf(u))


WIDE = {  # large counts, and some of a part whose `width` is that of a part of one's own
    "poisson": (Poisson(), [1e6], lambda m: scipy.stats.poisson(m)),
    "long tail": (NegativeBinomial(), [1e3, 0.5], lambda m, r: scipy.stats.nbinom(r, r / (r + m))),
    "mostly 0": (NegativeBinomial(), [30.0, 0.02], lambda m, r: scipy.stats.nbinom(r, r / (r + m))),
    "far": (NegativeBinomial(), [1e6, 30.0], lambda m, r: scipy.stats.nbinom(r, r / (r + m))),
    "own": (Summed(), [300.0], lambda m: scipy.stats.poisson(m)),
}


@pytest.mark.parametrize("name", WIDE)
def test_draws_of_large_counts_are_quantiles_in_a_few_evaluations(name, monkeypatch):
    part, parameters, model = WIDE[name]
    rows = [tensor(np.full((200, 1), np.log(a))) for a in parameters]
    model = model(*(np.exp(numpy(a)[0, 0].astype(float)) for a in rows))  # as float32 has them
    u, calls, terms = np.linspace(1e-3, 1 - 1e-5, 200, dtype="float32")[:, None], [], part.terms
    monkeypatch.setattr(part, "terms", lambda s, k: (calls.append(k), terms(s, k))[1])
    value = numpy(part.draw(rows if len(rows) > 1 else rows[0], tensor(u))[0]).astype(float)
    assert np.all(value == np.round(value)) and len(calls) < 250
    assert np.all(model.cdf(value) > u - 5e-6) and np.all(model.cdf(value - 1) < u + 5e-6)


def test_the_kl_of_poisson_variables_is_the_sum_over_counts():
    a, b, k = random(6, 1), random(6, 1), np.arange(100)
    log_p = scipy.stats.poisson(np.exp(numpy(a))).logpmf(k)
    log_r = scipy.stats.poisson(np.exp(numpy(b))).logpmf(k)
    expected = np.sum(np.exp(log_p) * (log_p - log_r), -1)
    found = numpy(kl_terms(Poisson(), a, Poisson(), b))[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_256_levels_have_probabilities_that_sum_to_one_also_far_away():
    part, levels = LogisticMixture(3), np.arange(256, dtype="float32")[:, None] / 255
    for log_scale in (0.0, -3.0, -6.0):
        logits, means = RNG.normal(size=(2, 3))
        row = [logits, means / 2, np.full(3, log_scale)]
        statistics = [tensor(np.tile(a, (256, 1, 1))) for a in row]
        found = numpy(part.log_prob(statistics, tensor(levels))).astype(float)
        assert abs(np.exp(found).sum() - 1) < 1e-5
        edges = (np.arange(257) * 2 - 1) / 255 - 1
        edges[0], edges[-1] = -np.inf, np.inf
        cdf = scipy.special.expit((edges[:, None] - row[1]) / np.exp(log_scale))
        expected = np.diff(cdf, axis=0) @ scipy.special.softmax(logits)
        np.testing.assert_allclose(np.exp(found), expected, rtol=1e-3, atol=1e-6)
    one = [tensor(np.full((1, 1, 1), a)) for a in (0.0, -1.0, -6.0)]
    far = numpy(LogisticMixture(1).log_prob(one, tensor([[128 / 255]])))[0]
    width = 2 / 255 * math.exp(6)
    expected = -(2 * 128 / 255 - 1 / 255) * math.exp(6) + math.log(-math.expm1(-width))
    assert np.isfinite(far) and abs(far - expected) < 1e-3 * abs(expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FullGaussian().factor([random(2, 3), random(2, 3), random(2, 2)]), "(rows, 3)"),
        (lambda: FullGaussian().shapes((2, 3)), "Flatten it before"),
        (lambda: LowRankGaussian(0), "rank"),
        (lambda: LowRankGaussian(2).noise(correlated(LowRankGaussian(1)), 6, 0), "V was given"),
        (lambda: StudentT(0.0), "df must be above 0"),
        (lambda: LogisticMixture(0), "num_components"),
        (lambda: LogisticMixture(num_levels=1), "num_levels"),
        (lambda: ZeroInflated(Gaussian()), "which has a density"),
        (lambda: Poisson().log_prob(random(2, 3), random(2, 1)), "Poisson was given a value"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        call()


@pytest.mark.long
def test_counts_are_drawn_in_a_compiled_step():
    model = keras.Sequential([keras.layers.Dense(2), Poisson(seed=0)])
    value, log_prob = model.predict(np.zeros((5, 3)), verbose=0)
    assert value.shape == (5, 2) and np.all(value >= 0) and np.all(np.isfinite(log_prob))
