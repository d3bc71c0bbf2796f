"""Plefka's expansion to any order for few binary units, and where that of one bond ends (B56)."""

from __future__ import annotations

import numpy as np

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.power_series import log_series
from rbm_tf.shared.types import ArrayLike
from rbm_tf.units import Binary

_MAX_UNITS = 14


def plefka_series(kernel: ArrayLike, m: ArrayLike, n: ArrayLike, *, max_order: int) -> np.ndarray:
    """Coefficients of s^0 .. s^max_order in the free energy at fixed means with the kernel s W.

    With dv = v - m, dh = h - n, Q = dv^T W dh and counter-fields phi_k that keep the means,

        Gamma(s) = Gamma(0) - s m^T W n - ln <exp(s Q + sum_k s^k phi_k.(dv, dh))>_q ,

    where q is the product of units of these means. In each state the exponential is a power series
    w_0 + w_1 s + .., with k w_k = sum_j j e_j w_(k-j) from its exponent e. As <(dv, dh) w_k>_q must
    vanish, phi_k follows from the e_j with j < k. All 2^(N + M) states are summed.

    Args:
        kernel: the kernel W, (num_visible, num_hidden).
        m: magnetisations <v>, inside (0, 1), (num_visible,).
        n: magnetisations <h>, inside (0, 1), (num_hidden,).
        max_order: the last order.

    Returns:
        (max_order + 1,), float64, nats; without the terms -a.m - b.n of the biases.

    Raises:
        ValueError: for more than 14 units, shapes that do not fit, or means outside of (0, 1).

    Reference: Plefka (1982); Georges and Yedidia (1991); B26 and B56.

    Example:
        >>> half = np.array([0.5])
        >>> series = plefka_series([[4.0]], half, half, max_order=4)  # -ln 4 - s - ln cosh(s)
        >>> series[1:].round(4) + 0.0
        array([-1.    , -0.5   ,  0.    ,  0.0833])
    """
    check_counts(max_order=max_order)
    kernel, means = _checked(kernel, m, n)
    states = np.asarray(Binary(len(means)).layer_states(), float)
    q = np.prod(np.where(states == 1, means, 1 - means), axis=1)
    x = states - means  # (num_states, N + M)
    bonds = np.sum((x[:, : len(kernel)] @ kernel) * x[:, len(kernel) :], axis=1)  # Q
    exponent, weights = [0 * q], [np.ones_like(q)]  # e_k and w_k
    for k in range(1, max_order + 1):
        known = bonds if k == 1 else 0 * q
        others = sum((j / k * exponent[j] * weights[k - j] for j in range(1, k)), known)
        counter = x @ (-(q * others) @ x / (means * (1 - means)))  # phi_k.(dv, dh)
        exponent.append(counter + known)
        weights.append(counter + others)
    series = -log_series(np.array([q @ w for w in weights]))
    series[0] = np.sum(means * np.log(means) + (1 - means) * np.log1p(-means))
    series[1] -= means[: len(kernel)] @ kernel @ means[len(kernel) :]
    return series


def bond_singularities(m: float, n: float) -> np.ndarray:
    """The couplings W, one of each conjugate pair, where one bond of means m and n is singular.

    With sin^2 alpha = m and sin^2 beta = n the free energy at fixed means has branch points at

        W = 2 ln|cot(alpha + beta)| + i pi,   W = 2 ln|cot(alpha - beta)| + i pi,

    and where |cot(alpha + beta)| < 1 < |cot(alpha - beta)| a logarithm at W = 2 pi i. The least
    modulus is the radius of convergence of Plefka's expansion in W; none is below pi.

    Args:
        m: mean of the visible unit, in (0, 1).
        n: mean of the hidden unit, in (0, 1).

    Returns:
        Complex numbers, the nearest first, (2,) or (3,); infinite where a cotangent is 0 or
        infinite.

    Raises:
        ValueError: for means outside of (0, 1).

    Reference: B56.

    Example:
        >>> bond_singularities(0.1, 0.3).round(4)
        array([-0.4682+3.1416j,  2.6654+3.1416j,  0.    +6.2832j])
    """
    _checked([[0.0]], [m], [n])
    crossed = np.sqrt(m * (1 - n)), np.sqrt(n * (1 - m))
    sines = np.array([crossed[0] + crossed[1], crossed[0] - crossed[1]])  # of alpha +- beta
    with np.errstate(divide="ignore"):
        logs = np.log(np.maximum(1 - sines**2, 0.0)) - np.log(sines**2)  # 2 ln|cot|
    found = [complex(log, np.pi) for log in logs]
    if logs[0] < -1e-12 and logs[1] > 1e-12:
        found.append(2j * np.pi)
    return np.array(sorted(found, key=abs))


def _checked(kernel, m, n):
    """The kernel, and all means in one array."""
    kernel, m, n = (np.asarray(x, float) for x in (kernel, m, n))
    if m.ndim != 1 or n.ndim != 1 or kernel.shape != (len(m), len(n)):
        raise ValueError(
            f"kernel must be (num_visible, num_hidden), m (num_visible,) and n (num_hidden,); got "
            f"{kernel.shape}, {m.shape} and {n.shape}."
        )
    means = np.concatenate([m, n])
    if len(means) > _MAX_UNITS:
        raise ValueError(
            f"All 2^(N + M) states are summed: at most {_MAX_UNITS} units; got {len(means)}. "
            "`gamma` and `plefka_fourth_term` have orders 1 to 4 for any number."
        )
    if not np.all((means > 0) & (means < 1)):
        raise ValueError(
            f"Means must lie inside (0, 1); got {means.min()} to {means.max()}. Clip them."
        )
    return kernel, means
