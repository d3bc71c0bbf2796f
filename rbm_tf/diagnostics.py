"""Whether importance weights can be trusted: effective sample size and Pareto k-hat."""

import numpy as np


def effective_sample_size(log_weights):
    """(sum w)^2 / sum w^2 along axis 0, from 1 to the number of samples.

    Args:
        log_weights: (num_samples, ..), nats.

    Returns:
        The shape of log_weights without axis 0, float64.

    Reference: Kong (1992), A note on importance sampling using standardized weights.

    Example:
        >>> float(effective_sample_size(np.log([1.0, 1.0, 1.0, 1.0])))
        4.0
    """
    log_weights = np.asarray(log_weights, float)
    relative = np.exp(log_weights - log_weights.max(0))
    return relative.sum(0) ** 2 / (relative**2).sum(0)


def pareto_k(log_weights):
    """The shape k-hat of the generalised Pareto tail of the weights, along axis 0.

    Below 0.5 the weights have a finite variance; up to 0.7 their mean can still be estimated with a
    practical number of samples; above 0.7 it cannot, whatever the standard error says.

    Args:
        log_weights: (num_samples, ..), nats; 25 samples or more, better thousands.

    Returns:
        The shape of log_weights without axis 0, float64.

    Raises:
        ValueError: if there are fewer than 25 samples.

    Reference: Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling,
    JMLR 25(72); computed by arviz-stats.

    Example:
        >>> heavy_tailed = np.log(1 + np.random.default_rng(0).pareto(1 / 0.9, 10_000))
        >>> bool(pareto_k(heavy_tailed) > 0.7)
        True
    """
    from arviz_stats.base import array_stats

    log_weights = np.asarray(log_weights, float)
    if len(log_weights) < 25:
        raise ValueError(f"pareto_k needs 25 samples or more; got {len(log_weights)}.")
    return array_stats.psislw(-log_weights, axis=0)[1]  # it takes minus the log-weights
