"""Log-weights ln w = ln p(x, z) - ln q(z) of draws of a surrogate posterior."""

from __future__ import annotations

from typing import Any

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Tensor
from vae_keras.black_box.inputs import Target, draw


def log_weights(
    target_log_prob_fn: Target,
    surrogate_posterior: Any,
    num_samples: int,
    *,
    seed: int | Tensor | None = None,
) -> Tensor:
    """ln w = ln p(x, z) - ln q(z) of draws z from q: all that the estimates of ln p(x) need.

    It may be called within a `tf.function` where the target is made of TensorFlow, and is
    differentiable where q is reparameterised, too.

    Args:
        target_log_prob_fn: ln p(x, z), nats, as in `tfp.vi`: a function of a draw, (num_samples,
            *batch, ..), to (num_samples, *batch). Where a draw has several parts they are its
            arguments, by name where they have names. The `unnormalized_log_prob` of a pinned joint
            distribution is one; a function of NumPy arrays will do outside a graph.
        surrogate_posterior: q, a distribution or joint distribution of TensorFlow Probability.
        num_samples: the number of draws.
        seed: integer, (2,) int32 tensor or None; the same seed gives the same draws.

    Returns:
        (num_samples, *batch), nats, float64 if one of the densities is.

    Raises:
        ValueError: if num_samples is below 1, or the target's shape is not that of q's densities.

    Reference: B25.

    Example:
        >>> model = tfp.distributions.JointDistributionSequentialAutoBatched(
        ...     [tfp.distributions.Normal(0.0, 1.0), lambda z: tfp.distributions.Normal(z, 1.0)]
        ... )
        >>> target = model.experimental_pin(None, 2.0).unnormalized_log_prob
        >>> exact = tfp.distributions.Normal(1.0, 0.5**0.5)  # the posterior: all weights are p(x)
        >>> q = tfp.distributions.JointDistributionSequential([exact])
        >>> log_weights(target, q, 3, seed=0).numpy().round(3)
        array([-2.266, -2.266, -2.266], dtype=float32)
    """
    check_counts(num_samples=num_samples)
    return draw(target_log_prob_fn, surrogate_posterior, num_samples, seed)[1]
