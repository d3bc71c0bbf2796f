"""Losses to train a surrogate posterior with: the ELBO, and bounds and a series beyond it."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from rbm_tf.cumulants import log_expectation, sample_cumulants
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Tensor
from vae_keras.black_box.inputs import Target, draw

_FLOOR = 0.1  # of the bound's bracket, below which its logarithm goes on as the tangent


def monte_carlo_cumulant_loss(
    target_log_prob_fn: Target,
    surrogate_posterior: Any,
    sample_size: int = 1,
    order: int = 1,
    *,
    seed: int | Tensor | None = None,
    name: str | None = None,
) -> Tensor:
    """Minus an estimate of ln p(x) to minimise over q, as TFP's monte_carlo_variational_loss is.

    Order 1 is minus the ELBO. Odd orders from 3 on are minus the logarithm of the perturbative
    bound of Bamler et al.: with V = -ln w and V_0 its mean over the draws, held fixed in the
    gradient, p(x) >= e^-V_0 <sum_k (V_0 - V)^k / k!>, k = 0 .. order. It is never above `iwae` of
    the same draws. Order 2 is the plain series of cumulants. It is no bound, and falls without
    limit as q makes ln w vary more: watch the ELBO meanwhile, or take order 3.

    Begin with order 1. Where ln w varies by many nats the powers of V belong to the rarest draws,
    and the bounds of higher orders hardly lead anywhere.

    `tfp.math.minimize` trains with it, and any optimizer of Keras. Within its loop, as within every
    `tf.function`, an integer seed gives the same draws at each step; None gives new ones.

    Args:
        target_log_prob_fn: ln p(x, z), nats, as `log_weights` takes it, made of TensorFlow.
        surrogate_posterior: q; it has to be reparameterised.
        sample_size: the number of draws, at least 2 from order 2 on.
        order: 1, 2, or an odd number below 30.
        seed: integer, (2,) int32 tensor or None; the same seed gives the same draws.
        name: of the operations, as TFP has it.

    Returns:
        (*batch,), nats.

    Raises:
        ValueError: if the order is another, there are too few draws, shapes do not fit, or q is
            not reparameterised.

    Reference: Bamler, Zhang, Opper and Mandt (2017), Perturbative black box variational inference;
    B25.

    Example:
        >>> target = tfp.distributions.Normal(3.0, 0.5).log_prob
        >>> scale = tfp.util.TransformedVariable(1.0, tfp.bijectors.Softplus())
        >>> q = tfp.distributions.Normal(tf.Variable(0.0), scale)
        >>> for order in (1, 3):
        ...     losses = tfp.math.minimize(
        ...         lambda: monte_carlo_cumulant_loss(target, q, sample_size=10, order=order),
        ...         num_steps=200,
        ...         optimizer=keras.optimizers.Adam(0.1),
        ...     )
        >>> bool(abs(q.mean() - 3.0) < 0.2), bool(abs(q.stddev() - 0.5) < 0.2)
        (True, True)
    """
    check_counts(order=order)
    if order != 2 and (order % 2 == 0 or order >= 30):
        raise ValueError(
            f"order must be 1, 2 or an odd number below 30, which gives a bound; got {order!r}."
        )
    check_counts(min(order, 2), sample_size=sample_size)
    _check_reparameterised(surrogate_posterior)
    with tf.name_scope(name or "monte_carlo_cumulant_loss"):
        log_w = draw(target_log_prob_fn, surrogate_posterior, sample_size, seed)[1]
        if order <= 2:
            return -log_expectation(sample_cumulants(log_w, int(order)))
        return -_log_bound(log_w, order)


def _log_bound(log_w, order):
    """ln of e^-V_0 <sum_k (V_0 - V)^k / k!>, made a straight line where the sum is not positive."""
    reference = tf.stop_gradient(tf.reduce_mean(log_w, 0))  # -V_0
    y = log_w - reference
    bracket = tf.reduce_mean(sum(y**k / math.factorial(k) for k in range(order + 1)), 0)
    tangent = math.log(_FLOOR) + (bracket - _FLOOR) / _FLOOR
    logarithm = tf.math.log(tf.maximum(bracket, _FLOOR))
    return reference + tf.where(bracket > _FLOOR, logarithm, tangent)


def _check_reparameterised(surrogate):
    kinds = tf.nest.flatten(surrogate.reparameterization_type)
    if any(kind != tfp.distributions.FULLY_REPARAMETERIZED for kind in kinds):
        raise ValueError(
            "The surrogate is not reparameterised, and no gradient passes through its draws: take "
            "one that is, as a mixture with reparameterize=True, or the score function of "
            "`tfp.vi.monte_carlo_variational_loss`."
        )
