"""Levels as intervals of a density: against scipy, quadrature and the truncated geometric law."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops

from vae_keras.parts import (
    ContinuousBernoulli,
    Gaussian,
    Levels,
    LogisticMixture,
    StudentT,
    log_ndtr,
    log_normal_mass,
)
from vae_keras.parts.autodiff import gradients

numpy = ops.convert_to_numpy
LEVELS = np.arange(256, dtype="float32")[:, None] / 255


def tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))


def of_all_levels(part, *statistics):
    """ln p of each of the 256 levels, float64."""
    rows = [tensor(np.full((256, 1), s)) for s in statistics]
    return numpy(part.log_prob(rows if len(rows) > 1 else rows[0], tensor(LEVELS))).astype(float)


def test_log_ndtr_is_that_of_scipy():
    x = np.concatenate([np.linspace(-10, 6, 1601), -np.geomspace(10, 1e6, 200)]).astype("float32")
    exact = scipy.special.log_ndtr(x.astype(float))
    assert np.max(np.abs(numpy(log_ndtr(tensor(x))) - exact) / (1 + np.abs(exact))) < 5e-7


def log_mass(near, width):
    """By 60 Gauss-Legendre nodes, in float64; beyond 12 the density has fallen to nothing."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    width = np.minimum(width, 12 + np.maximum(near, 0))
    x = near[:, None] - width[:, None] * (1 - nodes) / 2
    log_p = scipy.stats.norm.logpdf(x) + np.log(weights * width[:, None] / 2)
    return scipy.special.logsumexp(log_p, axis=1)


def test_the_mass_of_an_interval_is_that_of_quadrature_however_narrow_and_far():
    width = np.array([1e-6, 1e-3, 0.1, 0.49, 0.51, 1.0, 3.0, 9.0, np.inf], "float32")
    middle = np.array([0.0, -0.3, -0.9, -1.1, -4.0, -30.0, -400.0], "float32")
    width, middle = (a.ravel() for a in np.meshgrid(width, middle))
    near = np.where(np.isinf(width), middle, middle + width / 2).astype("float32")
    near, width = near[(width < 4) | (near > -5)], width[(width < 4) | (near > -5)]
    exact = log_mass(near.astype(float), width.astype(float))
    found = numpy(log_normal_mass(tensor(near), tensor(width)))
    assert np.max(np.abs(found - exact) / (1 + np.abs(exact))) < 2e-6


@pytest.mark.parametrize("logit", [0.0, 1e-4, 0.4, -0.6, 30.0, -30.0, 3000.0, -3000.0])
def test_levels_of_a_continuous_bernoulli_are_a_truncated_geometric_law(logit):
    found, k = of_all_levels(Levels(ContinuousBernoulli()), logit), np.arange(256)
    exact = logit * k / 256 - scipy.special.logsumexp(logit * k / 256)
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=2e-6)
    assert abs(np.exp(found).sum() - 1) < 2e-6


@pytest.mark.parametrize("mean", [0.3, 0.0, -2.0])
@pytest.mark.parametrize("scale", [1e-4, 0.01, 0.3, 1.0, 100.0])
def test_levels_of_a_gaussian_have_the_probabilities_of_scipy_which_sum_to_one(mean, scale):
    edges = np.arange(257) / 256
    edges[0], edges[-1] = -np.inf, np.inf
    mean, log_var = np.float32(mean), np.float32(2 * np.log(scale))
    model = scipy.stats.norm(float(mean), np.exp(log_var.astype(float) / 2))
    above = edges[:-1] > mean  # scipy's tails keep their digits on one side alone
    cdf, survival = np.diff(model.cdf(edges)), -np.diff(model.sf(edges))
    exact = np.where(above, survival, cdf)
    found = of_all_levels(Levels(Gaussian()), mean, log_var)
    assert np.all(np.isfinite(found)) and np.all(found <= 0)
    np.testing.assert_allclose(np.exp(found), exact, rtol=2e-4, atol=1e-30)
    assert abs(np.exp(found).sum() - 1) < 1e-5
    same = of_all_levels(Levels(Gaussian(scale=float(scale))), mean)
    np.testing.assert_allclose(same, found, rtol=1e-4, atol=1e-5)


def test_a_density_is_unbounded_at_a_level_where_the_probability_is_not():
    """Black pixels under a Gaussian that narrows down on them, and off the level it is finite."""
    pair = [tensor(np.full((3, 1), a)) for a in (1 / 512, 0.0)]
    log_var = tensor(2 * np.log([[1e-1], [1e-4], [1e-7]]))
    black, white = tensor(np.zeros((3, 1))), tensor(np.ones((3, 1)))
    density = numpy(Gaussian().log_prob((pair[0], log_var), pair[0]))
    p = numpy(Levels(Gaussian()).log_prob((pair[0], log_var), black))
    assert np.all(np.diff(density) > 6) and density[-1] > 15
    assert np.all(np.diff(p) >= 0) and -1e-20 < p[-1] <= 0
    assert np.all(np.isfinite(numpy(Levels(Gaussian()).log_prob((pair[0], log_var), white))))


@pytest.mark.parametrize("part", [Gaussian(), ContinuousBernoulli()])
def test_a_narrow_level_is_the_density_times_its_width(part):
    num, x = 2**12, np.linspace(0.1, 0.9, 9, dtype="float32")[:, None]
    shapes = [(9, 1)] * (2 if isinstance(part, Gaussian) else 1)
    statistics = [tensor(np.linspace(-1, 1, 9).reshape(shape)) for shape in shapes]
    given = statistics if len(shapes) > 1 else statistics[0]
    level = np.round(x * (num - 1))
    found = numpy(Levels(part, num).log_prob(given, tensor(level / (num - 1))))
    density = numpy(part.log_prob(given, tensor((level + 0.5) / num)))
    np.testing.assert_allclose(found, density - np.log(num), atol=2e-6 * num**0.5)


def test_gradients_are_those_of_differences_also_at_the_ends_and_at_zero():
    part = Levels(ContinuousBernoulli())
    logits = tensor(np.zeros((256, 1)))
    (slope,) = gradients(lambda s: ops.sum(part.log_prob(s[0], tensor(LEVELS))), [logits])
    np.testing.assert_allclose(slope[:, 0], (np.arange(256) - 127.5) / 256, atol=1e-5)
    means, h = np.array([0.5, -3.0, 0.25]), 1e-4  # exact in float32
    x, part = tensor(np.tile(LEVELS, (3, 1))), Levels(Gaussian())
    for log_var in (-12.0, -1.0, 3.0):
        rows = [tensor(np.repeat(a, 256)[:, None]) for a in (means, np.full(3, log_var))]
        found = gradients(lambda s: ops.sum(part.log_prob(s, x)), rows)
        scale = np.exp(log_var / 2)
        up, down = (log_p_of_levels(means + step * scale, scale) for step in (h, -h))
        in_mean = (up - down) / (2 * h * scale)
        up, down = (log_p_of_levels(means, scale * np.exp(step / 2)) for step in (h, -h))
        for slope, exact in zip(found, (in_mean, (up - down) / (2 * h)), strict=True):
            np.testing.assert_allclose(slope[:, 0], exact, rtol=1e-3, atol=1e-3)


def log_p_of_levels(mean, scale):
    """ln P of all 256 levels for each mean, float64, by scipy and quadrature."""
    edges = np.arange(257) / 256
    edges[0], edges[-1] = -np.inf, np.inf
    a, b = (np.ravel((e - mean[:, None]) / scale) for e in (edges[:-1], edges[1:]))
    near, far = np.where(a + b > 0, -a, b), np.where(a + b > 0, -b, a)
    log_near, log_far = scipy.special.log_ndtr(near), scipy.special.log_ndtr(far)
    wide = log_near + np.log1p(-np.exp(np.minimum(log_far - log_near, -1e-9)))
    return np.where(near - far < 3, log_mass(near, near - far), wide)


def test_draws_fall_into_the_levels_with_their_probabilities():
    part, num = Levels(Gaussian(scale=0.2), num_levels=4), 40_000
    mean = tensor(np.full((num, 1), 0.3))
    value, log_prob = part.draw(mean, part.noise(mean, num, 0))
    counts = np.bincount(np.round(numpy(value)[:, 0] * 3).astype(int), minlength=4) / num
    p = np.diff([0, *scipy.stats.norm(0.3, 0.2).cdf([0.25, 0.5, 0.75]), 1])
    assert np.all(np.abs(counts - p) < 5 * np.sqrt(p * (1 - p) / num))
    np.testing.assert_allclose(
        np.exp(numpy(log_prob)), p[np.round(numpy(value)[:, 0] * 3).astype(int)], rtol=1e-4
    )


@pytest.mark.parametrize("part", [Levels(Gaussian()), LogisticMixture()])
def test_values_that_are_no_levels_are_refused_and_levels_in_float32_are_not(part):
    k, noise = np.arange(256), np.random.default_rng(0).random(256)
    part.check_value((k / 255).astype("float32"))
    for value in (k / 256, (k + noise) / 256):
        with pytest.raises(ValueError, match=r"must be levels k/255: divide .* not by 256"):
            part.check_value(value.astype("float32"))
    fine = np.arange(2**16, dtype="float32")
    Levels(Gaussian(), 2**16).check_value(fine / 65535)
    with pytest.raises(ValueError, match="k/65535"):
        Levels(Gaussian(), 2**16).check_value(fine / 65536)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Levels(StudentT(3.0)), "has a log_mass"),
        (lambda: Levels(Gaussian(), num_levels=1), "num_levels"),
        (lambda: Levels(Gaussian()).check_value(np.full((1, 1), 255)), "divide the integers"),
        (lambda: of_all_levels(Levels(Gaussian(temperature=0.0)), 0.0, 0.0), "no density"),
        (
            lambda: Levels(Gaussian()).log_prob([tensor([[0.0, 0.0]])] * 2, tensor([[0.0]])),
            "was given a value",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
