"""ln p(x) of any TensorFlow Probability model from draws of a surrogate posterior, with errors."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from rbm_tf.cumulants import MAX_ORDER, sample_cumulants, series_standard_error
from rbm_tf.diagnostics import pareto_k, series_verdict
from rbm_tf.estimates import LogZEstimate, Verdict, estimate_log_z
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import ArrayLike, Tensor
from vae_keras.black_box.inputs import Target, blocks_of_draws, known_log_weights
from vae_keras.evidence import (
    NUM_GROUPS,
    cumulant,
    grouped_estimate,
    grouped_standard_error,
    jackknife,
)

_FEWEST = 30  # samples: groups of three, and a tail to judge


@dataclass(frozen=True, eq=False)
class Evidence:
    """Estimates of ln p(x), each a `LogZEstimate` in nats, and a verdict on the series.

    Printed, it is a table, of the means over the batch where there is one.
    """

    elbo: LogZEstimate
    cumulant: LogZEstimate
    grouped: LogZEstimate
    iwae: LogZEstimate
    jackknife: LogZEstimate
    order: int
    log_weights: np.ndarray  # (num_samples, *batch), float64
    verdict: Verdict  # of the series, as `rbm_tf.diagnostics.series_verdict` has it

    def __str__(self) -> str:
        lines = [f"{'ln p(x), nats':17}  estimate  s.e.   bound"]
        for name in (field.name for field in fields(self)[:5]):
            one = getattr(self, name)
            label = f"cumulants to {self.order}" if name == "cumulant" else name
            value, error = np.mean(one.log_z), np.mean(one.standard_error)
            bound = f"{one.bound}, on average" if one.bound else ""
            lines.append(f"{label:17} {value:9.3f}  {error:.3f}  {bound}".rstrip())
        return "\n".join([*lines, self.verdict.message])


def evidence(
    target_log_prob_fn: Target,
    surrogate_posterior: Any,
    num_samples: int,
    *,
    order: int = 2,
    progress: bool = True,
    seed: int | Tensor | None = None,
) -> Evidence:
    """Estimate ln p(x) from draws of q, by the series of cumulants and by averages of weights.

    Args:
        target_log_prob_fn: ln p(x, z), nats, as `log_weights` takes it.
        surrogate_posterior: q, a distribution or joint distribution of TensorFlow Probability.
        num_samples: the number of draws, 30 or more; thousands for a verdict that means something.
            They go through in blocks: of all draws only the log-weights are kept.
        order: the last order of the series of cumulants, 1 to 6.
        progress: whether to show a bar when it takes longer than two seconds.
        seed: integer, (2,) int32 tensor or None; the same seed gives the same draws.

    Returns:
        `Evidence`.

    Raises:
        ValueError: if there are too few samples, the order is out of range, the shapes of target
            and q do not fit, or a log-weight is NaN or +inf.

    Reference: B25.

    Example:
        >>> q = tfp.distributions.Normal(0.0, 1.0)
        >>> tilted = lambda z: q.log_prob(z) + 0.5 * z  # ln of the integral is 1/8
        >>> found = evidence(tilted, q, 10_000, seed=0)
        >>> bool(abs(found.cumulant.log_z - 0.125) < 5 * found.cumulant.standard_error)
        True
        >>> print(found)
        ln p(x), nats      estimate  s.e.   bound
        elbo                 ...
    """
    check_counts(_FEWEST, num_samples=num_samples)
    blocks = blocks_of_draws(
        target_log_prob_fn, surrogate_posterior, num_samples, seed, progress=progress
    )
    return evidence_of_weights(np.concatenate([log_w for _, log_w in blocks]), order=order)


def evidence_of_weights(log_weights: ArrayLike, *, order: int = 2) -> Evidence:
    """The estimates of `evidence` from log-weights from elsewhere: NumPyro, PyMC or PyTorch.

    Posterior draws of an ArviZ InferenceData have no weights: sample the approximation q itself,
    and hand over `log_prob` of the model less that of q, one number a draw.

    Args:
        log_weights: ln p(x, z) - ln q(z) for draws z from q, (num_samples, *batch), nats; 30
            samples or more.
        order: the last order of the series of cumulants, 1 to 6.

    Returns:
        `Evidence`. A weight of zero, ln w = -inf, has no cumulants: then `iwae` and `jackknife`
        alone are numbers.

    Raises:
        ValueError: if there are too few samples, the order is out of range, or a log-weight is NaN
            or +inf.

    Reference: B25.

    Example:
        >>> found = evidence_of_weights(np.random.default_rng(0).normal(size=1000))
        >>> bool(abs(found.cumulant.log_z - 0.5) < 5 * found.cumulant.standard_error)
        True
    """
    if order not in range(1, MAX_ORDER + 1):
        raise ValueError(f"order must be an integer from 1 to {MAX_ORDER}; got {order!r}.")
    log_w = known_log_weights(log_weights, at_least=_FEWEST)
    mean, variance = np.asarray(sample_cumulants(log_w, 2))
    weighed = estimate_log_z(log_w)
    return Evidence(
        elbo=LogZEstimate(_plain(mean), _plain((variance / len(log_w)) ** 0.5), bound="lower"),
        cumulant=LogZEstimate(
            _plain(cumulant(log_w, order=order)),
            _plain(series_standard_error(log_w, order)),
            bound="lower" if order == 1 else None,
        ),
        grouped=_grouped(log_w),
        iwae=weighed,
        jackknife=LogZEstimate(_plain(jackknife(log_w)), weighed.standard_error),
        order=order,
        log_weights=log_w,
        verdict=_verdict(log_w, order),
    )


def _grouped(log_w):
    """The grouped estimate from the largest number of samples that divides into groups."""
    whole = log_w[: len(log_w) // NUM_GROUPS * NUM_GROUPS].reshape(-1, log_w[0].size)
    grouped = grouped_estimate(whole, seed=0)
    error = grouped_standard_error(whole, grouped.group_size)
    return LogZEstimate(
        *(_plain(np.reshape(one, log_w.shape[1:])) for one in (grouped.log_p, error))
    )


def _verdict(log_w, order):
    """That of the series, unless it has no terms."""
    num_zero = int(np.sum(log_w == -np.inf))
    if not num_zero:
        return series_verdict(log_w, order=max(order, 2))
    message = (
        f"Do not trust the series: {num_zero} of {log_w.size} weights are 0, of which ln w has no "
        "cumulants. Take iwae or jackknife; a bijector keeps draws where the target is above 0."
    )
    return Verdict(False, message, {"pareto_k": float(np.median(pareto_k(log_w)))})


def _plain(values):
    """A float, or an array for a batch."""
    return np.asarray(values, np.float64)[()]
