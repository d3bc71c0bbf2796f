"""Posteriors in unconstrained coordinates, and what is known about them: for black_box.py."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from sklearn.datasets import load_breast_cancer, load_diabetes, make_moons

tfd = tfp.distributions


class Model(NamedTuple):
    """ln p(x, z) of z, (.., dim), float64, and the exact answers where there are any."""

    log_prob: Callable[[Any], Any]
    dim: int
    exact: dict[str, Any] | None = None  # log_z in nats; mean and sd, (dim,)


def normal(values, scale=1.0):
    """Log-density of independent normal values with mean 0, summed over the last axis."""
    scale = tf.constant(scale, tf.float64)
    return tf.reduce_sum(tfd.Normal(tf.zeros([], tf.float64), scale).log_prob(values), -1)


def linear_gaussian(gram, moment, square, prior):
    """The posterior of y ~ N(A b, N), b ~ N(0, prior^2): mean, covariance, ln p(y).

    gram = A^T N^-1 A, moment = A^T N^-1 y, square = y^T N^-1 y + ln det(2 pi N); axes in front of
    all are a batch; prior is a vector of standard deviations.
    """
    precision = gram + np.eye(len(prior)) / prior**2
    covariance = np.linalg.inv(precision)
    mean = (covariance @ moment[..., None])[..., 0]
    log_det = np.linalg.slogdet(precision * prior**2)[1]
    return mean, covariance, (np.sum(mean * moment, -1) - square - log_det) / 2


def mixture(log_p, means, variances, cell):
    """ln p, mean and sd by quadrature: from ln p and moments at each point of a grid of cells."""
    weights = np.exp(log_p - log_p.max())
    log_z = np.log(weights.sum() * cell) + log_p.max()
    weights /= weights.sum()
    mean = weights @ means
    return {
        "log_z": float(log_z),
        "mean": mean,
        "sd": (weights @ (variances + means**2) - mean**2) ** 0.5,
    }


def linear_regression():
    """30 points, 5 coefficients, regressors that share a factor."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 5)) + rng.normal(size=(30, 1))
    y = x @ rng.normal(size=5) + rng.normal(size=30)
    mean, covariance, log_z = linear_gaussian(
        x.T @ x, x.T @ y, y @ y + 30 * np.log(2 * np.pi), np.ones(5)
    )

    def log_prob(z):
        return normal(z) + normal(y - tf.linalg.matvec(x, z))

    sd = np.diag(covariance) ** 0.5
    return Model(log_prob, 5, {"log_z": float(log_z), "mean": mean, "sd": sd})


def correlated_gaussian():
    """10 coordinates in a row, neighbours correlated by 0.6."""
    covariance = 0.6 ** np.abs(np.subtract.outer(np.arange(10), np.arange(10)))
    exact = tfd.MultivariateNormalTriL(np.zeros(10), np.linalg.cholesky(covariance))
    return Model(exact.log_prob, 10, {"log_z": 0.0, "mean": np.zeros(10), "sd": np.ones(10)})


SCHOOLS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
SCHOOL_ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def eight_schools(centred):
    """Rubin's effects of coaching: mu ~ N(0, 5), tau ~ half-Cauchy(5); mu, ln tau, 8 effects."""

    def log_prob(z):
        mu, log_tau, rest = z[..., :1], z[..., 1:2], z[..., 2:]
        tau = tf.exp(log_tau)
        prior = normal(mu, 5.0) + tf.reduce_sum(log_tau, -1)
        prior += tf.reduce_sum(tfd.HalfCauchy(tf.zeros([], tf.float64), 5.0).log_prob(tau), -1)
        if centred:
            prior += tf.reduce_sum(tfd.Normal(mu, tau).log_prob(rest), -1)
            return prior + normal(SCHOOLS - rest, SCHOOL_ERRORS)
        return prior + normal(rest) + normal(SCHOOLS - mu - tau * rest, SCHOOL_ERRORS)

    return Model(log_prob, 10, eight_schools_exact(centred))


def eight_schools_exact(centred):
    """Given tau all is Gaussian: quadrature over ln tau."""
    log_tau = np.linspace(-16, 8, 6001)
    tau = np.exp(log_tau)[:, None, None]
    design = np.concatenate([np.ones((6001, 8, 1)), tau * np.eye(8)], -1)  # of mu, and the rest
    scaled = np.swapaxes(design, 1, 2) / SCHOOL_ERRORS**2
    square = np.sum((SCHOOLS / SCHOOL_ERRORS) ** 2 + np.log(2 * np.pi * SCHOOL_ERRORS**2))
    prior = np.array([5.0] + [1.0] * 8)
    mean, covariance, log_p = linear_gaussian(scaled @ design, scaled @ SCHOOLS, square, prior)
    if centred:
        matrix = np.concatenate([np.broadcast_to(np.eye(9)[:1], (6001, 1, 9)), design], 1)
        mean = (matrix @ mean[..., None])[..., 0]
        covariance = matrix @ covariance @ np.swapaxes(matrix, -1, -2)
    log_p += log_tau + np.log(2 / (5 * np.pi)) - np.log1p((np.exp(log_tau) / 5) ** 2)
    means = np.insert(mean, 1, log_tau, 1)
    variances = np.insert(np.diagonal(covariance, axis1=1, axis2=2), 1, 0, 1)
    return mixture(log_p, means, variances, log_tau[1] - log_tau[0])


def standardised(values):
    return (values - values.mean(0)) / values.std(0)


def logistic_regression():
    """Breast cancer, the ten means of 569 cells' features and an intercept, prior N(0, 2)."""
    data = load_breast_cancer()
    x = np.insert(standardised(data.data[:, :10]), 0, 1.0, 1)
    y = data.target.astype(float)

    def log_prob(z):
        logits = tf.linalg.matmul(z, x, transpose_b=True)
        return normal(z, 2.0) + tf.reduce_sum(y * logits - tf.nn.softplus(logits), -1)

    return Model(log_prob, 11)


def poisson_random_effects():
    """36 counts in 12 groups: intercept, ln of the effects' scale, 12 standard effects."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(12), 3)
    y = rng.poisson(np.exp(0.5 + 0.7 * rng.normal(size=12))[group]).astype(float)

    def log_prob(z):
        log_rate = z[..., :1] + tf.exp(z[..., 1:2]) * tf.gather(z[..., 2:], group, axis=-1)
        prior = normal(z[..., :1], 2.0) + normal(z[..., 1:2] + 0.5) + normal(z[..., 2:])
        return prior + tf.reduce_sum(tfd.Poisson(log_rate=log_rate).log_prob(y), -1)

    return Model(log_prob, 14)


def gaussian_process():
    """A classifier of 30 points of two moons, kernel 4 exp(-d^2/2); whitened coordinates."""
    x, y = make_moons(30, noise=0.3, random_state=0)
    x = standardised(x)
    distance2 = ((x[:, None] - x[None]) ** 2).sum(-1)
    root = np.linalg.cholesky(4 * np.exp(-distance2 / 2) + 1e-6 * np.eye(30))
    y = y.astype(float)

    def log_prob(z):
        logits = tf.linalg.matmul(z, root, transpose_b=True)
        return normal(z) + tf.reduce_sum(y * logits - tf.nn.softplus(logits), -1)

    return Model(log_prob, 30)


def hierarchical_regression():
    """Diabetes on bmi, blood pressure and s5 in 8 groups by age.

    Intercept, 3 slopes, ln scales of groups and noise, 8 standard effects of groups.
    """
    data = load_diabetes()
    x, y = standardised(data.data[:, [2, 3, 8]]), standardised(data.target)
    age = data.data[:, 0]
    group = np.digitize(age, np.quantile(age, np.arange(1, 8) / 8))

    def log_prob(z):
        fixed, log_scales, effects = z[..., :4], z[..., 4:6], z[..., 6:]
        mean = fixed[..., :1] + tf.linalg.matmul(fixed[..., 1:], x, transpose_b=True)
        mean += tf.exp(log_scales[..., :1]) * tf.gather(effects, group, axis=-1)
        noise = tf.exp(log_scales[..., 1:])
        prior = normal(fixed) + normal(log_scales + np.array([1.0, 0.0])) + normal(effects)
        return prior + tf.reduce_sum(tfd.Normal(mean, noise).log_prob(y), -1)

    return Model(log_prob, 14, hierarchical_regression_exact(x, y, group))


def hierarchical_regression_exact(x, y, group):
    """Given both scales all is Gaussian: quadrature over their logarithms."""
    scales = np.meshgrid(np.linspace(-8, 2.5, 211), np.linspace(-0.7, 0.1, 161), indexing="ij")
    log_tau, log_noise = (scale.ravel() for scale in scales)
    design = np.column_stack([np.ones(len(y)), x, np.eye(8)[group]])
    factor = np.concatenate(
        [np.ones((len(log_tau), 4)), np.repeat(np.exp(log_tau), 8).reshape(-1, 8)], 1
    )
    variance = np.exp(2 * log_noise)
    gram = design.T @ design * factor[:, :, None] * factor[:, None] / variance[:, None, None]
    moment = design.T @ y * factor / variance[:, None]
    square = y @ y / variance + len(y) * (np.log(2 * np.pi) + 2 * log_noise)
    mean, covariance, log_p = linear_gaussian(gram, moment, square, np.ones(12))
    log_p += -((log_tau + 1) ** 2 + log_noise**2) / 2 - np.log(2 * np.pi)
    means = np.concatenate([mean[:, :4], np.stack([log_tau, log_noise], -1), mean[:, 4:]], 1)
    variances = np.insert(np.diagonal(covariance, axis1=1, axis2=2), [4, 4], 0, 1)
    return mixture(log_p, means, variances, 0.05 * 0.005)


MODELS = {
    "linear regression": linear_regression,
    "correlated Gaussian": correlated_gaussian,
    "eight schools, centred": lambda: eight_schools(centred=True),
    "eight schools, non-centred": lambda: eight_schools(centred=False),
    "logistic regression": logistic_regression,
    "Poisson random effects": poisson_random_effects,
    "Gaussian process": gaussian_process,
    "hierarchical regression": hierarchical_regression,
}
