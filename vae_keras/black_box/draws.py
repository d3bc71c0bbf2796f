"""Draws of a surrogate posterior with their log-weights ln w = ln p(x, z) - ln q(z)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.log_weights import float_tensor
from rbm_tf.shared.progress import Progress
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import Tensor

BLOCK = 10_000  # draws at once
Target = Callable[..., Any]  # from a draw, or its parts, to ln p(x, z)


def log_weights(
    target_log_prob_fn: Target,
    surrogate_posterior: tfp.distributions.Distribution,
    num_samples: int,
    *,
    seed: int | Tensor | None = None,
) -> Tensor:
    """ln w = ln p(x, z) - ln q(z) of draws z from q: all that the estimates of ln p(x) need.

    It may be called within a `tf.function`, and is differentiable where q is reparameterised.

    Args:
        target_log_prob_fn: ln p(x, z), nats, as in `tfp.vi`: a function of a draw, which is
            called with its parts as arguments where a draw has several, by name where they have names. A
            pinned joint distribution's `unnormalized_log_prob` is one.
        surrogate_posterior: q, a distribution or joint distribution of TensorFlow Probability.
        num_samples: the number of draws.
        seed: integer, (2,) int32 tensor or None; the same seed gives the same draws.

    Returns:
        (num_samples, *batch), nats, of the dtype of the densities.

    Raises:
        ValueError: if num_samples is below 1, or the target's shape is not that of q's densities.

    Reference: B25.

    Example:
        >>> q = tfp.distributions.Normal(0.0, 1.0)
        >>> log_weights(lambda z: q.log_prob(z) + 1.0, q, 3, seed=0).numpy()
        array([1., 1., 1.], dtype=float32)
    """
    check_counts(num_samples=num_samples)
    return draw(target_log_prob_fn, surrogate_posterior, num_samples, as_seed(seed))[1]


def draw(target, surrogate, num_samples, seed):
    """Draws z of q, (num_samples, ..), and their log-weights, (num_samples, *batch)."""
    z, log_q = surrogate.experimental_sample_and_log_prob(num_samples, seed=seed)
    log_p = float_tensor(call(target, z), dtype=log_q.dtype)
    if log_p.shape != log_q.shape:
        raise ValueError(
            f"target_log_prob_fn gave the shape {tuple(log_p.shape)} for {num_samples} draws, whose "
            f"densities under the surrogate have {tuple(log_q.shape)}. It has to keep the axis of "
            "the draws in front and to sum over the event, as tfd.Independent or a JointDistribution with "
            "automatic batching does."
        )
    return z, log_p - log_q


def blocks_of_draws(
    target: Target, surrogate: Any, num_samples: int, seed: Any, progress: bool
) -> Iterator[tuple[Any, np.ndarray]]:
    """Draws and log-weights in blocks, the latter float64; refuses what no estimate survives."""
    seed, num_blocks = as_seed(seed), -(-num_samples // BLOCK)
    with Progress(num_samples, "draws", "draw", shown=progress) as bar:
        for block in range(num_blocks):
            size = min(BLOCK, num_samples - block * BLOCK)
            here = tf.random.experimental.stateless_fold_in(seed, block)
            z, log_w = draw(target, surrogate, size, here)
            log_w = np.asarray(log_w, np.float64)
            num_bad = int(np.sum(np.isnan(log_w) | (log_w == np.inf)))
            if num_bad:
                raise ValueError(
                    f"{num_bad} of {log_w.size} log-weights are NaN or infinite: target_log_prob_fn or the "
                    "surrogate's density has no value there. Check it at draws of the surrogate; a "
                    "bijector keeps draws inside the support of the target."
                )
            yield z, log_w
            bar.update(size)


def call(function, z):
    """The function of a draw, as `tfp.vi` calls it: with the parts of a structure as arguments."""
    if isinstance(z, Mapping):
        return function(**z)
    if hasattr(z, "_asdict"):
        return function(**z._asdict())
    return function(*z) if isinstance(z, list | tuple) else function(z)
