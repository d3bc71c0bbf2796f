"""The lambda path H_q + lambda V from a trial model to the full one, from log-weights ln w = -V.

F(lambda) = F_q - ln <exp(-lambda V)>_q (B20). Its slope is the mean of V under the distribution
tilted to lambda, q exp(-lambda V), and its curvature minus the variance of V there: F is concave.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.cumulants.k_statistics import weighted_cumulants
from rbm_tf.shared.log_weights import as_log_weights, log_power
from rbm_tf.shared.types import ArrayLike


class LambdaPath(NamedTuple):
    """F and its first two derivatives at every lambda."""

    lambdas: tf.Tensor  # (num_lambdas,)
    free_energy: tf.Tensor  # F(lambda) - F_q, (num_lambdas, ..), nats
    mean: tf.Tensor  # <V>_lambda = dF/dlambda, nats
    variance: tf.Tensor  # <<V^2>>_lambda = -d^2 F/dlambda^2, nats^2


def lambda_path(
    log_weights: ArrayLike, lambdas: ArrayLike, *, log_q: ArrayLike = 0.0
) -> LambdaPath:
    """F(lambda) - F_q = -ln <w^lambda>_q, with the mean and variance of V = -ln w at each lambda.

    From samples of q the averages at lambda are self-normalised: each sample has the weight
    w^lambda, whose effective number falls as lambda grows. From all states, with their ln q, the
    result is exact.

    Args:
        log_weights: ln w = -V, (num_samples or num_states, ..), nats.
        lambdas: where to take F, (num_lambdas,); 0 is the trial model, 1 the full one.
        log_q: ln q of the states, nats, broadcast against log_weights; the default is for samples
            of q.

    Returns:
        `LambdaPath`.

    Reference: B19 and B20.

    Example:
        >>> path = lambda_path(tf.math.log([1.0, 3.0]), [0.0, 1.0])
        >>> path.free_energy.numpy().round(4)  # -ln <1>, -ln <w>
        array([ 0.    , -0.6931], dtype=float32)
    """
    log_weights = as_log_weights(log_weights)
    lambdas = tf.constant(np.asarray(lambdas), log_weights.dtype)
    log_q = tf.zeros_like(log_weights) + tf.cast(log_q, log_weights.dtype)
    rows = []
    for value in tf.unstack(lambdas):
        tilted = log_q + log_power(log_weights, value)  # (num_samples, ..)
        free_energy = tf.reduce_logsumexp(log_q, 0) - tf.reduce_logsumexp(tilted, 0)
        rows.append((free_energy, *tf.unstack(weighted_cumulants(-log_weights, tilted, 2))))
    return LambdaPath(lambdas, *(tf.stack(column) for column in zip(*rows, strict=True)))


def integrate_path(
    lambdas: ArrayLike, mean: ArrayLike, *, variance: ArrayLike | None = None
) -> tf.Tensor:
    """Thermodynamic integration, F(last) - F(first) = integral of <V>_lambda, by trapezoids.

    The variance of V is minus the slope of the integrand. Given it, each step h is corrected by its
    end points' slopes (Euler and Maclaurin), -h^2/12 [f'(end) - f'(start)]; on equal steps all but
    the two ends of the path cancel. The error falls from h^2 to h^4.

    Args:
        lambdas: increasing points of the path, (num_lambdas,).
        mean: <V> at each lambda, (num_lambdas, ..), nats.
        variance: <<V^2>> at each lambda, (num_lambdas, ..), nats^2, or None for the plain rule.

    Returns:
        The shape of mean without axis 0, nats.

    Raises:
        ValueError: if lambdas do not increase.

    Reference: Kirkwood (1935), Statistical mechanics of fluid mixtures; B6 and B20.

    Example:
        >>> lambdas, mean = [0.0, 1.0], [0.0, -3.0]  # <V> = -3 lambda^2
        >>> float(integrate_path(lambdas, mean, variance=[0.0, 6.0]))
        -1.0
    """
    mean = tf.convert_to_tensor(mean)
    lambdas = tf.constant(np.asarray(lambdas), mean.dtype)
    step = lambdas[1:] - lambdas[:-1]
    if not tf.reduce_all(step > 0):
        raise ValueError("lambdas must increase at every step; sort them and drop repeats.")
    step = tf.reshape(step, [-1] + [1] * (mean.shape.rank - 1))  # (num_lambdas - 1, 1, ..)
    total = tf.reduce_sum(step * (mean[1:] + mean[:-1]) / 2, 0)
    if variance is not None:
        variance = tf.cast(variance, mean.dtype)
        total += tf.reduce_sum(step**2 / 12 * (variance[1:] - variance[:-1]), 0)
    return total


def taylor_polynomials(cumulants: ArrayLike, lambdas: ArrayLike) -> tf.Tensor:
    """The expansion of F(lambda) - F_q about lambda = 0, cut off after each order.

    lambda kappa_1 - lambda^2/2 kappa_2 + lambda^3/6 kappa_3 - .., with the cumulants of V under q.

    Args:
        cumulants: kappa_1 .. kappa_N of V, stacked on axis 0, (N, ..).
        lambdas: where to take the polynomials, (num_lambdas,).

    Returns:
        (N, num_lambdas, ..), nats; row n - 1 is order n.

    Reference: B23.

    Example:
        >>> taylor_polynomials([1.0, 2.0], [0.5, 1.0]).numpy()
        array([[0.5 , 1.  ],
               [0.25, 0.  ]], dtype=float32)
    """
    cumulants = tf.convert_to_tensor(cumulants)
    lambdas = tf.constant(np.asarray(lambdas), cumulants.dtype)
    terms, power = [], -tf.ones_like(lambdas)
    for order, kappa in enumerate(tf.unstack(cumulants), start=1):
        power *= -lambdas / order  # -(-lambda)^n / n!
        terms.append(tf.tensordot(power, kappa, 0))  # (num_lambdas, ..)
    return tf.cumsum(tf.stack(terms), 0)
