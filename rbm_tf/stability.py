"""How near two layers of unbounded units are to an infinite Z, and how to keep away from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from rbm_tf.machine import Machine, energy, machine_of
from rbm_tf.shared.types import RBMLike
from rbm_tf.units import Gaussian

_FAR, _CERTAIN = 1e8, 1e-6  # on a ray, where linear terms are small; of the quadratic one
_ITERATIONS = 10  # in a step, from the vector where the last one ended


def largest_coupling(rbm: RBMLike) -> float:
    """lambda_max(K) of K = gv^-1/2 W gh^-1 W^T gv^-1/2: Z is finite if it is below 1.

    gv and gh are the precisions of the units, the smaller one of `DReLU`, and infinite for bounded
    units. For two layers of `Gaussian` units Z is finite only if it is below 1. With `ReLU` or
    `DReLU` units Z may be finite above: weights below 0 between `ReLU` units do no harm.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.

    Returns:
        Number, computed in float64; 0 if a layer is bounded, NaN if a weight is not finite.

    Example:
        >>> layers = units.Gaussian(1, precision=4.0), units.ReLU(1)
        >>> round(largest_coupling(RBM.from_parameters(*layers, [[1.0]], [0.0], [0.0])), 6)
        0.25
    """
    couplings = _couplings(machine_of(rbm, dtype="float64")).numpy()
    if not np.all(np.isfinite(couplings)):
        return float(np.abs(couplings).max())
    return float(np.linalg.norm(couplings, 2) ** 2)


def is_infinite(rbm: RBMLike) -> bool:
    """Whether Z is infinite for certain: exp(-E) grows along the ray of the largest coupling.

    That is so for two `Gaussian` layers with lambda_max(K) of 1 or more, and for unbounded units
    without negative weights if it is above 1. Elsewhere Z may be infinite without it.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.

    Returns:
        False also where nobody knows.

    Example:
        >>> layers = units.Gaussian(1), units.ReLU(1)
        >>> is_infinite(RBM.from_parameters(*layers, [[1.2]], [0.0], [-2.0]))
        True
    """
    machine = machine_of(rbm, dtype="float64")
    couplings = _couplings(machine).numpy()
    if not (np.all(np.isfinite(couplings)) and np.any(couplings)):
        return False
    left, singular, right = np.linalg.svd(couplings, full_matrices=False)
    layers = machine.visible, machine.hidden
    if all(isinstance(unit, Gaussian) for unit in layers):
        return bool(singular[0] >= 1)
    rays = [
        [
            np.clip(sign * _FAR * vector / np.sqrt(unit.least_precision().numpy()), *unit.bounds)
            for vector, unit in zip((left[:, 0], right[0]), layers, strict=True)
        ]
        for sign in (1, -1)
    ]
    states = [tf.constant(np.nan_to_num(side)) for side in zip(*rays, strict=True)]
    lowest = tf.reduce_min(energy(machine, *states))
    return bool(singular[0] > 1 and lowest < -_CERTAIN * _FAR**2)


def check_z(rbm: RBMLike) -> None:
    """Refuse an RBM that has no Z: with parameters that are not finite, or an infinite Z.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.

    Raises:
        ValueError: if a parameter is NaN or infinite, or `is_infinite`.

    Example:
        >>> check_z(BernoulliRBM(6, 4))  # silent
    """
    machine = machine_of(rbm)
    if not all(np.all(np.isfinite(part)) for part in tf.nest.flatten(machine.parameters)):
        raise ValueError(
            "ln Z needs finite parameters, and the kernel or a bias has NaN or infinities. Train "
            "again with a smaller learning rate, or load weights from before the blow-up."
        )
    if is_infinite(machine):
        coupling = largest_coupling(machine)
        raise ValueError(
            f"Z is infinite: lambda_max(K) is {coupling:.4g} (see "
            "rbm_tf.stability.largest_coupling), and exp(-E) grows without end. Multiply the "
            f"kernel by {(0.95 / coupling) ** 0.5:.3g} or less."
        )


def check_coupling(rbm: Any) -> None:
    """Refuse to train a model whose Z is infinite, or which training would change at once.

    Args:
        rbm: `RBM`.

    Raises:
        ValueError: if `largest_coupling` is 1 or more between two layers of `Gaussian` units, or
            between unbounded ones that are to be kept below a limit.

    Example:
        >>> layers = units.Gaussian(1), units.Gaussian(1)
        >>> check_coupling(RBM.from_parameters(*layers, [[2.0]], [0.0], [0.0]))
        Traceback (most recent call last):
        ...
        ValueError: Z is infinite: between Gaussian layers lambda_max(K) must be below 1. It is ...
    """
    layers = rbm.visible, rbm.hidden
    both_gaussian = all(isinstance(unit, Gaussian) for unit in layers)
    if rbm.max_coupling is None and not both_gaussian:
        return
    coupling = largest_coupling(rbm)  # 0 if a layer is bounded
    if coupling >= 1:
        fault = "Z is infinite: between Gaussian layers" if both_gaussian else "Z may be infinite:"
        other = (
            ""
            if both_gaussian
            else (", or set no limit, which weights below 0 may not need, with max_coupling=None")
        )
        raise ValueError(
            f"{fault} lambda_max(K) must be below 1. It is {coupling:.4g} (see "
            "rbm_tf.stability.largest_coupling): multiply the kernel by "
            f"{(0.95 / coupling) ** 0.5:.3g} or less{other}."
        )


def kept_stable(
    machine: Machine, vector: tf.Tensor, *, limit: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """The kernel, scaled down where lambda_max(K) exceeds a limit, by power iteration.

    Args:
        machine: the `Machine`.
        vector: where the iteration starts, (num_hidden,): its own last result.
        limit: the largest lambda_max(K).

    Returns:
        The kernel (num_visible, num_hidden) and the vector to go on from.

    Example:
        >>> machine = RBM(units.Gaussian(3), units.Gaussian(2), seed=0).machine
        >>> kernel, vector = kept_stable(machine, tf.ones(2), limit=1e-6)
        >>> round(float(np.linalg.norm(kernel, 2)) ** 2 * 1e6, 3)
        1.0
    """
    couplings = _couplings(machine)
    for _ in range(_ITERATIONS):
        ahead = tf.linalg.matvec(couplings, tf.linalg.matvec(couplings, vector), transpose_a=True)
        length = tf.norm(ahead)
        vector = tf.where(length > 0, tf.math.divide_no_nan(ahead, length), vector)
    largest = tf.reduce_sum(tf.linalg.matvec(couplings, vector) ** 2) / tf.reduce_sum(vector**2)
    return machine.kernel * tf.sqrt(limit / tf.maximum(largest, limit)), vector


def _couplings(machine):
    """W_ij / sqrt(gv_i gh_j): dimensionless, its largest singular value squared is lambda_max."""
    layers = machine.visible, machine.hidden
    visible, hidden = (tf.cast(unit.least_precision(), machine.kernel.dtype) for unit in layers)
    root = tf.math.rsqrt(visible)[:, tf.newaxis] * tf.math.rsqrt(hidden)
    bounded = tf.math.is_inf(visible)[:, tf.newaxis] | tf.math.is_inf(hidden)
    return tf.where(bounded, tf.zeros_like(root), tf.math.multiply_no_nan(root, machine.kernel))
