"""RBMs with Gaussian units in both layers: ln Z is a determinant."""

from __future__ import annotations

import math

import tensorflow as tf

from rbm_tf.machine import Machine
from rbm_tf.units import Gaussian


def is_gaussian_pair(machine: Machine) -> bool:
    """Whether both layers have Gaussian units.

    Args:
        machine: the `Machine`.

    Example:
        >>> is_gaussian_pair(RBM(units.Gaussian(3), units.Gaussian(2)).machine)
        True
    """
    return isinstance(machine.visible, Gaussian) and isinstance(machine.hidden, Gaussian)


def gaussian_log_z(machine: Machine) -> tf.Tensor:
    """ln Z = (N + M)/2 ln 2 pi - ln det P / 2 + k^T P^-1 k / 2 of N and M Gaussian units.

    P = [[g_v, -W], [-W^T, g_h]] is the precision of (v, h), and k = (a, b). The averages <(v, h)> =
    P^-1 k and the covariances P^-1 are derivatives of this, and differentiation finds them.

    Args:
        machine: the `Machine`, float64; its hidden biases may be (num_rows, num_hidden), as those
            of a machine with some visible units clamped are.

    Returns:
        Scalar tensor, or (num_rows,), nats; NaN where P is not positive, so that Z is infinite.

    Reference: Welling, Rosen-Zvi and Hinton (2004); B38.

    Example:
        >>> machine = machine_of(RBM(units.Gaussian(3), units.Gaussian(2)), dtype="float64")
        >>> round(float(gaussian_log_z(machine.scaled(0.0))), 6)  # 5/2 ln 2 pi
        4.594693
    """
    precisions = [unit.parameter("log_precision", machine.kernel) for unit in _units(machine)]
    diagonal = tf.exp(tf.concat(precisions, 0))  # (N + M,)
    corner = tf.pad(-machine.kernel, [[0, machine.num_hidden], [machine.num_visible, 0]])
    precision = tf.linalg.diag(diagonal) + corner + tf.transpose(corner)
    rows = tf.shape(machine.hidden_bias)[:-1]
    visible_bias = tf.broadcast_to(
        machine.visible_bias, tf.concat([rows, [machine.num_visible]], 0)
    )
    k = tf.concat([visible_bias, machine.hidden_bias], -1)  # (.., N + M)
    positive = tf.reduce_all(tf.linalg.eigvalsh(tf.stop_gradient(precision)) > 0)
    safe = tf.where(positive, precision, tf.linalg.diag(diagonal))
    root = tf.linalg.cholesky(safe)
    flat = tf.transpose(tf.reshape(k, (-1, k.shape[-1])))
    squares = tf.linalg.triangular_solve(root, flat) ** 2  # (N + M, num_rows)
    quadratic = tf.reshape(tf.reduce_sum(squares, 0), rows)
    log_det = 2 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(root)))
    log_z = (diagonal.shape[0] * math.log(2 * math.pi) - log_det + quadratic) / 2
    return tf.where(positive, log_z, tf.constant(math.nan, log_z.dtype))


def _units(machine):
    return machine.visible, machine.hidden
