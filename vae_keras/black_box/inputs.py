"""The one door for targets, surrogates, draws and log-weights: what comes in is checked here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from rbm_tf.shared.log_weights import as_log_weights, float_tensor
from rbm_tf.shared.progress import Progress
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, Tensor

BLOCK = 10_000  # draws at once
Target = Callable[..., Any]  # from a draw, or its parts, to ln p(x, z)


def draw(
    target: Target, surrogate: Any, num_samples: int, seed: int | ArrayLike | None
) -> tuple[Any, Tensor]:
    """Draws z of a surrogate q, and their log-weights ln p(x, z) - ln q(z).

    Args:
        target: ln p(x, z) of draws, nats, as `log_weights` takes it.
        surrogate: q, a distribution of TensorFlow Probability.
        num_samples: the number of draws.
        seed: integer, (2,) int32 tensor or None, which within a graph draws anew at every call.

    Returns:
        The draws, a structure of (num_samples, *batch, ..), and (num_samples, *batch), nats,
        float64 if either density is.

    Raises:
        ValueError: if the target is no function, q no distribution, or the target's shape is not
            that of q's densities.

    Example:
        >>> q = tfp.distributions.Normal(0.0, 1.0)
        >>> draw(lambda z: q.log_prob(z) + 1.0, q, 3, seed=0)[1].numpy()
        array([1., 1., 1.], dtype=float32)
    """
    if not callable(target):
        raise ValueError(
            f"The target must be a function of draws; got {target!r}. Of a pinned joint "
            "distribution take unnormalized_log_prob."
        )
    if not hasattr(surrogate, "experimental_sample_and_log_prob"):
        raise ValueError(
            f"The surrogate must be a distribution of TensorFlow Probability; got {surrogate!r}. "
            "Log-weights from elsewhere go into evidence_of_weights and expectation_of_weights."
        )
    # Python's generator, which as_seed(None) asks, would be asked once for all calls of a graph.
    seed = tfp.random.sanitize_seed(None) if seed is None else as_seed(seed)
    z, log_q = surrogate.experimental_sample_and_log_prob(num_samples, seed=seed)
    log_p, log_q = call(target, z), float_tensor(log_q)
    log_p = float_tensor(log_p, dtype=None if hasattr(log_p, "dtype") else log_q.dtype)
    if log_p.shape != log_q.shape:
        raise ValueError(
            f"target_log_prob_fn gave the shape {tuple(log_p.shape)} for {num_samples} draws, "
            f"whose densities under the surrogate have {tuple(log_q.shape)}. It has to keep the "
            "axis of the draws in front and to sum over the event, as tfd.Independent or a "
            "JointDistribution with automatic batching does."
        )
    dtype = tf.float64 if tf.float64 in (log_p.dtype, log_q.dtype) else log_q.dtype
    return z, tf.cast(log_p, dtype) - tf.cast(log_q, dtype)


def blocks_of_draws(
    target: Target,
    surrogate: Any,
    num_samples: int,
    seed: int | ArrayLike | None,
    *,
    progress: bool = True,
) -> Iterator[tuple[Any, np.ndarray]]:
    """Draws and their log-weights in blocks, which bounds the memory.

    Args:
        target: ln p(x, z) of draws, nats, as `log_weights` takes it.
        surrogate: q, a distribution of TensorFlow Probability.
        num_samples: the number of draws.
        seed: integer, (2,) int32 tensor or None; the same seed gives the same draws.
        progress: whether to show a bar when it takes longer than two seconds.

    Yields:
        What `draw` returns, of at most 10,000 draws, the log-weights as float64 arrays.

    Raises:
        ValueError: if the shapes do not fit, or a log-weight is NaN or +inf.

    Example:
        >>> q = tfp.distributions.Normal(0.0, 1.0)
        >>> [len(log_w) for _, log_w in blocks_of_draws(q.log_prob, q, 25_000, seed=0)]
        [10000, 10000, 5000]
    """
    seed = as_seed(seed)
    with Progress(num_samples, "draws", "draw", shown=progress) as bar:
        for number, first in enumerate(range(0, num_samples, BLOCK)):
            size = min(BLOCK, num_samples - first)
            here = tf.random.experimental.stateless_fold_in(seed, number)
            z, log_w = draw(target, surrogate, size, here)
            yield z, known_log_weights(log_w)
            bar.update(size)


def known_log_weights(log_weights: ArrayLike, *, at_least: int = 1) -> np.ndarray:
    """Log-weights as an array, refused where one is no logarithm of a weight.

    Args:
        log_weights: (num_samples, ..), nats, arrays or tensors of any framework.
        at_least: the smallest number of samples that is enough.

    Returns:
        The same shape, float64; -inf, a weight of zero, is let through.

    Raises:
        ValueError: if there are too few samples, or one is NaN or +inf.

    Example:
        >>> known_log_weights([0, -np.inf])
        array([  0., -inf])
    """
    log_w = as_log_weights(log_weights, at_least=at_least, dtype=np.float64).numpy()
    if np.isnan(log_w).any():
        raise ValueError(
            f"{np.isnan(log_w).sum()} of {log_w.size} log-weights are NaN or +inf: the density of "
            "the target or of the surrogate has no value there. Evaluate both at draws of the "
            "surrogate; a bijector keeps these inside the support of the target."
        )
    return log_w


def finite_log_weights(log_weights: ArrayLike, *, at_least: int = 1) -> np.ndarray:
    """Log-weights as an array, refused where one is not finite, for a series of cumulants.

    Args:
        log_weights: (num_samples, ..), nats, arrays or tensors of any framework.
        at_least: the smallest number of samples that is enough.

    Returns:
        The same shape, float64.

    Raises:
        ValueError: if there are too few samples, or one is NaN or infinite.

    Example:
        >>> finite_log_weights([0, -1])
        array([ 0., -1.])
    """
    log_w = known_log_weights(log_weights, at_least=at_least)
    if np.isinf(log_w).any():
        raise ValueError(
            f"{np.isinf(log_w).sum()} of {log_w.size} log-weights are -inf: the surrogate draws "
            "where the target is 0, and a series of cumulants needs finite ones. A bijector keeps "
            "the surrogate inside; averages of weights, as `iwae`, take weights of zero."
        )
    return log_w


def call(function: Callable[..., Any], z: Any) -> Any:
    """The function of a draw, as `tfp.vi` calls it: the parts of a structure are its arguments.

    Args:
        function: a function of z, or of its parts, by name where they have names.
        z: a tensor, or a list, tuple, named tuple or dictionary of them.

    Returns:
        What the function returns.

    Example:
        >>> call(lambda a, b: a - b, {"b": 1, "a": 3}), call(lambda a, b: a - b, [3, 1])
        (2, 2)
    """
    if isinstance(z, Mapping):
        return function(**z)
    if hasattr(z, "_asdict"):
        return function(**z._asdict())
    return function(*z) if isinstance(z, list | tuple) else function(z)
