"""The series for ln <exp(x)> that cumulants make, and the function that generates them.

The free energy of any model is a cumulant generating function: with trial Z_q and perturbation V,
F = F_q - ln <exp(-V)>_q (B20). Both packages of this project therefore meet here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from rbm_tf.shared.log_weights import float_tensor
from rbm_tf.shared.types import ArrayLike


def log_expectation(cumulants: ArrayLike) -> tf.Tensor:
    """Sum the truncated series ln <exp(x)> = sum_n kappa_n / n!.

    With the cumulants of ln w, a log importance weight, order 1 is the ELBO and the full series is
    ln p(x) (B25); with those of -V it is F_q - F (B23). The series is exact at order 2 for a
    Gaussian x. In general it is asymptotic: more terms need not be better.

    Args:
        cumulants: kappa_1, kappa_2, .. stacked on axis 0, (max_order, ..).

    Returns:
        The sum over axis 0, nats.

    Example:
        >>> float(log_expectation([-1.0, 2.0]))
        0.0
    """
    cumulants = float_tensor(cumulants)
    factorials = [math.factorial(n) for n in range(1, cumulants.shape[0] + 1)]
    return tf.tensordot(1 / tf.constant(factorials, cumulants.dtype), cumulants, 1)


def generating_function(
    t: float | tf.Tensor, x: ArrayLike, *, log_weights: ArrayLike = 0.0
) -> tf.Tensor:
    """The cumulant generating function ln <exp(t x)> of a finite set of weighted states.

    Args:
        t: where to take the function, a scalar.
        x: values of the states, (num_states,).
        log_weights: logarithms of their weights, (num_states,), nats; the default weighs all alike.

    Returns:
        Scalar, nats.

    Reference: B21.

    Example:
        >>> round(float(generating_function(1.0, [0.0, 1.0])), 4)  # ln((1 + e) / 2)
        0.6201
    """
    x = float_tensor(x)
    log_weights = tf.zeros_like(x) + float_tensor(log_weights, dtype=x.dtype)
    return tf.reduce_logsumexp(log_weights + t * x) - tf.reduce_logsumexp(log_weights)


def derivatives(
    function: Callable[[tf.Tensor], tf.Tensor], max_order: int, *, at: ArrayLike = 0.0
) -> tf.Tensor:
    """Differentiate a generating function by automatic differentiation.

    At 0 the n-th derivative of a cumulant generating function is the n-th cumulant; at another
    point it is the cumulant under the distribution tilted there.

    Args:
        function: function that maps a scalar tensor to a scalar tensor.
        max_order: the highest order, 1 or above.
        at: where to differentiate, a scalar; its dtype is the one computed in.

    Returns:
        The derivatives of orders 1 .. max_order, (max_order,).

    Reference: B21 and B22.

    Example:
        >>> derivatives(lambda t: t + 2.0 * t * t, max_order=3).numpy()  # a Gaussian's
        array([1., 4., 0.], dtype=float32)
    """
    at = float_tensor(at)
    values = []
    for _ in range(max_order):
        function = _derivative(function)
        values.append(function(at))
    return tf.stack(values)


def _derivative(function):
    def derivative(t):
        with tf.GradientTape() as tape:
            tape.watch(t)
            value = function(t)
        return tape.gradient(value, t, unconnected_gradients="zero")

    return derivative
