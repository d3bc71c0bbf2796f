"""The weights of draws in an expectation that the series corrects, and quantiles by them."""

from __future__ import annotations

import numpy as np
from sklearn.isotonic import IsotonicRegression

from rbm_tf.cumulants import MAX_ORDER, expectation_weights, log_expectation, sample_cumulants
from rbm_tf.shared.arrays import as_array
from rbm_tf.shared.types import ArrayLike
from vae_keras.black_box.inputs import finite_log_weights

_LARGEST_STEP_BACK = 0.05  # of a corrected distribution function, which should increase


def series_weights(log_weights: ArrayLike, *, order: int = 2) -> np.ndarray:
    """The weight of each draw in an expectation that the series corrects; they add up to 1.

    The gradient of the truncated series in the log-weights, as the normalised importance weights
    are that of the whole one. Some are negative where the truncation shows.

    Args:
        log_weights: ln p(x, z) - ln q(z), (num_samples, ..), nats.
        order: the highest power of ln w, 0 to 5.

    Returns:
        The shape of log_weights, float64.

    Raises:
        ValueError: if there are fewer samples than order + 1, the order is out of range, or a
            log-weight is not finite.

    Reference: B34.

    Example:
        >>> series_weights([0.0, 1.0], order=1)
        array([0., 1.])
    """
    if order not in range(MAX_ORDER):
        raise ValueError(f"order must be an integer from 0 to {MAX_ORDER - 1}; got {order!r}.")
    log_w = finite_log_weights(log_weights, at_least=order + 1)
    weights = expectation_weights(
        log_w, lambda x: log_expectation(sample_cumulants(x, int(order) + 1))
    )
    return weights.numpy()


def corrected_quantiles(
    values: ArrayLike, log_weights: ArrayLike, probabilities: ArrayLike, *, order: int = 2
) -> np.ndarray:
    """Quantiles of f under the posterior: where its corrected distribution function takes a value.

    <1(f <= y)>_p as a function of y, corrected as any expectation, need not increase: it is
    replaced by the increasing function nearest to it.

    Args:
        values: f of draws z from q, (num_samples,).
        log_weights: ln p(x, z) - ln q(z) of the same draws, (num_samples,), nats.
        probabilities: those of the quantiles, (num,), between 0 and 1.
        order: the highest power of ln w, 0 to 5.

    Returns:
        (num,), float64, in the unit of f.

    Raises:
        ValueError: if shapes do not fit, a probability is not between 0 and 1, a log-weight is
            not finite, or the corrected function is off by more than 0.05 from any that increases
            from 0 to 1: the order is then too high for these weights, or there are too few draws.

    Reference: B34.

    Example:
        >>> z = np.random.default_rng(0).normal(size=20_000)
        >>> corrected_quantiles(z, 0.3 * z, [0.5]).round(1)  # the median moves by 0.3
        array([0.3])
    """
    values = as_array(values, "float64", "values")
    log_w = finite_log_weights(log_weights)
    if values.ndim != 1 or values.shape != log_w.shape:
        raise ValueError(
            f"values and log_weights must both be (num_samples,); got {values.shape} and "
            f"{log_w.shape}. Call it for each component by itself."
        )
    probabilities = np.asarray(probabilities, np.float64)
    if not np.all((probabilities > 0) & (probabilities < 1)):
        raise ValueError(f"probabilities must be between 0 and 1; got {probabilities}.")
    rank = np.argsort(values)
    raw = np.cumsum(series_weights(log_w, order=order)[rank])
    smooth = IsotonicRegression(y_min=0, y_max=1).fit_transform(np.arange(len(raw)), raw)
    moved = np.max(np.abs(smooth - raw))
    if not moved <= _LARGEST_STEP_BACK:
        raise ValueError(
            f"The corrected distribution function of order {order} is off by {moved:.2f} from any "
            "that increases from 0 to 1: lower the order, draw more, or take a better surrogate."
        )
    return np.interp(probabilities, smooth, values[rank])
