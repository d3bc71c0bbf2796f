"""Whether importance weights, and cumulant series of their logarithms, can be trusted."""

from __future__ import annotations

import math

import numpy as np

from rbm_tf.cumulants import MAX_ORDER, sample_cumulants
from rbm_tf.estimates import Verdict
from rbm_tf.shared.log_weights import as_log_weights
from rbm_tf.shared.types import ArrayLike

_LARGEST_NEXT_TERM = 0.25  # of the series, relative to the term before
_LARGEST_K = 0.7
_EQUAL = 1e-3  # nats between weights that count as equal
_FEWEST = 5  # excesses that arviz-stats fits
_SPAN = 700  # nats between the excesses that a fit in float64 can hold
_SMALLEST_SAMPLE = 10  # effective; the standard error of ln <w> is then about 0.3 nats


def effective_sample_size(log_weights: ArrayLike) -> np.ndarray:
    """(sum w)^2 / sum w^2 along axis 0, from 1 to the number of samples.

    Args:
        log_weights: log importance weights ln w, (num_samples, ..), nats.

    Returns:
        The shape of log_weights without axis 0, float64; 0 where all weights are zero, NaN where a
        log-weight is NaN or +inf.

    Reference: Kong (1992), A note on importance sampling using standardized weights.

    Example:
        >>> float(effective_sample_size(np.log([1.0, 1.0, 1.0, 1.0])))
        4.0
    """
    log_weights = as_log_weights(log_weights, dtype=np.float64).numpy()
    largest = log_weights.max(0)
    relative = np.exp(log_weights - np.where(largest == -np.inf, 0, largest))
    squares = (relative**2).sum(0)
    return relative.sum(0) ** 2 / np.where(squares == 0, 1, squares)


def pareto_k(log_weights: ArrayLike) -> np.ndarray:
    """The shape k-hat of the generalised Pareto tail of the weights, along axis 0.

    Below 0.5 the weights have a finite variance; up to 0.7 their mean can still be estimated with a
    practical number of samples; above 0.7 it cannot, whatever the standard error says. The tail are
    the largest 3 sqrt(num_samples) weights, at most a fifth of all, and what is fitted is by how
    much they exceed the weight below them. k-hat does not depend on the scale of the weights.

    A fit that cannot be made is never a small k-hat. It is inf where the excesses span more than
    700 nats, all that float64 holds: k is then about 100 or more. It is inf, too, where fewer than
    5 weights exceed the others. Where the largest weights are equal, or within 0.001 nats of each
    other, it is 0.

    Args:
        log_weights: log importance weights ln w, (num_samples, ..), nats; 25 samples or more,
            better thousands.

    Returns:
        The shape of log_weights without axis 0, float64; NaN where a log-weight is NaN or +inf, and
        where all weights are zero.

    Raises:
        ValueError: if there are fewer than 25 samples.

    Reference: Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling,
    JMLR 25(72); computed by arviz-stats.

    Example:
        >>> heavy_tailed = np.log(1 + np.random.default_rng(0).pareto(1 / 0.9, 10_000))
        >>> bool(pareto_k(heavy_tailed) > 0.7)
        True
    """
    log_weights = as_log_weights(log_weights, dtype=np.float64).numpy()
    num = len(log_weights)
    if num < 25:
        raise ValueError(f"pareto_k needs 25 samples or more; got {num}.")
    size = min(num // 5, int(3 * num**0.5))
    tails = np.sort(log_weights, 0)[-size - 1 :]  # NaN is sorted to the end
    k = [_tail_shape(tail) for tail in tails.reshape(size + 1, -1).T]  # one for each data point
    return np.reshape(k, log_weights.shape[1:])


def _tail_shape(tail):
    """k-hat of the weights above the first one, in increasing order, nats."""
    cutoff, above = tail[0], tail[tail > tail[0]]
    if np.isnan(tail[-1]) or tail[-1] == -np.inf:
        return np.nan
    if tail[-1] - cutoff <= _EQUAL or (len(above) >= _FEWEST and above[0] == above[-1]):
        return 0.0
    log_excess = above + np.log(-np.expm1(cutoff - above))  # ln(w - w_cutoff)
    quarter = log_excess[int(len(above) / 4 + 0.5) - 1]  # the fit divides by this excess
    if len(above) < _FEWEST or log_excess[-1] - quarter > _SPAN:
        return np.inf
    return _fit(log_excess - log_excess[-1])


def _fit(log_excess):
    """k-hat of excesses by arviz-stats: they are the tail that it takes from so many weights."""
    from arviz_stats.base import array_stats

    num_tail = len(log_excess)
    num = 5 * num_tail if num_tail <= 45 else -(-(num_tail**2) // 9)  # 3 num^0.5 = num_tail
    nothing = np.full(num - num_tail, -1e4)
    return float(array_stats.psislw(-np.append(nothing, log_excess))[1])  # takes -ln w


def weights_verdict(log_weights: ArrayLike) -> Verdict:
    """Judge ln <w> of each data point by the tail of its weights and their effective number.

    Args:
        log_weights: log importance weights ln w, (num_samples, ..), nats; 25 samples or more,
            better thousands.

    Returns:
        `Verdict` of each data point; its signs are those of `tail_verdict`.

    Raises:
        ValueError: if there are fewer than 25 samples.

    Reference: as `pareto_k`.

    Example:
        >>> weights_verdict(np.random.default_rng(0).normal(size=(1000, 2))).message
        'Trust these averages: every one of 2 has light-tailed weights.'
    """
    k, size = pareto_k(log_weights), effective_sample_size(log_weights)
    return tail_verdict(k, size, len(log_weights))


def tail_verdict(
    pareto_k: ArrayLike, effective_sample_size: ArrayLike, num_samples: int
) -> Verdict:
    """The verdict of `weights_verdict` from numbers that are at hand.

    Trusted is a data point with k-hat up to min(1 - 1 / log10(num_samples), 0.7) and an effective
    sample size of 10 or more.

    Args:
        pareto_k: k-hat of each data point, (..).
        effective_sample_size: the effective sample size of each data point, (..).
        num_samples: the number of samples that they were made of.

    Returns:
        `Verdict` of each data point, with the signs "pareto_k" and "effective_sample_size", (..),
        and "share", that of the data which is not to be trusted.

    Reference: Vehtari et al. (2024), section 3.2.4.

    Example:
        >>> tail_verdict([0.3, 0.9], [500.0, 20.0], num_samples=1000).message
        'Do not trust 1 of 2 averages (50%): k-hat above 0.67, where the mean of the weights ...'
    """
    k, size = np.atleast_1d(pareto_k), np.atleast_1d(effective_sample_size)
    limit = min(1 - 1 / np.log10(num_samples), _LARGEST_K)
    heavy, few = ~(k <= limit), ~(size >= _SMALLEST_SAMPLE)
    trusted = ~(heavy | few)
    num, bad = trusted.size, int(np.sum(~trusted))
    if not bad:
        message = f"Trust these averages: every one of {num} has light-tailed weights."
    else:
        message = (
            f"Do not trust {bad} of {num} averages ({bad / num:.0%}): {_reasons(heavy, few, limit)}"
        )
    signs = {"pareto_k": k, "effective_sample_size": size, "share": bad / num}
    return Verdict(trusted, message, signs)


def _reasons(heavy, few, limit):
    reasons = []
    if heavy.any():
        reasons.append(
            f"k-hat above {limit:.2f}, where the mean of the weights cannot be estimated"
            f" ({heavy.sum()})"
        )
    if few.any():
        reasons.append(f"fewer than {_SMALLEST_SAMPLE} effective samples ({few.sum()})")
    return f"{'; '.join(reasons)}. Anneal these, or take a better q."


def series_verdict(log_weights: ArrayLike, *, order: int = 2) -> Verdict:
    """Judge ln <w> = <ln w> + kappa_2 / 2 + kappa_3 / 6 + .. by the tail and by its next term.

    Trusted is the series whose next term is at most a quarter of the second, with weights whose
    tail has k-hat up to 0.7. Skewness and excess kurtosis say how: both are 0 for Gaussian ln w,
    where order 2 is exact; a left skew means that order 2 overshoots; a heavy right tail (k-hat)
    means that the samples do not hold the answer, and no order finds it.

    Args:
        log_weights: log importance weights ln w, (num_samples, ..), nats; 25 samples or more,
            better thousands.
        order: the last order of the series that counts, 2 to 6; 6 is judged by its own last term.

    Returns:
        `Verdict` with the signs "pareto_k", "skewness", "excess_kurtosis", all medians over data
        points, "second_term" kappa_2 / 2 and "next_term", kappa_3 / 6 after order 2, means over
        them, in nats.

    Raises:
        ValueError: if there are fewer than 25 samples, or the order is out of range.

    Reference: Vehtari et al. (2024) for k-hat; B25.

    Example:
        >>> series_verdict(np.random.default_rng(0).normal(size=(10_000, 5))).trusted
        True
    """
    if order not in range(2, MAX_ORDER + 1):
        raise ValueError(f"order must be an integer from 2 to {MAX_ORDER}; got {order!r}.")
    log_weights = as_log_weights(log_weights, dtype=np.float64)
    k = float(np.median(pareto_k(log_weights)))
    following = min(order + 1, MAX_ORDER)
    kappa = sample_cumulants(log_weights, max(following, 4)).numpy()
    spread = np.where(kappa[1] > 0, kappa[1], 1.0)  # equal weights have no higher cumulants
    skewness = float(np.median(kappa[2] / spread**1.5))
    excess_kurtosis = float(np.median(kappa[3] / spread**2))
    second_term = float(np.mean(kappa[1])) / 2
    next_term = float(np.mean(kappa[following - 1])) / math.factorial(following)
    reasons = []
    if not abs(next_term) <= _LARGEST_NEXT_TERM * second_term:
        reasons.append("the next term is not small")
    if not k <= _LARGEST_K:
        reasons.append("the weights have a heavy tail")
    message = (
        f"second term {second_term:+.2f} and next term {next_term:+.2f} nats, skewness "
        f"{skewness:+.2f}, excess kurtosis {excess_kurtosis:+.2f}, k-hat {k:.2f}."
    )
    doubt = f"Do not trust order {order}, {' and '.join(reasons)}"
    verdict = doubt if reasons else f"Trust order {order}"
    signs = {
        "pareto_k": k,
        "skewness": skewness,
        "excess_kurtosis": excess_kurtosis,
        "second_term": second_term,
        "next_term": next_term,
    }
    return Verdict(not reasons, f"{verdict}: {message}", signs)
