"""The gradient of the cumulant free energy F_order at the naive mean-field point.

TAP's Gamma is stationary at its m and n, so its gradient is the explicit derivative. F_2 and F_3
are not stationary at the naive point, which moves with the parameters: the gradient also holds the
linear response s of the magnetisations to the reaction fields r,

    s_m = c (r_m + W s_n),   s_n = d (r_n + W^T s_m),

and m + s is where one Newton step from the naive point towards TAP's leads (B26). Where the naive
point is about to split in two, the response grows without bound.
"""

import tensorflow as tf

from rbm_tf.plefka import correlation, reaction_field


def response_step(kernel, magnetisations, response, order):
    """One step of the iteration for the linear response; s_m first, then s_n.

    Args:
        kernel: W, (num_visible, num_hidden).
        magnetisations: m and n of naive mean field, (num_starts, num_visible) and
            (num_starts, num_hidden).
        response: s_m and s_n, of the same shapes; zero to start with.
        order: 1, 2 or 3.

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


def cumulant_moments(kernel, magnetisations, response, order):
    """Minus the derivatives of F_order in visible bias, hidden bias and kernel, mean over starts.

    m + s_m, n + s_n, and m n^T + W c d^T + .. + s_m n^T + m s_n^T, in place of <v>, <h>, <v h^T>.

    Args:
        kernel: W, (num_visible, num_hidden).
        magnetisations: m and n of naive mean field, (num_starts, num_visible) and
            (num_starts, num_hidden).
        response: s_m and s_n, the fixed point of `response_step`.
        order: 1, 2 or 3.

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
