"""Exact cumulants of standard distributions, from their cumulant generating functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from rbm_tf.cumulants.k_statistics import MAX_ORDER
from rbm_tf.cumulants.series import derivatives

if TYPE_CHECKING:
    import tensorflow_probability as tfp

_LOG_MOMENT_GENERATING_FUNCTIONS = {  # ln <exp(t x)>
    "Normal": lambda d, t: d.loc * t + d.scale * t * d.scale * t / 2,
    "Laplace": lambda d, t: d.loc * t - tf.math.log1p(-d.scale * t * d.scale * t),
    "Poisson": lambda d, t: d.rate_parameter() * tf.math.expm1(t),
    "Gamma": lambda d, t: -d.concentration * tf.math.log1p(-t / d.rate),
    "Exponential": lambda d, t: -tf.math.log1p(-t / d.rate),
    "Bernoulli": lambda d, t: tf.math.log1p(d.probs_parameter() * tf.math.expm1(t)),
    "Uniform": lambda d, t: (d.low + d.high) / 2 * t + _log_sinhc((d.high - d.low) / 2 * t),
}


def exact_cumulants(distribution: tfp.distributions.Distribution, max_order: int) -> tf.Tensor:
    """The cumulants of a distribution of TensorFlow Probability, by automatic differentiation.

    kappa_n = d^n/dt^n ln <exp(t x)> at t = 0, for Normal, Laplace, Poisson, Gamma, Exponential,
    Bernoulli and Uniform.

    Args:
        distribution: `tfp.distributions.Distribution` of one of these classes.
        max_order: the highest order, 1 to 6.

    Returns:
        (max_order, *batch_shape), in the dtype of the distribution's parameters.

    Raises:
        ValueError: for another class of distribution, or another order.

    Reference: B21 and B22.

    Example:
        >>> import tensorflow_probability as tfp
        >>> exact_cumulants(tfp.distributions.Exponential(1.0), max_order=4).numpy()  # (n - 1)!
        array([1., 1., 2., 6.], dtype=float32)
    """
    name = type(distribution).__name__
    if name not in _LOG_MOMENT_GENERATING_FUNCTIONS:
        known = ", ".join(_LOG_MOMENT_GENERATING_FUNCTIONS)
        raise ValueError(
            f"The exact cumulants of {name} are not known here, only those of {known}. Estimate "
            "them with rbm_tf.cumulants.sample_cumulants(distribution.sample(n), max_order)."
        )
    if max_order not in range(1, MAX_ORDER + 1):
        raise ValueError(f"max_order must be an integer from 1 to {MAX_ORDER}; got {max_order!r}.")
    function = _LOG_MOMENT_GENERATING_FUNCTIONS[name]
    zero = tf.zeros_like(distribution.mean())
    return derivatives(lambda t: function(distribution, t), max_order, at=zero)


def _log_sinhc(x):
    """ln(sinh(x) / x) up to x^6, which is all that derivatives at 0 up to order 6 see."""
    square = x * x  # repeated derivatives of x ** n at 0 are NaN
    return square / 6 - square * square / 180 + square * square * square / 2835
