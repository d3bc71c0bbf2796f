"""The loss of an RBM, F_c(data) - <F_c>_model, with the centred gradient."""

import tensorflow as tf

from rbm_tf.gibbs import Parameters


def clamped_free_energy(v, hidden_input, visible_bias):
    """F_c(v) = -a.v - sum_j softplus(b_j + (v W)_j) from the hidden inputs b + v W (B5).

    Args:
        v: visible states, (batch, num_visible).
        hidden_input: b + v W, (batch, num_hidden).
        visible_bias: a, (num_visible,).

    Returns:
        (batch,), nats.

    Example:
        >>> clamped_free_energy(tf.ones((1, 2)), tf.zeros((1, 1)), tf.ones(2)).numpy()  # -2 - ln 2
        array([-2.6931472], dtype=float32)
    """
    softplus = tf.reduce_sum(tf.math.softplus(hidden_input), -1)
    return -tf.linalg.matvec(v, visible_bias) - softplus


def free_energy_gap(parameters, data, model, offsets, product_dtype):
    """F_c(v) - <F_c>_model for each example, differentiable in the parameters alone.

    With offsets mu and lambda the gradient for W is that of (v - mu)(h - lambda)^T averaged over
    model and data, and each bias follows its mean less what the step of W already moves: the plain
    gradient (B8, B9) of a model whose units are measured from the offsets, in its own coordinates.
    Zero offsets give the plain gradient. Two products make the whole gradient.

    Args:
        parameters: `Parameters` in the dtype of the variables.
        data: visible states (batch, num_visible) and their hidden inputs (batch, num_hidden).
        model: the same for states of the model, (num_chains, ..).
        offsets: mu (num_visible,) and lambda (num_hidden,).
        product_dtype: in which the product of the gradient is made.

    Returns:
        (batch,), nats.

    Reference: Melchior, Fischer and Wiskott (2016), How to center deep Boltzmann machines.

    Example:
        >>> rbm = BernoulliRBM(2, 1)
        >>> v, hidden_input = tf.ones((3, 2)), tf.zeros((3, 1))
        >>> offsets = tf.zeros(2), tf.zeros(1)
        >>> pair = v, hidden_input
        >>> free_energy_gap(rbm.parameters, pair, pair, offsets, "float32").numpy()
        array([0., 0., 0.], dtype=float32)
    """
    (v, data_input), (model_v, model_input) = data, model
    visible_offset, hidden_offset = offsets
    bias = tf.stop_gradient(parameters.visible_bias)
    model_mean = tf.reduce_mean(clamped_free_energy(model_v, model_input, bias))
    values = clamped_free_energy(v, data_input, bias) - model_mean

    def gradient(*upstream):  # (batch,): the weights of data and model states add up to zero
        num_chains = tf.shape(model_v)[:1]
        share = -tf.reduce_sum(upstream[0]) / tf.cast(num_chains[0], values.dtype)
        weights = -tf.concat([upstream[0], tf.fill(num_chains, share)], 0)
        visible = tf.concat([v, model_v], 0) - visible_offset
        hidden = tf.sigmoid(tf.concat([data_input, model_input], 0)) - hidden_offset
        left = tf.cast(visible * weights[:, tf.newaxis], product_dtype)
        by_kernel = tf.matmul(left, tf.cast(hidden, product_dtype), transpose_a=True)
        by_kernel = tf.cast(by_kernel, values.dtype)
        by_visible = tf.linalg.matvec(visible, weights, transpose_a=True)
        by_hidden = tf.linalg.matvec(hidden, weights, transpose_a=True)
        return Parameters(
            by_kernel,
            by_visible - tf.linalg.matvec(by_kernel, hidden_offset),
            by_hidden - tf.linalg.matvec(by_kernel, visible_offset, transpose_a=True),
        )

    gap = tf.custom_gradient(lambda *_: (tf.identity(values), gradient))
    return gap(*parameters)
