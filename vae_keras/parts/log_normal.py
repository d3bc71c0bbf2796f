"""Logarithms of Gaussian probabilities on every backend: Keras has neither ln Phi nor erfc."""

from __future__ import annotations

import math

from keras import ops

from rbm_tf.shared.types import Tensor

_POLYNOMIAL = (  # of ln [erfc(z) e^(z^2) / t] in t = 1 / (1 + z / 2): interpolated at 11 nodes
    *(-1.26551221, 1.00002094, 0.37417609, 0.09577241, -0.18006151, 0.25671507),
    *(-1.08695562, 1.42317194, -0.76845808, 0.14636138, 0.00476965),
)
_NARROW = 0.5  # in standard deviations: below, a difference of two Phi loses digits
_FAR = 10.0  # Phi(x - 10) / Phi(x) is nothing for x of 0 or less


def log_ndtr(x: Tensor) -> Tensor:
    """ln Phi(x), the logarithm of the standard Gaussian's distribution function.

    Its error is 3e-7 (1 + |value|) in float32 and 1e-7 in float64, however far x is in the tail.

    Args:
        x: float tensor of any shape.

    Returns:
        The shape of x, nats.

    Reference: Press, Teukolsky, Vetterling and Flannery (1992), Numerical Recipes, section 6.2 (the
    form of the approximation).

    Example:
        >>> round(float(log_ndtr(ops.array(0.0))), 5), round(float(log_ndtr(ops.array(-30.0))), 2)
        (-0.69315, -454.32)
    """
    z = ops.where(x > 0, x, -x) * math.sqrt(0.5)  # the gradient of |x| would be 0 at 0
    t = 1 / (1 + z / 2)
    series = ops.zeros_like(t)
    for coefficient in reversed(_POLYNOMIAL):
        series = series * t + coefficient
    tail = ops.log(t) + series - z * z - math.log(2)  # ln Phi(-|x|)
    return ops.where(x > 0, ops.log1p(-ops.exp(tail)), tail)


def log_normal_mass(near: Tensor, width: Tensor) -> Tensor:
    """ln [Phi(near) - Phi(near - width)], to rounding for intervals narrow, wide and far away.

    A narrow interval is integrated by three Gauss-Legendre nodes, exact to 1e-7; the others are
    ln Phi(near) + ln(1 - Phi(near - width) / Phi(near)).

    Args:
        near: the upper end of the interval, whose middle is 0 or less: others are mirrored.
        width: the same shape, above 0; infinite where the interval has no lower end.

    Returns:
        The same shape, nats.

    Example:
        >>> whole = log_normal_mass(ops.array([0.0, 0.0]), ops.array([math.inf, 1e-4]))
        >>> print(ops.convert_to_numpy(ops.exp(whole) / ops.array([0.5, 0.39894e-4])).round(4))
        [1. 1.]
    """
    middle = near - ops.where(width < _NARROW, width, 0.0) / 2
    is_narrow = (width < _NARROW) & (ops.abs(middle) * width < _NARROW)
    m, w = ops.where(is_narrow, middle, 0.0), ops.where(is_narrow, width, _NARROW)
    nodes = 4 / 9 + 5 / 9 * ops.cosh(math.sqrt(0.15) * m * w) * ops.exp(-0.075 * w * w)
    narrow = ops.log(w * nodes) - 0.5 * m * m - 0.5 * math.log(2 * math.pi)
    upper, is_open = ops.where(is_narrow, 0.0, near), width > _FAR + ops.relu(near)
    lower = upper - ops.where(is_narrow, 1.0, ops.where(is_open, _FAR + ops.relu(upper), width))
    log_upper = log_ndtr(upper)
    wide = log_upper + ops.log1p(-ops.exp(log_ndtr(lower) - log_upper))
    return ops.where(is_narrow, narrow, wide)
