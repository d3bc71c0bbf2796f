"""Power series by their coefficients."""

import numpy as np


def log_series(series: np.ndarray) -> np.ndarray:
    """The logarithm l of a power series z, from k l_k = k z_k - sum_j j l_j z_(k-j) for z_0 = 1.

    Args:
        series: coefficients, orders on axis 0, (num_orders, ..); those of order 0 above 0.

    Returns:
        The coefficients of the logarithm, of the same shape.

    Example:
        >>> log_series(np.array([1.0, 1.0, 0.5]))  # of exp(t)
        array([0., 1., 0.])
    """
    ratio = series / series[0]
    log = [np.log(series[0])]
    for n in range(1, len(series)):
        log.append(ratio[n] - sum(k * log[k] * ratio[n - k] for k in range(1, n)) / n)
    return np.stack(log)
