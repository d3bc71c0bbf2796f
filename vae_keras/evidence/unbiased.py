"""SUMO: an unbiased estimate of ln p(x), by a random number of importance weights."""

from __future__ import annotations

import math

import numpy as np

from rbm_tf.shared.arrays import as_array
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.log_weights import as_log_weights
from rbm_tf.shared.seeds import seed_of_numpy
from rbm_tf.shared.types import ArrayLike

_ALPHA, _RATIO = 80, 0.9


def sumo_lengths(num: int, *, seed: int | None = None) -> np.ndarray:
    """Numbers of terms K with P(K >= k) = 1/k up to k = 80, and from there falling by 0.9 a term.

    Their mean is about 5.1. An estimate takes K + 1 weights.

    Args:
        num: how many numbers to draw.
        seed: integer that fixes the draws; the same seed gives the same numbers.

    Returns:
        (num,) integers, 1 or above.

    Raises:
        ValueError: if num is no integer of 1 or more, or seed none of 0 or more.

    Reference: Luo et al. (2020), SUMO: unbiased estimation of log marginal probability for latent
    variable models, section 3.

    Example:
        >>> lengths = sumo_lengths(1000, seed=0)
        >>> int(lengths.min())
        1
    """
    check_counts(num=num)
    u = 1 - np.random.default_rng(seed_of_numpy(seed)).random(num)  # in (0, 1]
    far = np.log(np.minimum(1, u * _ALPHA)) / np.log(_RATIO)
    return np.where(u * _ALPHA > 1, 1 / u, _ALPHA + far).astype(int)


def sumo(log_weights: ArrayLike, lengths: ArrayLike) -> np.ndarray:
    """IWAE_1 + sum_{k=1}^{K} (IWAE_{k+1} - IWAE_k) / P(K >= k), a random K for each example.

    The expectation telescopes to lim IWAE_k = ln p(x): no bias, but a large and possibly infinite
    variance.

    Args:
        log_weights: log importance weights ln w, nats, (num_samples, batch), of which an example
            uses the first K + 1; batch may be any shape, also none.
        lengths: the K of each example, from `sumo_lengths`, (batch,).

    Returns:
        (batch,), float64, nats.

    Raises:
        ValueError: if there are too few samples for the largest K, not one K for each example, or
            one that is no integer of 1 or more.

    Reference: Luo et al. (2020), equation 7; B18.

    Example:
        >>> sumo(np.log([[1.0], [3.0], [2.0]]), [1])  # ln 1 + (ln 2 - ln 1)
        array([0.69314718])
    """
    log_weights = as_log_weights(log_weights, at_least=2, dtype=np.float64).numpy()
    num_samples, batch = len(log_weights), log_weights.shape[1:]
    lengths = as_array(lengths, None, "lengths")
    if lengths.size != math.prod(batch):
        raise ValueError(
            f"lengths must hold one K for each example, shape {batch}; got {lengths.shape}."
        )
    if not (np.all(lengths >= 1) and np.all(lengths == np.rint(lengths))):  # false for NaN
        raise ValueError("lengths must be integers of 1 or more, as sumo_lengths draws them.")
    if lengths.max() >= num_samples:
        raise ValueError(
            f"The largest K of {lengths.max()} needs {lengths.max() + 1} samples; got "
            f"{num_samples}. Draw max(lengths) + 1 samples."
        )
    shape = -1, *(1 for _ in batch)
    log_counts = np.log(np.arange(1, num_samples + 1)).reshape(shape)
    k = np.arange(2, num_samples).reshape(shape)  # the first term, of P = 1, gives IWAE_2
    survival = np.where(k < _ALPHA, 1 / k, _RATIO ** (k - _ALPHA) / _ALPHA)
    with np.errstate(invalid="ignore"):  # of NaN, and of zero weights alone
        bounds = np.logaddexp.accumulate(log_weights, 0) - log_counts  # IWAE_1, IWAE_2, ..
        steps = np.diff(bounds[1:], axis=0) / survival
    return bounds[1] + np.where(k <= lengths.reshape(batch), steps, 0).sum(0)
