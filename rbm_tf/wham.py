"""Biased windows put together: the weighted histogram analysis of umbrella sampling.

Each window samples the model with a bias u_k added to the energy, a function of an order parameter
alone, so that the windows together visit what the model itself hardly ever visits. The order
parameter has finitely many values, the bins, and p_n is the model's own probability of bin n.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from rbm_tf.shared.types import ArrayLike


class Profile(NamedTuple):
    """What `wham` finds; nats."""

    free_energy: np.ndarray  # -ln p_n, (num_bins,); infinite where no window ever was
    standard_error: np.ndarray  # of it, (num_bins,); NaN there
    windows: np.ndarray  # -ln of the mean of exp(-u_k) over the model, (num_windows,)


def wham(bins: ArrayLike, bias: ArrayLike) -> Profile:
    """The free energy of an order parameter, -ln p_n, from histograms of biased windows.

    Window k has the distribution p_n exp(f_k - u_kn). The p_n of largest likelihood solve
    p_n = sum_k C_kn / sum_k N_k exp(f_k - u_kn) with exp(-f_k) = sum_n p_n exp(-u_kn), which is
    MBAR for a bias that depends on the bin alone. The standard error is the jackknife's over
    chains, so that the correlation of samples within a chain does no harm.

    Args:
        bins: the bin of each sample, integers from 0 on, (num_windows, num_chains, num_steps): the
            windows in order, with two chains or more.
        bias: the u_kn, (num_windows, num_bins), nats.

    Returns:
        `Profile`.

    Raises:
        ValueError: if the shapes do not fit, or two neighbouring windows do not overlap.

    Reference: Torrie and Valleau (1977), Nonphysical sampling distributions in Monte Carlo
    free-energy estimation; Ferrenberg and Swendsen (1989), Optimized Monte Carlo data analysis;
    B50.

    Example:
        >>> bins = [[[0, 0, 1], [0, 0, 1]], [[1, 1, 0], [1, 1, 0]]]  # two windows, two chains
        >>> profile = wham(bins, bias=[[0, np.log(2)], [np.log(2), 0]])
        >>> profile.free_energy.round(4)  # ln 2, twice
        array([0.6931, 0.6931])
    """
    counts, bias = _counted(bins, np.asarray(bias, float))
    free_energy, windows = _solve(counts.sum(1), bias)
    num_chains = counts.shape[1]
    left_out = [_solve(np.delete(counts, k, 1).sum(1), bias)[0] for k in range(num_chains)]
    with np.errstate(invalid="ignore"):  # infinite minus infinite
        spread = np.asarray(left_out) - np.mean(left_out, 0)
        error = np.sqrt((num_chains - 1) / num_chains * np.sum(spread**2, 0))
    return Profile(free_energy, error, windows)


def _counted(bins, bias):
    """How often each chain was in each bin, (num_windows, num_chains, num_bins), and the bias."""
    bins = np.asarray(bins)
    if bins.ndim != 3 or bins.shape[1] < 2 or bias.ndim != 2 or len(bias) != len(bins):
        raise ValueError(
            "wham needs bins of shape (num_windows, num_chains, num_steps), two chains or more, and"
            f" a bias of shape (num_windows, num_bins); got {bins.shape} and {bias.shape}."
        )
    whole = np.issubdtype(bins.dtype, np.integer) and bins.size > 0
    if not whole or bins.min() < 0 or bins.max() >= bias.shape[1]:
        raise ValueError(
            f"bins must be integers from 0 to {bias.shape[1] - 1}, one bias each; got {bins.dtype}"
            + (f" from {bins.min()} to {bins.max()}." if bins.size else " without any sample.")
        )
    counted = np.apply_along_axis(np.bincount, -1, bins, minlength=bias.shape[1])
    return counted.astype(float), bias


def _solve(counts, bias):
    """-ln p_n and f_k for histograms (num_windows, num_bins).

    f minimises the convex sum_n C_n ln sum_k N_k exp(f_k - u_kn) - sum_k N_k f_k; f_0 is held.
    """
    total, in_bin = counts.sum(1), counts.sum(0)
    log_share = np.log(total)[:, np.newaxis] - bias

    def terms(free):
        """The function, its gradient and its Hessian, of all f_k."""
        exponent = np.append(0, free)[:, np.newaxis] + log_share
        p = softmax(exponent, axis=0)  # that a sample in bin n came from window k
        value = in_bin @ logsumexp(exponent, axis=0) - total[1:] @ free
        return value, p @ in_bin - total, np.diag(p @ in_bin) - (p * in_bin) @ p.T

    free = _guess(counts / total[:, np.newaxis], bias)
    if len(free):
        found = minimize(
            lambda x: terms(x)[0],
            free,
            jac=lambda x: terms(x)[1][1:],
            hess=lambda x: terms(x)[2][1:, 1:],
            method="trust-exact",
            options={"gtol": 1e-9 * total.sum()},
        )
        free = found.x
        shared = -np.diag(terms(free)[2], 1)
        if shared.min() < 1:
            k = shared.argmin()
            raise ValueError(
                f"Windows {k} and {k + 1} share less than one sample: put a window between them, "
                "or weaken the bias."
            )
    free = np.append(0, free)
    with np.errstate(divide="ignore"):
        log_p = np.log(in_bin) - logsumexp(free[:, np.newaxis] + log_share, axis=0)
    log_norm = logsumexp(log_p)
    return log_norm - log_p, free + log_norm


def _guess(share, bias):
    """A first guess of f_k without f_0: steps of half of the mean work from either side."""
    work = np.diff(bias, axis=0)  # (num_windows - 1, num_bins)
    return np.cumsum(np.sum(work * (share[:-1] + share[1:]), 1) / 2)
