"""Estimates of ln p(x) from log importance weights, in nats.

Every function takes log_weights of shape (num_samples, batch), as `VAE.log_weights` makes them, and
reduces axis 0. They are TensorFlow programs, differentiable, and keep the dtype of log_weights.
"""

import tensorflow as tf
import tensorflow_probability as tfp

from rbm_tf.cumulants import log_expectation, sample_cumulants


def elbo(log_weights):
    """The evidence lower bound <ln w>, order 1 of the cumulant expansion (B14, B24).

    Args:
        log_weights: (num_samples, batch).

    Returns:
        (batch,), nats; below ln p(x) in expectation.

    Raises:
        ValueError: if log_weights have no sample.

    Example:
        >>> elbo([[-1.0], [-3.0]]).numpy()
        array([-2.], dtype=float32)
    """
    return tf.reduce_mean(_checked(log_weights), 0)


def iwae(log_weights):
    """The importance-weighted bound ln (1/K) sum_k w_k, with all K samples.

    Args:
        log_weights: (num_samples, batch).

    Returns:
        (batch,), nats; below ln p(x) in expectation, and the tighter the more samples.

    Raises:
        ValueError: if log_weights have no sample.

    Reference: Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders.

    Example:
        >>> iwae(tf.math.log([[1.0], [3.0]])).numpy()  # ln 2
        array([0.6931472], dtype=float32)
    """
    return tfp.math.reduce_logmeanexp(_checked(log_weights), 0)


def jackknife(log_weights):
    """The first-order jackknife of `iwae`, which removes its bias of order 1/K.

    K iwae(all) - (K - 1) <iwae(all but one)>. Not a bound.

    Args:
        log_weights: (num_samples, batch), at least two samples.

    Returns:
        (batch,), nats.

    Raises:
        ValueError: if there are fewer than two samples.

    Reference: Nowozin (2018), Debiasing evidence approximations.

    Example:
        >>> jackknife(tf.math.log([[1.0], [3.0]])).numpy().round(4)  # 2 ln 2 - (ln 1 + ln 3) / 2
        array([0.837], dtype=float32)
    """
    log_weights = _checked(log_weights, at_least=2)
    wide = tf.cast(log_weights, tf.float64)  # the difference of the two terms is small
    num_samples = tf.cast(tf.shape(wide)[0], wide.dtype)
    log_leave_one_out, log_mean = tfp.stats.log_loomean_exp(wide, axis=0, keepdims=False)
    correction = (num_samples - 1) * (log_mean - tf.reduce_mean(log_leave_one_out, 0))
    return tf.cast(log_mean + correction, log_weights.dtype)


def cumulant(log_weights, order=2):
    """The cumulant expansion ln p(x) = <ln w> + 1/2 <<(ln w)^2>> + .. truncated at an order (B25).

    The cumulants are unbiased k-statistics, so that the only bias is that of the truncation. Order
    1 is the ELBO; higher orders are not bounds.

    Args:
        log_weights: (num_samples, batch), at least `order` samples.
        order: 1 to 6.

    Returns:
        (batch,), nats.

    Raises:
        ValueError: if order is not 1 to 6, or there are fewer samples than the order.

    Example:
        >>> cumulant([[-1.0], [-3.0]], order=2).numpy()  # -2 + 2 / 2
        array([-1.], dtype=float32)
    """
    return log_expectation(sample_cumulants(_checked(log_weights), order))


def grouped_cumulant(log_weights, group_size, order=2):
    """The cumulant expansion of ln p(x) = ln <exp(L_K)>, L_K the log-mean-exp of K weights.

    Groups of one are `cumulant`; a single group, of all samples, at order 1 is `iwae`.

    Args:
        log_weights: (num_samples, batch), num_samples a multiple of group_size.
        group_size: K, weights in a group.
        order: 1 to 6; at least as many groups.

    Returns:
        (batch,), nats.

    Raises:
        ValueError: if the samples do not divide into groups, or there are fewer groups than the
            order.

    Example:
        >>> grouped_cumulant(tf.math.log([[1.0], [3.0], [2.0], [2.0]]), group_size=2).numpy()
        array([0.6931472], dtype=float32)
    """
    log_weights = _checked(log_weights)
    num_samples = log_weights.shape[0]
    if group_size < 1 or num_samples % group_size:
        raise ValueError(
            f"{num_samples} samples do not divide into groups of {group_size}: choose a group_size "
            "that divides the number of samples, or drop the samples that are left over."
        )
    groups = tf.reshape(log_weights, (-1, group_size, *log_weights.shape[1:]))
    return cumulant(tfp.math.reduce_logmeanexp(groups, 1), order)


def _checked(log_weights, at_least=1):
    log_weights = tf.convert_to_tensor(log_weights)
    if log_weights.shape.rank == 0 or log_weights.shape[0] < at_least:
        raise ValueError(
            f"log_weights must have shape (num_samples, batch) with num_samples of {at_least} or "
            f"more; got {tuple(log_weights.shape)}."
        )
    return log_weights
