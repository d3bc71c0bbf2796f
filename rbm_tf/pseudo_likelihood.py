"""The pseudo-likelihood of an RBM: how well each pixel follows from all others, without ln Z."""

from __future__ import annotations

import tensorflow as tf

from rbm_tf.machine import hidden_input, machine_of
from rbm_tf.shared.arrays import visible_states
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike


def pseudo_log_likelihood(rbm: RBMLike, v: ArrayLike) -> tf.Tensor:
    """The exact ln p(v_i | all other pixels) of every pixel: ln sigmoid(F_c(v^i) - F_c(v)).

    v^i is v with pixel i flipped, which moves the hidden inputs b + v W by (1 - 2 v_i) W_i; one
    matrix product serves all pixels. The sum over pixels, averaged over examples, is the
    pseudo-log-likelihood; the mean over axis 0 tells which pixels the model predicts badly. It
    needs no ln Z, and says little about modes that are far apart.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states {0, 1}, (batch, num_visible). A few arrays of (batch, num_hidden) are in
            memory at a time.

    Returns:
        (batch, num_visible), nats.

    Raises:
        ValueError: if v has another width or is not binary.

    Reference: Besag (1975), Statistical analysis of non-lattice data; F_c is that of B5.

    Example:
        >>> pseudo_log_likelihood(BernoulliRBM(2, 1), [[0, 1]]).numpy().round(1)  # nearly -ln 2
        array([[-0.7, -0.7]], dtype=float32)
    """
    v = _states(rbm, v)
    machine = machine_of(rbm)
    kernel = tf.cast(machine.kernel, v.dtype)
    return _all_pixels(kernel, machine.visible_bias, v, hidden_input(machine, v))


def stochastic_pseudo_log_likelihood(
    rbm: RBMLike, v: ArrayLike, *, seed: int | tf.Tensor | None = None
) -> tf.Tensor:
    """num_visible * ln p(v_i | all other pixels) for one random pixel i of each example.

    Over i its mean is the sum over the pixels of `pseudo_log_likelihood`, at 1 / num_visible of the
    work.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states {0, 1}, (batch, num_visible).
        seed: integer or (2,) int32 tensor that fixes the pixels; the same seed chooses the same.

    Returns:
        (batch,), nats.

    Raises:
        ValueError: if v has another width or is not binary.

    Example:
        >>> v = np.eye(64)
        >>> stochastic_pseudo_log_likelihood(BernoulliRBM(64, 16), v, seed=0).shape
        TensorShape([64])
    """
    v = _states(rbm, v)
    machine = machine_of(rbm)
    pixel = tf.random.stateless_uniform(
        (len(v),), as_seed(seed), maxval=machine.num_visible, dtype=tf.int32
    )
    inputs = hidden_input(machine, v)  # (batch, num_hidden)
    log_p = _log_conditional(
        inputs,
        tf.math.softplus(inputs),
        tf.gather(v, pixel, batch_dims=1),
        tf.gather(machine.visible_bias, pixel),
        tf.cast(tf.gather(machine.kernel, pixel), v.dtype),
    )
    return machine.num_visible * log_p


@tf.function(reduce_retracing=True)
def _all_pixels(kernel, visible_bias, v, hidden_input):
    softplus = tf.math.softplus(hidden_input)  # (batch, num_hidden)

    def one_pixel(pixel):
        return _log_conditional(hidden_input, softplus, *pixel)

    pixels = tf.transpose(v), visible_bias, kernel  # the first axis of each: num_visible
    # (num_visible, batch)
    by_pixel = tf.map_fn(one_pixel, pixels, fn_output_signature=v.dtype, parallel_iterations=1)
    return tf.ensure_shape(tf.transpose(by_pixel), v.shape)


def _log_conditional(hidden_input, softplus, pixel, bias, row):
    """ln p(v_i | others) from the hidden inputs with their softplus, v_i (batch,), a_i and W_i."""
    sign = 1 - 2 * pixel
    by_unit = tf.math.softplus(hidden_input + sign[:, tf.newaxis] * row) - softplus
    return -tf.math.softplus(sign * bias + tf.reduce_sum(by_unit, -1))  # F_c(v) - F_c(v^i)


def _states(rbm, v):
    """The checked visible states as a tensor in the dtype of the variables."""
    machine = machine_of(rbm)
    return tf.cast(visible_states(v, "v", machine.num_visible, binary=True), machine.dtype)
