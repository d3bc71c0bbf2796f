"""What every road to ln Z returns, and whether several of them bear each other out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from rbm_tf.shared.log_weights import as_log_weights, log_mean_exp
from rbm_tf.shared.types import ArrayLike, Values


@dataclass(frozen=True, eq=False)
class LogZEstimate:
    """An estimate of ln Z in nats, or of one ln Z for each of a batch, such as ln p(x) under a VAE.

    The standard error of weighted samples is that of log_z by the delta method, the relative
    standard error of the mean weight. It is too small when a few weights carry the sum, which
    effective_sample_size tells. Roads without samples have neither.
    """

    log_z: Values  # float or (..)
    standard_error: Values = None  # the shape of log_z; None without samples
    log_weights: np.ndarray | None = None  # (num_samples, ..), float64; each an estimate by itself
    bound: str | None = None  # "lower" or "upper"; with a standard error: on average

    @property
    def effective_sample_size(self) -> Values:
        """(sum w)^2 / sum w^2 of the averaged weights, from 1 to num_samples; None without them."""
        if self.log_weights is None:
            return None
        num_samples = len(self.log_weights)
        if num_samples == 1:  # which has no standard error
            return np.ones_like(self.log_z)[()]
        # s.e.^2 = (num_samples / ESS - 1) / (num_samples - 1)
        return num_samples / (1 + (num_samples - 1) * self.standard_error**2)


def estimate_log_z(log_weights: ArrayLike, *, reverse: bool = False) -> LogZEstimate:
    """Average importance weights along axis 0: forward ln <w>, reverse -ln <1/w>, in float64.

    Args:
        log_weights: log importance weights ln w, (num_samples, ..), nats.
        reverse: whether the weights are inverse ones: False if the samples come from a proposal, so
            that <w> = Z; True if they come from the model itself, so that <1/w> = 1/Z.

    Returns:
        `LogZEstimate`, a lower bound on average, reverse an upper one. With one sample, or no
        weight above zero, the standard error is NaN.

    Raises:
        ValueError: if there is no sample.

    Example:
        >>> estimate_log_z(np.log([1.0, 3.0])).log_z  # ln 2
        0.6931471805599453
    """
    sign = -1.0 if reverse else 1.0
    log_weights = as_log_weights(log_weights, dtype=np.float64)
    log_mean = log_mean_exp(sign * log_weights).numpy()
    log_weights = log_weights.numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.exp(sign * log_weights - log_mean)  # w / <w>
        variance = np.sum((relative - 1) ** 2, 0) / np.float64(len(relative) - 1)
    log_z, standard_error = sign * log_mean, np.sqrt(variance / len(relative))
    if log_weights.ndim == 1:
        log_z, standard_error = float(log_z), float(standard_error)
    return LogZEstimate(log_z, standard_error, log_weights, "upper" if reverse else "lower")


def bennett(forward: LogZEstimate, reverse: LogZEstimate) -> LogZEstimate:
    """ln Z from forward and reverse walks together, by Bennett's acceptance ratio.

    By Crooks's theorem p_reverse(ln w) / p_forward(ln w) = w / Z, so that a walk with log-weight x
    was a reverse one with the probability sigmoid(x - ln Z + ln(num_reverse / num_forward)); ln Z
    is what makes the observed directions most likely. Of all estimates from these two sets of
    weights it has the smallest variance. A walk of one step is a draw: of a proposal, with the mean
    weight Z, or of the model.

    Args:
        forward: what `ais` returned, or another estimate whose weights have the mean Z.
        reverse: what `reverse_ais` returned for the same betas and base, or
            `estimate_log_z(.., reverse=True)` of the weights of draws of the model.

    Returns:
        `LogZEstimate` without log-weights; it is no bound.

    Raises:
        ValueError: if one of them is not what its name says, or the two sets of weights do not
            overlap.

    Reference: Bennett (1976); Crooks (2000), Path-ensemble averages in systems driven far from
    equilibrium; Shirts, Bair, Hooker and Pande (2003), Equilibrium free energies from
    nonequilibrium measurements using maximum-likelihood methods; B49.

    Example:
        >>> rbm, betas = BernoulliRBM(6, 4, seed=0), [0, 0.5, 1]
        >>> forward = ais(rbm, betas=betas, seed=0)
        >>> both = bennett(forward, reverse_ais(rbm, rbm.sample(100, seed=0), betas=betas, seed=1))
        >>> bool(abs(both.log_z - log_z(rbm)) < 5 * both.standard_error)
        True
    """
    up, down = _weights(forward, "forward", "lower"), _weights(reverse, "reverse", "upper")
    shift = np.log(len(up) / len(down))

    def excess(log_z):  # falls from num_forward to -num_reverse
        return expit(up - log_z - shift).sum() - expit(log_z + shift - down).sum()

    ends = min(up.min(), down.min()) - shift - 50, max(up.max(), down.max()) - shift + 50
    found = brentq(excess, *ends, xtol=1e-12)
    wrong_up, wrong_down = expit(up - found - shift), expit(found + shift - down)
    slope = sum(np.sum(p * (1 - p)) for p in (wrong_up, wrong_down))
    if slope < 0.5:
        raise ValueError(
            f"Forward and reverse walks share only {slope:.1g} of a walk: take more betas, or more "
            "chains."
        )
    variance = sum(len(p) * np.var(p, ddof=1) for p in (wrong_up, wrong_down)) / slope**2
    return LogZEstimate(float(found), float(np.sqrt(variance)))


class Verdict(NamedTuple):
    """Whether a result can be trusted, why, and the numbers that say so."""

    trusted: Values  # bool, of one result, or of each of a batch
    message: str
    signs: dict[str, Any]  # from the name of a number to its value


def verdict(forward: LogZEstimate, reverse: LogZEstimate, *others: LogZEstimate) -> Verdict:
    """Judge a forward and a reverse estimate of ln Z by each other, and by others.

    Forward and reverse bracket ln Z on average, so a gap that their errors do not explain means
    that one of them missed part of the distribution. So does an effective sample size below a tenth
    of the chains. Agreement is no proof: two walks between the same ends can miss the same mode,
    and both look perfect. Trust therefore needs at least one estimate that starts elsewhere, such
    as `ais` from another base, and agrees as well. A mode that every start misses never shows.

    Args:
        forward: the estimate by `ais`.
        reverse: the estimate by `reverse_ais`.
        *others: estimates by `ais` from other bases, or by other methods that sample.

    Returns:
        `Verdict` with the sign "gap", reverse - forward in nats: trusted if there are others, all
        estimates are within 3 standard errors and below 1 nat of the forward one, and the effective
        sample sizes suffice.

    Raises:
        ValueError: if an estimate has no standard error, or is of a batch.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> walks = ais(rbm, seed=0), reverse_ais(rbm, rbm.sample(100, seed=1), seed=2)
        >>> verdict(*walks, ais(rbm, base="uniform", seed=3)).trusted
        True
        >>> verdict(*walks).trusted
        False
    """
    estimates = forward, reverse, *others
    if any(e.standard_error is None or np.ndim(e.log_z) for e in estimates):
        raise ValueError(
            "verdict compares estimates of one ln Z that have standard errors, such as those of "
            "ais, reverse_ais or mbar; for a VAE see vae_keras.evidence.bracket_verdict."
        )
    (gap, error), reasons = _gap(forward, reverse), []
    if not _agree(forward, reverse):
        reasons.append(f"forward and reverse differ by {gap:.2f} nats, their error is {error:.2f}")
    for other in others:
        if not _agree(forward, other):
            difference, error = _gap(forward, other)
            reasons.append(
                f"an estimate from elsewhere differs by {difference:.2f} nats from the forward one,"
                f" their error is {error:.2f}"
            )
    weighted = [(e, e.log_weights) for e in estimates if e.log_weights is not None]
    share = min(e.effective_sample_size / len(log_weights) for e, log_weights in weighted)
    if not share >= 0.1:
        reasons.append(f"the effective sample size is {share:.0%} of the chains")
    signs = {"gap": gap}
    if reasons:
        advice = "use more temperatures, another base, and samples from longer chains"
        return Verdict(False, f"Do not trust this ln Z: {'; '.join(reasons)}: {advice}.", signs)
    message = f"Forward and reverse agree: {gap:+.3f} nats apart, error {error:.3f}"
    if not others:
        message += ". No proof: both may miss the same mode. Add an estimate from another base."
    else:
        message += (
            f"; so do {len(others)} from elsewhere. A mode that all of them miss is not seen."
        )
    return Verdict(bool(others), message, signs)


def _gap(first, second):
    """Second minus first, nats, and the standard error of that."""
    error = float(np.hypot(first.standard_error, second.standard_error))
    return second.log_z - first.log_z, error


def _agree(first, second):
    gap, error = _gap(first, second)
    return bool(abs(gap) <= min(3 * error + 1e-9, 1))  # false for NaN


def _weights(estimate, name, bound):
    """The finite log-weights of one ln Z from walks in one direction, (num_chains,)."""
    weights = estimate.log_weights
    if estimate.bound != bound or weights is None or weights.ndim != 1 or len(weights) < 2:
        raise ValueError(
            f"{name} must be the estimate of one ln Z from two {name} walks or more, as "
            f"{'ais' if name == 'forward' else 'reverse_ais'} returns it; got {estimate!r}."
        )
    if not np.isfinite(weights).all():
        raise ValueError(f"{name} has log-weights that are not finite, which no other walk shares.")
    return weights
