"""Estimates of ln p(x) from log importance weights, in nats.

Every function takes log_weights of shape (num_samples, batch), as `VAE.log_weights` makes them on
every backend, and reduces axis 0; batch may be any shape, also none. They are TensorFlow programs,
differentiable, and compute in float64 for log_weights of that type and in float32 otherwise. A
weight may be zero, ln w = -inf; of a data point with NaN or +inf among its log-weights every
estimate is NaN.

Log-weights may come from any library. Of a VAE written in PyTorch, with q = q(z|x) a distribution,

    z = q.rsample((1000,))
    log_joint = likelihood(decoder(z)).log_prob(x).sum(-1) + prior.log_prob(z).sum(-1)
    iwae((log_joint - q.log_prob(z).sum(-1)).detach().numpy())

The groups log_likelihood and log_prior of an ArviZ InferenceData or DataTree map variables to
arrays (chain, draw, ..). Here z ~ N(0, 1) and x = 1 ~ N(z, 1), with draws of an approximation whose
log_q is known, the exact posterior:

    >>> normal = lambda x, mean, var: -0.5 * ((x - mean) ** 2 / var + np.log(2 * np.pi * var))
    >>> z = np.random.default_rng(0).normal(0.5, 0.5**0.5, size=(4, 500))
    >>> groups = {"x": normal(1, z, 1)}, {"z": normal(z, 0, 1)}  # data.log_likelihood, .log_prior
    >>> each = [np.asarray(a) for group in groups for a in group.values()]
    >>> log_joint = sum(a.reshape(*a.shape[:2], -1).sum(-1) for a in each)
    >>> print(iwae((log_joint - normal(z, 0.5, 0.5)).ravel()).numpy().round(4))  # ln N(1; 0, 2)
    -1.5155

Draws of the posterior instead, by MCMC, with the density of any approximation as log_q, have <1/w>
= 1/p(x): `rbm_tf.estimates.estimate_log_z(log_weights, reverse=True)`.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from rbm_tf.cumulants import log_expectation, sample_cumulants
from rbm_tf.shared.betas import increasing
from rbm_tf.shared.log_weights import as_log_weights, log_mean_exp, log_power
from rbm_tf.shared.types import ArrayLike


def elbo(log_weights: ArrayLike) -> tf.Tensor:
    """The evidence lower bound <ln w>, order 1 of the cumulant expansion (B14, B24).

    Args:
        log_weights: log importance weights ln w, nats, (num_samples, batch).

    Returns:
        (batch,), nats; below ln p(x) in expectation.

    Raises:
        ValueError: if log_weights have no sample.

    Example:
        >>> elbo([[-1.0], [-3.0]]).numpy()
        array([-2.], dtype=float32)
    """
    return tf.reduce_mean(as_log_weights(log_weights), 0)


def iwae(log_weights: ArrayLike) -> tf.Tensor:
    """The importance-weighted bound ln (1/K) sum_k w_k, with all K samples.

    Args:
        log_weights: log importance weights ln w, nats, (num_samples, batch).

    Returns:
        (batch,), nats; below ln p(x) in expectation, and the tighter the more samples.

    Raises:
        ValueError: if log_weights have no sample.

    Reference: Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders.

    Example:
        >>> iwae(tf.math.log([[1.0], [3.0]])).numpy()  # ln 2
        array([0.6931472], dtype=float32)
    """
    return log_mean_exp(as_log_weights(log_weights))


def jackknife(log_weights: ArrayLike, *, order: int = 1) -> tf.Tensor:
    """The jackknife of `iwae`, which removes its bias up to order 1/K^order. Not a bound.

    sum_j (-1)^j (K - j)^order / (j! (order - j)!) <iwae(all but j)>, j = 0 .. order, where <> is
    over all ways to leave j weights out. The time grows as K for both orders.

    Args:
        log_weights: log importance weights ln w, nats, (num_samples, batch), more samples than the
            order.
        order: the power of 1/K up to which the bias goes, 1 or 2.

    Returns:
        (batch,), nats; not finite where no more weights than the order are above zero.

    Raises:
        ValueError: if the order is another, or there are too few samples.

    Reference: Nowozin (2018), Debiasing evidence approximations.

    Example:
        >>> log_weights = tf.math.log([[1.0], [3.0], [2.0]])
        >>> jackknife(log_weights[:2]).numpy().round(4)  # 2 ln 2 - (ln 1 + ln 3) / 2
        array([0.837], dtype=float32)
        >>> jackknife(log_weights, order=2).numpy().round(3)
        array([0.731], dtype=float32)
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2; got {order!r}.")
    log_weights = as_log_weights(log_weights, at_least=order + 1)
    wide = tf.cast(log_weights, tf.float64)  # the differences below are small
    num_samples = tf.cast(tf.shape(wide)[0], wide.dtype)
    one, two = _leave_out(wide, num_samples, pairs=order == 2)
    one -= tf.math.log1p(-1 / num_samples)  # now <iwae(all but one)> - iwae(all)
    if order == 1:
        correction = -(num_samples - 1) * one
    else:
        two -= tf.math.log1p(-2 / num_samples)
        correction = (num_samples - 2) ** 2 / 2 * two - (num_samples - 1) ** 2 * one
    return tf.cast(iwae(wide) + correction, log_weights.dtype)


def _leave_out(log_weights, num_samples, pairs):
    """Averages of ln(1 - p_i), and of ln(1 - p_i - p_j) over pairs, p_i = w_i / sum w.

    Only the largest weight can make 1 - p_i small: its terms are summed without a difference. For
    the others u_i = p_i / (1 - p_i) has u_i u_j <= 1/4, and with U_m = sum u_i^m the pairs are
    sum ln(1 - u_i u_j) = -sum_m (U_m^2 - U_2m) / 2m, here to m = 25.
    """
    log_weights = tf.sort(log_weights, 0, "DESCENDING")
    log_weights -= tf.reduce_logsumexp(log_weights, 0)
    log_rest = tf.reduce_logsumexp(log_weights[1:], 0)  # of 1 - p_1
    p = tf.exp(log_weights[1:])
    sum_ = tf.reduce_sum(tf.math.log1p(-p), 0)
    one = (log_rest + sum_) / num_samples
    if not pairs:
        return one, None
    with_first = tf.reduce_sum(tf.math.log1p(-tf.exp(log_weights[2:] - log_rest)), 0)
    with_first += tf.reduce_logsumexp(log_weights[2:], 0) + (num_samples - 2) * log_rest
    u = p / (1 - p)
    power, sums = u, [tf.reduce_sum(u, 0)]
    for _ in range(49):
        power *= u
        sums.append(tf.reduce_sum(power, 0))
    products = -sum((sums[m - 1] ** 2 - sums[2 * m - 1]) / (2 * m) for m in range(1, 26))
    total = with_first + (num_samples - 2) * sum_ + products
    return one, total / (num_samples * (num_samples - 1) / 2)


def cumulant(log_weights: ArrayLike, *, order: int = 2) -> tf.Tensor:
    """The cumulant expansion ln p(x) = <ln w> + 1/2 <<(ln w)^2>> + .. truncated at an order (B25).

    The cumulants are unbiased k-statistics, so that the only bias is that of the truncation. Order
    1 is the ELBO; higher orders are not bounds.

    Args:
        log_weights: log importance weights ln w, nats, (num_samples, batch), at least `order`
            samples.
        order: the last order that counts, 1 to 6.

    Returns:
        (batch,), nats; NaN from order 2 on where a weight is zero, since ln w then has no variance.

    Raises:
        ValueError: if order is not 1 to 6, or there are fewer samples than the order.

    Example:
        >>> cumulant([[-1.0], [-3.0]], order=2).numpy()  # -2 + 2 / 2
        array([-1.], dtype=float32)
    """
    return log_expectation(sample_cumulants(as_log_weights(log_weights), order))


def grouped_cumulant(log_weights: ArrayLike, group_size: int, *, order: int = 2) -> tf.Tensor:
    """The cumulant expansion of ln p(x) = ln <exp(L_K)>, L_K the log-mean-exp of K weights.

    Groups of one are `cumulant`; a single group, of all samples, at order 1 is `iwae`.

    Args:
        log_weights: log importance weights ln w, nats, (num_samples, batch), num_samples a multiple
            of group_size.
        group_size: the number K of weights in a group.
        order: the last order that counts, 1 to 6; there must be as many groups.

    Returns:
        (batch,), nats.

    Raises:
        ValueError: if the samples do not divide into groups, or there are fewer groups than the
            order.

    Example:
        >>> grouped_cumulant(tf.math.log([[1.0], [3.0], [2.0], [2.0]]), group_size=2).numpy()
        array([0.6931472], dtype=float32)
    """
    return cumulant(log_means_of_groups(log_weights, group_size), order=order)


def log_means_of_groups(log_weights: ArrayLike, group_size: int) -> tf.Tensor:
    """L_K, the log-mean-exp of every K weights in a row.

    Args:
        log_weights: (num_samples, ..), num_samples a multiple of group_size.
        group_size: the number K of weights in a group.

    Returns:
        (num_samples / K, ..), nats.

    Raises:
        ValueError: if the samples do not divide into groups.

    Example:
        >>> log_means_of_groups(tf.math.log([[1.0], [3.0], [2.0], [2.0]]), group_size=2).numpy()
        array([[0.6931472],
               [0.6931472]], dtype=float32)
    """
    log_weights = as_log_weights(log_weights)
    shape = num_groups(log_weights.shape[0], group_size), group_size, *log_weights.shape[1:]
    return log_mean_exp(tf.reshape(log_weights, shape), axis=1)


def num_groups(num_samples: int, group_size: int) -> int:
    """How many groups of a size the samples make.

    Args:
        num_samples: the number of samples, a multiple of group_size.
        group_size: the number K of weights in a group.

    Returns:
        num_samples / K, an integer.

    Raises:
        ValueError: if the samples do not divide into groups.

    Example:
        >>> num_groups(100, group_size=5)
        20
    """
    if group_size < 1 or num_samples % group_size:
        raise ValueError(
            f"{num_samples} samples do not divide into groups of {group_size}: choose a group_size "
            "that divides the number of samples, or drop the samples that are left over."
        )
    return num_samples // group_size


def thermodynamic_sum(
    log_weights: ArrayLike, betas: ArrayLike, *, rule: str = "trapezoid"
) -> tf.Tensor:
    """Thermodynamic integration ln p(x) = integral_0^1 <ln w>_beta dbeta, as a sum over betas.

    <ln w>_beta = sum w^beta ln w / sum w^beta, the derivative of ln <w^beta>, grows with beta. The
    left sum is therefore a lower and the right an upper bound of the integral. With the averages
    of the samples the integral is `iwae`, and these are the bounds of it; with exact averages they
    are bounds of ln p(x). One partition from the left is the ELBO.

    Args:
        log_weights: log importance weights ln w, nats, (num_samples, batch).
        betas: the ends of the partitions, increasing from 0 to 1, (num_betas,).
        rule: where each partition takes the average: "left", "right" or, both, "trapezoid".

    Returns:
        (batch,), nats.

    Raises:
        ValueError: if betas do not increase from 0 to 1, or the rule is another.

    Reference: Masrani, Le and Wood (2019), The thermodynamic variational objective; Kirkwood
    (1935), Statistical mechanics of fluid mixtures.

    Example:
        >>> log_weights = tf.math.log([[1.0], [3.0]])
        >>> thermodynamic_sum(log_weights, np.linspace(0, 1, 11)).numpy().round(3)  # ln 2 = 0.693
        array([0.693], dtype=float32)
    """
    betas = increasing(betas)
    steps = np.diff(betas)
    shares = {"left": np.append(steps, 0), "right": np.append(0, steps)}
    shares["trapezoid"] = (shares["left"] + shares["right"]) / 2
    if rule not in shares:
        raise ValueError(f"rule must be one of {', '.join(shares)}; got {rule!r}.")
    log_weights = as_log_weights(log_weights)
    averages = (
        share * _average(log_weights, beta)
        for beta, share in zip(betas, shares[rule], strict=True)
        if share
    )
    no_weight = tf.reduce_max(log_weights, 0) == -np.inf
    return tf.where(no_weight, tf.constant(-np.inf, log_weights.dtype), tf.add_n(list(averages)))


def _average(log_weights, beta):
    """<ln w>_beta; weights of zero count nothing for beta above 0."""
    p = tf.nn.softmax(log_power(log_weights, beta), 0)
    return tf.reduce_sum(p * tf.where(p == 0, tf.zeros_like(p), log_weights), 0)
