"""ln p(x) of any TensorFlow Probability model from draws of a surrogate posterior, with errors."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from rbm_tf.cumulants import sample_cumulants, series_standard_error
from rbm_tf.diagnostics import series_verdict
from rbm_tf.estimates import LogZEstimate, Verdict, estimate_log_z
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.log_weights import as_log_weights
from rbm_tf.shared.types import ArrayLike, Tensor
from vae_keras.black_box.draws import Target, blocks_of_draws
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
    verdict: Verdict  # of the series, with the sign "pareto_k"

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
        order: the last order of the series of cumulants, 1 to 6.
        progress: whether to show a bar when it takes longer than two seconds.
        seed: integer, (2,) int32 tensor or None; the same seed gives the same draws.

    Returns:
        `Evidence`.

    Raises:
        ValueError: if there are too few samples, the shapes of target and q do not fit, or a
            log-weight is NaN or +inf.

    Reference: B25.

    Example:
        >>> q = tfp.distributions.Normal(0.0, 1.0)
        >>> found = evidence(lambda z: q.log_prob(z) + 0.5 * z - 0.125, q, 1000, seed=0)
        >>> abs(found.cumulant.log_z) < 5 * found.cumulant.standard_error  # ln 1, a Gaussian ln w
        True
    """
    check_counts(_FEWEST, num_samples=num_samples)
    blocks = blocks_of_draws(target_log_prob_fn, surrogate_posterior, num_samples, seed, progress)
    return evidence_of_weights(np.concatenate([log_w for _, log_w in blocks]), order=order)


def evidence_of_weights(log_weights: ArrayLike, *, order: int = 2) -> Evidence:
    """The estimates of `evidence` from log-weights that come from elsewhere: NumPyro, PyMC, PyTorch.

    Args:
        log_weights: ln p(x, z) - ln q(z) for draws z from q, (num_samples, *batch), nats; 30
            samples or more.
        order: the last order of the series of cumulants, 1 to 6.

    Returns:
        `Evidence`.

    Raises:
        ValueError: if there are too few samples.

    Reference: B25.

    Example:
        >>> found = evidence_of_weights(np.random.default_rng(0).normal(size=1000))
        >>> round(found.cumulant.log_z, 1)  # 1/2
        0.5
    """
    log_w = as_log_weights(log_weights, at_least=_FEWEST, dtype=np.float64).numpy()
    kappa = np.asarray(sample_cumulants(log_w, 2))
    weighed = estimate_log_z(log_w)
    whole = log_w[: len(log_w) // NUM_GROUPS * NUM_GROUPS]  # what divides into groups
    whole = whole.reshape(len(whole), -1)  # (num, batch)
    grouped = grouped_estimate(whole, seed=0)
    grouped_error = grouped_standard_error(whole, grouped.group_size)
    batch = log_w.shape[1:]
    return Evidence(
        elbo=LogZEstimate(_plain(kappa[0]), _plain((kappa[1] / len(log_w)) ** 0.5), bound="lower"),
        cumulant=LogZEstimate(
            _plain(cumulant(log_w, order=order)),
            _plain(series_standard_error(log_w, order)),
            bound="lower" if order == 1 else None,
        ),
        grouped=LogZEstimate(_plain(grouped.log_p, batch), _plain(grouped_error, batch)),
        iwae=weighed,
        jackknife=LogZEstimate(_plain(jackknife(log_w)), weighed.standard_error),
        order=order,
        log_weights=log_w,
        verdict=series_verdict(log_w),
    )


def _plain(values, shape=None):
    """A float, or an array for a batch."""
    values = np.asarray(values, np.float64)
    return np.reshape(values, values.shape if shape is None else shape)[()]
