"""Fluctuation theorems for annealing: forward and reverse walks put together.

The work of a walk is W = base_log_z - ln w. Crooks's theorem compares the two directions at one and
the same log-weight: p_reverse(ln w) / p_forward(ln w) = w / Z, however fast the walks are.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from rbm_tf.estimates import LogZEstimate


def bennett(forward: LogZEstimate, reverse: LogZEstimate) -> LogZEstimate:
    """ln Z from forward and reverse walks together, by Bennett's acceptance ratio.

    By Crooks's theorem a walk with log-weight x was a reverse one with the probability
    sigmoid(x - ln Z + ln(num_reverse / num_forward)); ln Z is what makes the observed directions
    most likely. Of all estimates from these two sets of weights it has the smallest variance.

    Args:
        forward: what `ais` returned, or another estimate whose weights have the mean Z.
        reverse: what `reverse_ais` returned for the same betas and base.

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
    if slope < 1:
        raise ValueError(
            f"Forward and reverse walks share only {slope:.1g} of a walk: take more betas, or more "
            "chains."
        )
    variance = sum(len(p) * np.var(p, ddof=1) for p in (wrong_up, wrong_down)) / slope**2
    return LogZEstimate(float(found), float(np.sqrt(variance)))


def _weights(estimate, name, bound):
    """The log-weights of an estimate of one ln Z from walks in one direction, (num_chains,)."""
    weights = estimate.log_weights
    if estimate.bound != bound or weights is None or weights.ndim != 1 or len(weights) < 2:
        raise ValueError(
            f"{name} must be the estimate of one ln Z from two {name} walks or more, as "
            f"{'ais' if name == 'forward' else 'reverse_ais'} returns it; got {estimate!r}."
        )
    return weights
