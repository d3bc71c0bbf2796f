"""SUMO: an unbiased estimate of ln p(x), by a random number of importance weights."""

import numpy as np

_ALPHA, _RATIO = 80, 0.9


def sumo_lengths(num, seed=None):
    """Numbers of terms K with P(K >= k) = 1/k up to k = 80, and from there falling by 0.9 a term.

    Their mean is about 5.1. An estimate takes K + 1 weights.

    Args:
        num: how many.
        seed: integer; the same seed gives the same numbers.

    Returns:
        (num,) integers, 1 or above.

    Reference: Luo et al. (2020), SUMO: unbiased estimation of log marginal probability for latent
    variable models, section 3.

    Example:
        >>> lengths = sumo_lengths(1000, seed=0)
        >>> int(lengths.min())
        1
    """
    u = 1 - np.random.default_rng(seed).random(num)  # in (0, 1]
    far = np.log(np.minimum(1, u * _ALPHA)) / np.log(_RATIO)
    return np.where(u * _ALPHA > 1, 1 / u, _ALPHA + far).astype(int)


def sumo(log_weights, lengths):
    """IWAE_1 + sum_{k=1}^{K} (IWAE_{k+1} - IWAE_k) / P(K >= k), a random K for each example.

    The expectation telescopes to lim IWAE_k = ln p(x): no bias, but a large and possibly infinite
    variance.

    Args:
        log_weights: (num_samples, batch), of which an example uses the first K + 1.
        lengths: K of each example from `sumo_lengths`, (batch,).

    Returns:
        (batch,), float64, nats.

    Raises:
        ValueError: if there are too few samples for the largest K.

    Reference: Luo et al. (2020), equation 7; B18.

    Example:
        >>> sumo(np.log([[1.0], [3.0], [2.0]]), [1])  # ln 1 + (ln 2 - ln 1)
        array([0.69314718])
    """
    log_weights, lengths = np.asarray(log_weights, float), np.asarray(lengths)
    num_samples = len(log_weights)
    if lengths.max() >= num_samples:
        raise ValueError(
            f"The largest K of {lengths.max()} needs {lengths.max() + 1} samples; got "
            f"{num_samples}. Draw max(lengths) + 1 samples."
        )
    counts = np.arange(1, num_samples + 1)[:, np.newaxis]
    bounds = np.logaddexp.accumulate(log_weights, 0) - np.log(counts)  # IWAE_1, IWAE_2, ..
    k = counts[:-1]
    survival = np.where(k < _ALPHA, 1 / k, _RATIO ** (k - _ALPHA) / _ALPHA)
    terms = np.where(k <= lengths, np.diff(bounds, axis=0) / survival, 0)
    return bounds[0] + terms.sum(0)
