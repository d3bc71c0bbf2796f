"""Fourth order of the two expansions around mean field, and the gradient of the cumulants' (B26).

At the naive mean-field point, with variances c and d and G = W^T diag(c) W, the cumulants of orders
2 and 3 are terms of Plefka's expansion. They part at order 4. Both hold the sum over closed walks
of four bonds. For two bonds that meet in one unit the cumulant also holds kappa_4, and Plefka's
expansion, at fixed means, kappa_4 - kappa_3^2/kappa_2: for binary units such pairs then drop out.

TAP's free energy is stationary at its m and n, so its gradient is the explicit derivative. F_2 and
F_3 are not stationary at the naive point, which moves with the parameters: for binary units their
gradient also holds the linear response s of the magnetisations to the reaction fields r,

    s_m = c (r_m + W s_n),   s_n = d (r_n + W^T s_m),

and m + s is where one Newton step from the naive point towards TAP's leads. Where the naive point
is about to split in two, the response grows without bound.
"""

from __future__ import annotations

import tensorflow as tf

from rbm_tf.machine import Machine
from rbm_tf.mean_field.bonds import has_vectors, parts_of
from rbm_tf.mean_field.plefka import correlation, reaction_field
from rbm_tf.units import bernoulli_cumulants


def check_fourth_order(machine: Machine) -> None:
    """Refuse units that have no fourth order here.

    Args:
        machine: the `Machine`.

    Raises:
        ValueError: for `Potts` units, also as a part of a layer.

    Example:
        >>> check_fourth_order(machine_of(BernoulliRBM(2, 1)))
    """
    for layer in (machine.visible, machine.hidden):
        if any(has_vectors(unit) for unit, _ in parts_of(layer)):
            raise ValueError(
                f"Order 4 is there for units whose states are numbers; got {layer!r}. Take order 3."
            )


def fourth_cumulant_at(machine: Machine, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """<<V^4>> under the product of units in the fields x and y, V = -sum_ij W_ij dv_i dh_j + const.

    With dv = v - m, dh = h - n and the cumulants of single units in their fields,

        6 sum_jk d_j d_k G_jk^2 + 3 sum_i kappa_4i (sum_j W_ij^2 d_j)^2
        + 3 sum_j kappa_4j (sum_i W_ij^2 c_i)^2 + sum_ij W_ij^4 kappa_4i kappa_4j.

    At the naive mean-field point this is the fourth cumulant of V = E - E_q, where the terms linear
    in v and h vanish; F_4 = F_3 - <<V^4>> / 24.

    Args:
        machine: the `Machine`.
        x: fields of the visible units, (num_visible,).
        y: fields of the hidden units, (num_hidden,).

    Returns:
        Scalar, nats^4.

    Raises:
        ValueError: for `Potts` units.

    Reference: B22, B23 and B26.

    Example:
        >>> machine = Machine(tf.ones((1, 1)), tf.zeros(1), tf.zeros(1), units.Spin(1))
        >>> float(fourth_cumulant_at(machine, tf.zeros(1), tf.zeros(1)))  # V = +-1/2
        -0.125
    """
    check_fourth_order(machine)
    left, right = machine.visible.cumulants(x, 4), machine.hidden.cumulants(y, 4)
    return _fourth_cumulant(machine.kernel, tf.unstack(left), tf.unstack(right))


def plefka_fourth_term_at(machine: Machine, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """The W^4 term of the free energy at fixed means, in their conjugate fields x and y.

        -1/4 sum_jk d_j d_k G_jk^2 - 1/24 sum_ij W_ij^4 kappa_4i kappa_4j
        - 1/8 sum_i (kappa_4 - kappa_3^2/kappa_2)_i (sum_j W_ij^2 d_j)^2
        - 1/8 sum_j (kappa_4 - kappa_3^2/kappa_2)_j (sum_i W_ij^2 c_i)^2

    Args:
        machine: the `Machine`.
        x: conjugate fields of the visible units, (num_visible,).
        y: conjugate fields of the hidden units, (num_hidden,).

    Returns:
        Scalar, nats.

    Raises:
        ValueError: for `Potts` units.

    Reference: Plefka (1982); Georges and Yedidia (1991), How to expand around mean-field theory
    using high-temperature expansions; Maillard et al. (2019); B26.

    Example:
        >>> layers = units.Spin(1), units.Spin(1)
        >>> machine = Machine(tf.ones((1, 1)), tf.zeros(1), tf.zeros(1), *layers)
        >>> fourth = plefka_fourth_term_at(machine, tf.zeros(1), tf.zeros(1))
        >>> round(float(fourth), 6)  # -ln cosh(W) has the term W^4 / 12
        0.083333
    """
    check_fourth_order(machine)
    left, right = machine.visible.cumulants(x, 4), machine.hidden.cumulants(y, 4)
    return _plefka_fourth_term(machine.kernel, tf.unstack(left), tf.unstack(right))


def fourth_cumulant(kernel: tf.Tensor, m: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """`fourth_cumulant_at` for binary units of magnetisations m and n: kappa_4 = c (1 - 6 c).

    Args:
        kernel: the kernel W, (num_visible, num_hidden).
        m: magnetisations <v>, (num_visible,).
        n: magnetisations <h>, (num_hidden,).

    Returns:
        Scalar, nats^4.

    Reference: B22, B23 and B26.

    Example:
        >>> half = tf.fill((1,), 0.5)  # V = +-1/4 with equal odds: 4^-4 - 3 (4^-2)^2
        >>> float(fourth_cumulant(tf.ones((1, 1)), half, half))
        -0.0078125
    """
    return _fourth_cumulant(kernel, *_cumulants_of(m, n))


def plefka_fourth_term(kernel: tf.Tensor, m: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """`plefka_fourth_term_at` for binary units of magnetisations m and n.

    There kappa_4 - kappa_3^2/kappa_2 = -2 c^2: the two sums that hold it cancel every pair of
    different bonds that share a unit.

    Args:
        kernel: the kernel W, (num_visible, num_hidden).
        m: magnetisations <v>, (num_visible,).
        n: magnetisations <h>, (num_hidden,).

    Returns:
        Scalar, nats.

    Reference: Plefka (1982); B26.

    Example:
        >>> half = tf.fill((1,), 0.5)  # -ln cosh(J) at J = 1/4 has the term J^4 / 12
        >>> round(1 / float(plefka_fourth_term(tf.ones((1, 1)), half, half)))
        3072
    """
    return _plefka_fourth_term(kernel, *_cumulants_of(m, n))


def response_step(
    kernel: tf.Tensor,
    magnetisations: tuple[tf.Tensor, tf.Tensor],
    response: tuple[tf.Tensor, tf.Tensor],
    order: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One step of the iteration for the linear response of binary units; s_m first, then s_n.

    Args:
        kernel: the kernel W, (num_visible, num_hidden).
        magnetisations: m and n of naive mean field, (num_starts, num_visible) and
            (num_starts, num_hidden).
        response: s_m and s_n, of the same shapes; zero to start with.
        order: the last order that counts, 1, 2 or 3.

    Returns:
        The new s_m and s_n. They settle where the naive iteration settles.

    Reference: B26.

    Example:
        >>> m, n = tf.fill((1, 2), 0.2), tf.fill((1, 1), 0.5)
        >>> response_step(tf.ones((2, 1)), (m, n), (0 * m, 0 * n), order=2)[0].numpy().round(4)
        array([[0.012, 0.012]], dtype=float32)
    """
    m, n = magnetisations
    reaction = reaction_field(kernel, m, n, order)
    s_m = m * (1 - m) * (reaction + tf.matmul(response[1], kernel, transpose_b=True))
    reaction = reaction_field(tf.transpose(kernel), n, m, order)
    return s_m, n * (1 - n) * (reaction + tf.matmul(s_m, kernel))


def cumulant_moments(
    kernel: tf.Tensor,
    magnetisations: tuple[tf.Tensor, tf.Tensor],
    response: tuple[tf.Tensor, tf.Tensor],
    order: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Minus the derivatives of F_order in visible bias, hidden bias and kernel, mean over starts.

    Of binary units: m + s_m, n + s_n, and m n^T + W c d^T + .. + s_m n^T + m s_n^T, in place of
    <v>, <h> and <v h^T>.

    Args:
        kernel: the kernel W, (num_visible, num_hidden).
        magnetisations: m and n of naive mean field, (num_starts, num_visible) and
            (num_starts, num_hidden).
        response: s_m and s_n, the fixed point of `response_step`.
        order: the last order that counts, 1, 2 or 3.

    Returns:
        (num_visible,), (num_hidden,) and (num_visible, num_hidden).

    Reference: B26.

    Example:
        >>> m, n = tf.fill((1, 2), 0.2), tf.fill((1, 1), 0.5)
        >>> visible, _, _ = cumulant_moments(tf.zeros((2, 1)), (m, n), (0 * m, 0 * n), order=2)
        >>> visible.numpy()
        array([0.2, 0.2], dtype=float32)
    """
    (m, n), (s_m, s_n) = magnetisations, response
    moved = tf.matmul(s_m, n, transpose_a=True) + tf.matmul(m, s_n, transpose_a=True)
    moved /= tf.cast(tf.shape(m)[0], m.dtype)
    pair = correlation(kernel, m, n, order) + moved
    return tf.reduce_mean(m + s_m, 0), tf.reduce_mean(n + s_n, 0), pair


def _cumulants_of(m, n):
    return [list(bernoulli_cumulants(mean, 1 - mean)) for mean in (m, n)]


def _fourth_cumulant(kernel, left, right):
    """From the cumulants of the visible and of the hidden units."""
    (_, c, _, gamma), (_, d, _, delta) = left, right
    chains_visible = tf.reduce_sum(gamma * tf.linalg.matvec(kernel**2, d) ** 2)
    chains_hidden = tf.reduce_sum(delta * tf.linalg.matvec(kernel**2, c, transpose_a=True) ** 2)
    bonds = tf.tensordot(gamma, tf.linalg.matvec(kernel**4, delta), 1)
    return 6 * _closed_walks(kernel, c, d) + 3 * chains_visible + 3 * chains_hidden + bonds


def _plefka_fourth_term(kernel, left, right):
    (_, c, _, gamma), (_, d, _, delta) = left, right
    pairs = 0.0
    for (_, _, third, fourth), variance, reaction in (
        (left, c, tf.linalg.matvec(kernel**2, d)),
        (right, d, tf.linalg.matvec(kernel**2, c, transpose_a=True)),
    ):
        moving = tf.math.divide_no_nan(third * third, variance)  # the variance, with the mean
        pairs += tf.reduce_sum((fourth - moving) * reaction**2)
    bonds = tf.tensordot(gamma, tf.linalg.matvec(kernel**4, delta), 1)
    return -_closed_walks(kernel, c, d) / 4 - pairs / 8 - bonds / 24


def _closed_walks(kernel, c, d):
    """sum_jk d_j d_k G_jk^2 with G = W^T diag(c) W."""
    gram = tf.matmul(kernel, c[:, tf.newaxis] * kernel, transpose_a=True)
    return tf.tensordot(d, tf.linalg.matvec(gram**2, d), 1)
