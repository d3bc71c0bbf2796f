"""The loss of an RBM, F_c(data) - F_eq, with the centred gradient."""

import tensorflow as tf

from rbm_tf.gibbs import Parameters
from rbm_tf.negative_phase import ModelStates


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
    """F_c(v) - F_eq for each example, differentiable in the parameters alone.

    With `ModelStates` F_eq is replaced by <F_c> over the states, which has the same gradient but
    not the same value (B9); with `ModelMoments` the result is -ln p(v).

    With offsets mu and lambda the gradient for W is that of (v - mu)(h - lambda)^T averaged over
    model and data, and each bias follows its mean less what the step of W already moves: the plain
    gradient (B8, B9) of a model whose units are measured from the offsets, in its own coordinates.
    Zero offsets give the plain gradient.

    Args:
        parameters: `Parameters` in the dtype of the variables.
        data: visible states (batch, num_visible) and their hidden inputs (batch, num_hidden).
        model: `ModelStates` or `ModelMoments`.
        offsets: mu (num_visible,) and lambda (num_hidden,).
        product_dtype: in which the product of the gradient is made.

    Returns:
        (batch,), nats.

    Reference: Melchior, Fischer and Wiskott (2016), How to center deep Boltzmann machines.

    Example:
        >>> rbm = BernoulliRBM(2, 1)
        >>> states = ModelStates(tf.ones((3, 2)), tf.zeros((3, 1)))
        >>> offsets = tf.zeros(2), tf.zeros(1)
        >>> free_energy_gap(rbm.parameters, tuple(states), states, offsets, "float32").numpy()
        array([0., 0., 0.], dtype=float32)
    """
    visible_offset, hidden_offset = offsets
    if isinstance(model, ModelStates):
        bias = tf.stop_gradient(parameters.visible_bias)
        free_energy = tf.reduce_mean(clamped_free_energy(*model, bias))
        plain_gradient = _gradient_against_states
    else:
        free_energy = model.free_energy
        plain_gradient = _gradient_against_moments
    values = clamped_free_energy(*data, tf.stop_gradient(parameters.visible_bias)) - free_energy

    def gradient(*upstream):
        by_kernel, by_visible, by_hidden = plain_gradient(
            upstream[0], data, model, offsets, product_dtype
        )
        return Parameters(
            by_kernel,
            by_visible - tf.linalg.matvec(by_kernel, hidden_offset),
            by_hidden - tf.linalg.matvec(by_kernel, visible_offset, transpose_a=True),
        )

    gap = tf.custom_gradient(lambda *_: (tf.identity(values), gradient))
    return gap(*parameters)


def _gradient_against_states(upstream, data, model, offsets, product_dtype):
    """Centred for the kernel, plain for the biases; one product of all data and model states."""
    num_chains = tf.shape(model.visible)[:1]
    share = -tf.reduce_sum(upstream) / tf.cast(num_chains[0], upstream.dtype)
    weights = -tf.concat([upstream, tf.fill(num_chains, share)], 0)  # they add up to zero
    visible = tf.concat([data[0], model.visible], 0) - offsets[0]
    hidden = tf.sigmoid(tf.concat([data[1], model.hidden_input], 0)) - offsets[1]
    return (
        _product(visible * weights[:, tf.newaxis], hidden, product_dtype),
        tf.linalg.matvec(visible, weights, transpose_a=True),
        tf.linalg.matvec(hidden, weights, transpose_a=True),
    )


def _gradient_against_moments(upstream, data, model, offsets, product_dtype):
    """The same with averages <v>, <h>, <v h^T> in place of the model states."""
    (mu, lam), total = offsets, tf.reduce_sum(upstream)
    visible, hidden = data[0] - mu, tf.sigmoid(data[1]) - lam
    m, n = model.visible - mu, model.hidden - lam
    covariance = model.correlation - tf.tensordot(model.visible, model.hidden, 0)
    by_kernel = total * (covariance + tf.tensordot(m, n, 0))
    return (
        by_kernel - _product(visible * upstream[:, tf.newaxis], hidden, product_dtype),
        total * m - tf.linalg.matvec(visible, upstream, transpose_a=True),
        total * n - tf.linalg.matvec(hidden, upstream, transpose_a=True),
    )


def _product(left, right, dtype):
    product = tf.matmul(tf.cast(left, dtype), tf.cast(right, dtype), transpose_a=True)
    return tf.cast(product, left.dtype)
