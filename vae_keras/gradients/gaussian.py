"""Stochastic gradients of an average E_q[f(z)] in q's parameters, one row for each sample (B17).

The mean over axis 0 is the estimate; its variance is there to be looked at. q is a diagonal
Gaussian N(mean, diag(exp(log_var))); `vae_keras.gradients.bernoulli` has the discrete case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike

BASELINES = ("none", "leave_one_out", "optimal")


class Gradients(NamedTuple):
    """Per-sample gradients in the parameters of a diagonal Gaussian, each (num_samples, dim)."""

    mean: tf.Tensor
    log_var: tf.Tensor


def score_function(
    function: Callable[[tf.Tensor], tf.Tensor],
    mean: ArrayLike,
    log_var: ArrayLike,
    num_samples: int,
    *,
    baseline: str = "none",
    seed: int | None = None,
) -> Gradients:
    """The score-function (REINFORCE) gradient of E_q[f]: it needs values of f alone.

    (f(z) - b) grad ln q(z), z ~ q, with grad ln q = eps / sigma for the mean and (eps^2 - 1) / 2
    for log_var, where z = mean + sigma eps.

    Args:
        function: the function f, which maps z (num_samples, dim) to values (num_samples,); it need
            not be differentiable.
        mean: the mean of q, (dim,), float32 or float64.
        log_var: the logarithm of its variance, (dim,), of the same dtype.
        num_samples: the number of samples, 2 or more with a baseline.
        baseline: the name of b, which comes from the other samples alone, so that the
            mean stays what it is: "none" is 0, "leave_one_out" their mean of f, "optimal" <f> +
            Cov(f, s^2) / E[s^2] for every parameter with its score s, the constant of least
            variance.
        seed: integer that fixes the draws; the same seed gives the same gradients.

    Returns:
        `Gradients`, each (num_samples, dim), in the unit of f.

    Raises:
        ValueError: if shapes do not fit, samples are too few, or the baseline has another name.

    Reference: Williams (1992), REINFORCE; Mohamed et al. (2020), Monte Carlo gradient estimation
    in machine learning, section 4; B17.

    Example:
        >>> gradients = score_function(lambda z: z[:, 0], [1.0], [0.0], 10_000, seed=0)
        >>> bool(abs(tf.reduce_mean(gradients.mean) - 1) < 0.1)
        True
    """
    mean, log_var = _checked(mean, log_var)
    z, eps, sigma = _draw(mean, log_var, (num_samples,), seed)
    values = _values(function, z)
    of_mean = with_baseline(values, eps / sigma, 1 / sigma**2, baseline=baseline)
    of_log_var = with_baseline(values, (eps**2 - 1) / 2, 0.5, baseline=baseline)
    return Gradients(of_mean, of_log_var)


def pathwise(
    function: Callable[[tf.Tensor], tf.Tensor],
    mean: ArrayLike,
    log_var: ArrayLike,
    num_samples: int,
    *,
    seed: int | None = None,
) -> Gradients:
    """The pathwise (reparameterised) gradient of E_q[f]: it needs the slope of f.

    f'(mean + sigma eps) for the mean and f'(mean + sigma eps) sigma eps / 2 for log_var.

    Args:
        function: the function f, which maps z (num_samples, dim) to values (num_samples,) in
            differentiable TensorFlow code without steps: where f jumps the estimate is wrong.
        mean: the mean of q, (dim,), float32 or float64.
        log_var: the logarithm of its variance, (dim,), of the same dtype.
        num_samples: the number of samples.
        seed: integer that fixes the draws, which are those of `score_function`; the same seed gives
            the same gradients.

    Returns:
        `Gradients`, each (num_samples, dim), in the unit of f.

    Raises:
        ValueError: if shapes do not fit, or TensorFlow finds no path from z to f.

    Reference: Kingma and Welling (2014), section 2.4; B17 and B31.

    Example:
        >>> pathwise(lambda z: 3 * z[:, 0], [1.0], [0.0], num_samples=2, seed=0).mean.numpy()
        array([[3.], [3.]], dtype=float32)
    """
    mean, log_var = _checked(mean, log_var)
    z, eps, sigma = _draw(mean, log_var, (num_samples,), seed)
    slope = value_and_slope(function, z)[1]
    return Gradients(slope, slope * sigma * eps / 2)


def importance_weighted(
    log_joint: Callable[[tf.Tensor], tf.Tensor],
    mean: ArrayLike,
    log_var: ArrayLike,
    sample_shape: tuple[int, int],
    *,
    double: bool = False,
    seed: int | None = None,
) -> Gradients:
    """The reparameterised gradient of the importance-weighted bound E[ln (1/K) sum_k w_k].

    With w_k = p(x, z_k) / q(z_k), normalised weights v_k and the path's slope d ln w / dz:
    sum_k v_k (slope_k dz_k/dphi - grad ln q(z_k)) in its plain form, and in its doubly
    reparameterised form sum_k v_k^2 slope_k dz_k/dphi: the same mean, and a variance that vanishes
    where q is the posterior. K = 1 is the ELBO, whose second form is called sticking the landing.

    Args:
        log_joint: function that maps z (num, dim) to ln p(x, z), (num,), nats, in differentiable
            TensorFlow code.
        mean: the mean of q, (dim,), float32 or float64.
        log_var: the logarithm of its variance, (dim,), of the same dtype.
        sample_shape: pair (num_estimates, K) of the number of estimates and of draws for each.
        double: whether to reparameterise twice.
        seed: integer that fixes the draws; the same seed gives the same gradients.

    Returns:
        `Gradients` of the bound, each (num_estimates, dim), nats.

    Raises:
        ValueError: if shapes do not fit, or TensorFlow finds no path from z to log_joint.

    Reference: Burda et al. (2016); Tucker, Lawson, Gu and Maddison (2019), Doubly reparameterized
    gradient estimators; Roeder, Wu and Duvenaud (2017), Sticking the landing; B17.

    Example:
        >>> posterior = lambda z: -tf.reduce_sum(z**2, -1) / 2
        >>> importance_weighted(posterior, [0.0], [0.0], (1, 5), seed=0, double=True).mean.numpy()
        array([[0.]], dtype=float32)
    """
    mean, log_var = _checked(mean, log_var)
    z, eps, sigma = _draw(mean, log_var, sample_shape, seed)  # (num_estimates, K, dim)
    flat_values, flat_slope = value_and_slope(log_joint, tf.reshape(z, (-1, mean.shape[0])))
    log_weights = tf.reshape(flat_values, sample_shape) + tf.reduce_sum(eps**2, -1) / 2
    weights = tf.nn.softmax(log_weights, 1)[..., tf.newaxis]  # (num_estimates, K, 1)
    score = eps / sigma
    slope = tf.reshape(flat_slope, z.shape) + score  # d(ln p - ln q) / dz
    if double:
        terms = weights**2 * slope
        return Gradients(*(tf.reduce_sum(x, 1) for x in (terms, terms * sigma * eps / 2)))
    of_mean = weights * (slope - score)
    of_log_var = weights * (slope * sigma * eps - eps**2 + 1) / 2
    return Gradients(tf.reduce_sum(of_mean, 1), tf.reduce_sum(of_log_var, 1))


def with_baseline(
    values: tf.Tensor,
    score: tf.Tensor,
    score_variance: float | tf.Tensor,
    *,
    baseline: str = "none",
) -> tf.Tensor:
    """(f - b) times the score, with a baseline b that leaves out the sample it serves.

    Args:
        values: the values of f, (num_samples,).
        score: the score s = grad ln q, (num_samples, dim).
        score_variance: its variance E[s^2], (dim,) or scalar; the average E[s] is 0.
        baseline: the name of a baseline, as `score_function` takes it.

    Returns:
        (num_samples, dim), in the unit of f.

    Raises:
        ValueError: if there are fewer than two samples for a baseline, or it has another name.

    Reference: B17; Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for
    gradient estimates in reinforcement learning.

    Example:
        >>> values, score = tf.constant([1.0, 3.0]), tf.constant([[1.0], [-1.0]])
        >>> with_baseline(values, score, 1.0, baseline="leave_one_out").numpy()
        array([[-2.], [-2.]], dtype=float32)
    """
    if baseline not in BASELINES:
        raise ValueError(f"baseline must be one of {', '.join(BASELINES)}; got {baseline!r}.")
    values = values[:, tf.newaxis]
    if baseline == "none":
        return values * score
    if score.shape[0] < 2:
        raise ValueError("A baseline comes from the other samples: take num_samples of 2 or more.")
    level = _mean_of_others(values)
    if baseline == "optimal":
        square = score**2
        covariance = _mean_of_others(values * square) - level * _mean_of_others(square)
        level += covariance / score_variance
    return (values - level) * score


def value_and_slope(
    function: Callable[[tf.Tensor], tf.Tensor], z: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """f(z) and df/dz, row by row.

    Args:
        function: the function f, which maps z (num, dim) to values (num,) in differentiable
            TensorFlow code that does not mix rows.
        z: where to take f, (num, dim), float32 or float64.

    Returns:
        f (num,) and df/dz (num, dim).

    Raises:
        ValueError: if f has another shape, or TensorFlow finds no path from z to f.

    Example:
        >>> value_and_slope(lambda z: z[:, 0] ** 2, tf.constant([[3.0]]))[1].numpy()
        array([[6.]], dtype=float32)
    """
    with tf.GradientTape() as tape:
        tape.watch(z)
        values = _values(function, z)
    slope = tape.gradient(values, z)
    if slope is None:
        raise ValueError(
            "The function has no derivative that TensorFlow knows of: write it with TensorFlow "
            "operations. The gradient of an average can do without one: score_function."
        )
    return values, slope


def _values(function, z):
    values = tf.convert_to_tensor(function(z), z.dtype)
    if values.shape != z.shape[:1]:
        raise ValueError(
            f"The function must map z {tuple(z.shape)} to one value for each row, shape "
            f"({z.shape[0]},); it returned {tuple(values.shape)}. Sum over the last axis alone."
        )
    return values


def _draw(mean, log_var, sample_shape, seed):
    eps = tf.random.stateless_normal((*sample_shape, *mean.shape), as_seed(seed), dtype=mean.dtype)
    sigma = tf.exp(log_var / 2)
    return mean + sigma * eps, eps, sigma


def _mean_of_others(x):
    """For every row the mean of all other rows."""
    return (tf.reduce_sum(x, 0) - x) / tf.cast(x.shape[0] - 1, x.dtype)


def _checked(mean, log_var):
    mean = tf.convert_to_tensor(mean)
    log_var = tf.convert_to_tensor(log_var, mean.dtype)
    if mean.shape.rank != 1 or mean.shape != log_var.shape:
        raise ValueError(
            "mean and log_var must have the same shape (dim,); got "
            f"{tuple(mean.shape)} and {tuple(log_var.shape)}."
        )
    return mean, log_var
