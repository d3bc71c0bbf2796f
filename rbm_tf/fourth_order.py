"""The fourth order for an RBM: of the cumulant expansion, and of Plefka's expansion.

At magnetisations m, n with c = m (1 - m), d = n (1 - n) and G = W^T diag(c) W, both hold the sum
over closed walks of four bonds. The cumulant also holds two bonds that meet in one unit, which in
Plefka's expansion, at fixed m and n, drop out (B26).
"""

import tensorflow as tf


def fourth_cumulant(kernel, m, n):
    """<<V^4>> under the product of Bernoullis, V = -sum_ij W_ij (v_i - m_i) (h_j - n_j) + const.

    With the fourth cumulants c (1 - 6 c) and d (1 - 6 d) of single units,

        6 sum_jk d_j d_k G_jk^2 + 3 sum_i c_i (1 - 6 c_i) (sum_j W_ij^2 d_j)^2
        + 3 sum_j d_j (1 - 6 d_j) (sum_i W_ij^2 c_i)^2
        + sum_ij W_ij^4 c_i (1 - 6 c_i) d_j (1 - 6 d_j).

    At the naive mean-field point this is the fourth cumulant of V = E - E_q, where the terms linear
    in v and h vanish; F_4 = F_3 - <<V^4>> / 24.

    Args:
        kernel: W, (num_visible, num_hidden).
        m: (num_visible,).
        n: (num_hidden,).

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


def plefka_fourth_term(kernel, m, n):
    """The W^4 term of Gamma(m, n), the free energy at fixed magnetisations.

        -1/4 sum_jk d_j d_k G_jk^2 + 1/4 sum_i c_i^2 (sum_j W_ij^2 d_j)^2
        + 1/4 sum_j d_j^2 (sum_i W_ij^2 c_i)^2 - 1/24 sum_ij W_ij^4 c_i (1 - 6 c_i) d_j (1 - 6 d_j)

    The second and third sum cancel every pair of different bonds that share a unit.

    Args:
        kernel: W, (num_visible, num_hidden).
        m: (num_visible,).
        n: (num_hidden,).

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


def _closed_walks(kernel, c, d):
    """sum_jk d_j d_k G_jk^2 with G = W^T diag(c) W."""
    gram = tf.matmul(kernel, c[:, tf.newaxis] * kernel, transpose_a=True)
    return tf.tensordot(d, tf.linalg.matvec(gram**2, d), 1)
