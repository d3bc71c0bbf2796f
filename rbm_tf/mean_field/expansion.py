"""The cumulant expansion of F around naive mean field, its fourth order, and its gradient (B26).

At magnetisations m, n with c = m (1 - m), d = n (1 - n) the cumulants of orders 2 and 3 are terms
of Plefka's expansion. They part at order 4: with G = W^T diag(c) W both hold the sum over closed
walks of four bonds; the cumulant also holds two bonds that meet in one unit, which in Plefka's
expansion, at fixed m and n, drop out.

TAP's Gamma is stationary at its m and n, so its gradient is the explicit derivative. F_2 and F_3
are not stationary at the naive point, which moves with the parameters: the gradient also holds the
linear response s of the magnetisations to the reaction fields r,

    s_m = c (r_m + W s_n),   s_n = d (r_n + W^T s_m),

and m + s is where one Newton step from the naive point towards TAP's leads. Where the naive point
is about to split in two, the response grows without bound.
"""

from __future__ import annotations

import warnings

import tensorflow as tf

from rbm_tf.machine import machine_of
from rbm_tf.mean_field.plefka import check_order, correlation, gamma, reaction_field
from rbm_tf.mean_field.stationary import tap
from rbm_tf.shared.types import RBMLike


def cumulant_free_energy(rbm: RBMLike, order: int) -> tf.Tensor:
    """The cumulant expansion of F = -ln Z around naive mean field, truncated at an order.

    F_1 is the naive mean-field free energy, an upper bound on F; the next orders add the cumulants
    -1/2 <<V^2>>, +1/6 <<V^3>> and -1/24 <<V^4>> of V = E - E_q under the mean-field distribution
    q, and bound nothing. Order 4 takes a product W^T W, the others are sums over bonds.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        order: the last order that counts, 1, 2, 3 or 4.

    Returns:
        F_order, scalar float64 tensor, nats.

    Raises:
        ValueError: if order is not 1, 2, 3 or 4.

    Reference: B23, B24 and B26.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> bool(cumulant_free_energy(rbm, 2) <= cumulant_free_energy(rbm, 1))
        True
    """
    check_order(order, highest=4)
    point = tap(rbm, order=1)
    if not point.converged:
        warnings.warn(
            f"Naive mean field did not converge in {point.num_iterations} iterations: the cumulants"
            " are taken at its last point. See tap(rbm, order=1).",
            stacklevel=2,
        )
    parameters = machine_of(rbm, dtype=tf.float64).parameters
    free_energy = gamma(parameters, point.visible[None], point.hidden[None], order)[0]
    if order == 4:
        free_energy -= fourth_cumulant(parameters[0], point.visible, point.hidden) / 24
    return free_energy


def fourth_cumulant(kernel: tf.Tensor, m: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """<<V^4>> under the product of Bernoullis, V = -sum_ij W_ij (v_i - m_i) (h_j - n_j) + const.

    With the fourth cumulants c (1 - 6 c) and d (1 - 6 d) of single units,

        6 sum_jk d_j d_k G_jk^2 + 3 sum_i c_i (1 - 6 c_i) (sum_j W_ij^2 d_j)^2
        + 3 sum_j d_j (1 - 6 d_j) (sum_i W_ij^2 c_i)^2
        + sum_ij W_ij^4 c_i (1 - 6 c_i) d_j (1 - 6 d_j).

    At the naive mean-field point this is the fourth cumulant of V = E - E_q, where the terms linear
    in v and h vanish; F_4 = F_3 - <<V^4>> / 24.

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
    c, d = m * (1 - m), n * (1 - n)
    gamma, delta = c * (1 - 6 * c), d * (1 - 6 * d)
    chains_visible = tf.reduce_sum(gamma * tf.linalg.matvec(kernel**2, d) ** 2)
    chains_hidden = tf.reduce_sum(delta * tf.linalg.matvec(kernel**2, c, transpose_a=True) ** 2)
    bonds = tf.tensordot(gamma, tf.linalg.matvec(kernel**4, delta), 1)
    return 6 * _closed_walks(kernel, c, d) + 3 * chains_visible + 3 * chains_hidden + bonds


def plefka_fourth_term(kernel: tf.Tensor, m: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """The W^4 term of Gamma(m, n), the free energy at fixed magnetisations.

        -1/4 sum_jk d_j d_k G_jk^2 + 1/4 sum_i c_i^2 (sum_j W_ij^2 d_j)^2
        + 1/4 sum_j d_j^2 (sum_i W_ij^2 c_i)^2 - 1/24 sum_ij W_ij^4 c_i (1 - 6 c_i) d_j (1 - 6 d_j)

    The second and third sum cancel every pair of different bonds that share a unit.

    Args:
        kernel: the kernel W, (num_visible, num_hidden).
        m: magnetisations <v>, (num_visible,).
        n: magnetisations <h>, (num_hidden,).

    Returns:
        Scalar, nats.

    Reference: Plefka (1982); Georges and Yedidia (1991), How to expand around mean-field theory
    using high-temperature expansions; B26.

    Example:
        >>> half = tf.fill((1,), 0.5)  # -ln cosh(J) at J = 1/4 has the term J^4 / 12
        >>> round(1 / float(plefka_fourth_term(tf.ones((1, 1)), half, half)))
        3072
    """
    c, d = m * (1 - m), n * (1 - n)
    pairs_visible = tf.reduce_sum((c * tf.linalg.matvec(kernel**2, d)) ** 2)
    pairs_hidden = tf.reduce_sum((d * tf.linalg.matvec(kernel**2, c, transpose_a=True)) ** 2)
    bonds = tf.tensordot(c * (1 - 6 * c), tf.linalg.matvec(kernel**4, d * (1 - 6 * d)), 1)
    return (pairs_visible + pairs_hidden - _closed_walks(kernel, c, d)) / 4 - bonds / 24


def response_step(
    kernel: tf.Tensor,
    magnetisations: tuple[tf.Tensor, tf.Tensor],
    response: tuple[tf.Tensor, tf.Tensor],
    order: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One step of the iteration for the linear response; s_m first, then s_n.

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

    m + s_m, n + s_n, and m n^T + W c d^T + .. + s_m n^T + m s_n^T, in place of <v>, <h>, <v h^T>.

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


def _closed_walks(kernel, c, d):
    """sum_jk d_j d_k G_jk^2 with G = W^T diag(c) W."""
    gram = tf.matmul(kernel, c[:, tf.newaxis] * kernel, transpose_a=True)
    return tf.tensordot(d, tf.linalg.matvec(gram**2, d), 1)
