"""Umbrella sampling: ln Z from equilibrium samples in windows along the path.

The windows of `rbm_tf.tempering` give the ratios Z_{k+1} / Z_k from the base, whose Z is known, to
the RBM. The spread over ladders is the standard error, whatever the correlation in time and between
windows. What all ladders share is not in it: a burn-in too short to forget the start.
"""

from __future__ import annotations

import contextlib
import logging
import warnings

import numpy as np
from scipy.integrate import trapezoid
from scipy.special import softmax

from rbm_tf.estimates import LogZEstimate
from rbm_tf.tempering import Windows, work

_TOLERANCE = 1e-3  # nats that a solution of pymbar may be off


def thermodynamic_integration(windows: Windows) -> LogZEstimate:
    """ln Z = base_log_z - integral_0^1 <dF_beta/dbeta>_beta dbeta, by the trapezoid rule.

    Each ladder's integral is an independent estimate. The rule's own bias is not in the standard
    error: with g(beta) = <dF_beta/dbeta>_beta and steps of size s it is about
    -s^2 / 12 (g'(1) - g'(0)), so halving the steps quarters it. `bar` and `mbar` have no such bias.

    Args:
        windows: the samples of all windows, as `tempered_windows` returns them.

    Returns:
        `LogZEstimate`.

    Raises:
        ValueError: if the samples of a window cannot come from its distribution, or the windows are
            those of a trajectory.

    Reference: Kirkwood (1935), Statistical mechanics of fluid mixtures; Gelman and Meng (1998),
    Simulating normalizing constants.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> estimate = thermodynamic_integration(tempered_windows(rbm, num_steps=50, seed=0))
    """
    _check_equilibrium(windows)
    if windows.derivatives is None:
        raise ValueError(
            "Windows of a trajectory have no temperature to integrate over: take mbar."
        )
    by_ladder = windows.derivatives.mean(-1)  # (num_betas, num_chains)
    integral = trapezoid(by_ladder, windows.betas, axis=0)
    return _estimate(windows.base_log_z - integral.mean(), integral)


def bar(windows: Windows) -> LogZEstimate:
    """ln Z by Bennett's acceptance ratio, summed over neighbouring windows; needs pymbar.

    The standard error comes from each ladder's first-order pull on the sum (the infinitesimal
    jackknife), since pymbar's own takes correlated samples for independent ones.

    Args:
        windows: the samples of all windows, as `tempered_windows` returns them.

    Returns:
        `LogZEstimate`.

    Raises:
        ImportError: if pymbar is not installed.
        ValueError: if the samples of a window cannot come from its distribution, or two
            neighbouring windows do not overlap.

    Reference: Bennett (1976), Efficient estimation of free energy differences from Monte Carlo
    data.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> estimate = bar(tempered_windows(rbm, num_steps=50, seed=0))
        >>> bool(abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error)
        True
    """
    free_energy, by_ladder = (sum(values) for values in zip(*_pairs(windows), strict=True))
    return _estimate(windows.base_log_z - free_energy, by_ladder)


def bar_along(windows: Windows) -> LogZEstimate:
    """ln Z of every window, as `bar` of the windows up to it; needs pymbar.

    Args:
        windows: the samples of all windows, as `tempered_windows` or `trajectory_windows` returns
            them.

    Returns:
        `LogZEstimate` of arrays (num_windows,), whose last entry is that of `bar`; the first is
        known.

    Raises:
        ImportError: if pymbar is not installed.
        ValueError: as `bar`.

    Reference: Bennett (1976).

    Example:
        >>> windows = tempered_windows(BernoulliRBM(6, 4, seed=0), num_steps=50, seed=0)
        >>> bool(abs(bar_along(windows).log_z[-1] - bar(windows).log_z) < 1e-9)
        True
    """
    free_energies, by_ladder = zip(*_pairs(windows), strict=True)
    log_z = windows.base_log_z - np.append(0, np.cumsum(free_energies))
    pulls = np.cumsum(by_ladder, 0)  # (num_windows - 1, num_chains)
    error = np.std(pulls, axis=1, ddof=1) / np.sqrt(pulls.shape[1])
    return LogZEstimate(log_z, np.append(0, error))


def mbar(windows: Windows) -> LogZEstimate:
    """ln Z by the multistate acceptance ratio, from all samples in all windows; needs pymbar.

    Of all estimators from the same samples it has the smallest variance when they are independent.
    The standard error is made as in `bar`.

    Args:
        windows: the samples of all windows, as `tempered_windows` returns them.

    Returns:
        `LogZEstimate`.

    Raises:
        ImportError: if pymbar is not installed.
        ValueError: if the samples of a window cannot come from its distribution, or two
            neighbouring windows do not overlap.

    Reference: Shirts and Chodera (2008), Statistically optimal analysis of samples from multiple
    equilibrium states.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> estimate = mbar(tempered_windows(rbm, num_steps=50, seed=0))
        >>> bool(abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error)
        True
    """
    _pairs(windows)  # refuses at once what takes minutes to fail together
    free_energy, by_ladder = _solve(windows.free_energies)
    return _estimate(windows.base_log_z - free_energy, by_ladder)


def _pairs(windows):
    """`_solve` of all neighbouring windows."""
    _check_equilibrium(windows)
    energies = windows.free_energies
    return [_solve(energies[k : k + 2, k : k + 2], first=k) for k in range(len(windows.betas) - 1)]


def _check_equilibrium(windows):
    """Refuse windows whose ladders sit in states that one of them makes impossible.

    With e^S states, p(F(v) > min F + x) <= exp(S - x) in every window. That one of N samples is so
    far above another has a probability below exp(-10) for x = S + ln N + 10. States without end
    have no such bound.
    """
    if windows.log_num_states is None:
        return
    own = np.moveaxis(np.diagonal(windows.free_energies), -1, 0)  # F_k of samples from k
    spread = own.max((1, 2)) - own.min((1, 2))
    largest = windows.log_num_states + np.log(own[0].size) + 10
    k = int(spread.argmax())
    if not spread[k] <= largest:
        raise ValueError(
            f"The ladders of window {k} are stuck: their free energies differ by {spread[k]:.0f} "
            f"nats, where {windows.log_num_states / np.log(2):.0f} bits in equilibrium allow "
            f"{largest:.0f}. Raise num_burn_in and add betas; weights this large may be beyond any "
            "sampling."
        )


def _estimate(ln_z, by_ladder):
    """An estimate of which by_ladder, (num_chains,), averages over ladders, up to a constant."""
    standard_error = np.std(by_ladder, ddof=1) / np.sqrt(len(by_ladder))
    return LogZEstimate(float(ln_z), float(standard_error))


def _solve(energies, first=0):
    """MBAR: -ln of Z in the last window over Z in the first, and the pull of each ladder on it.

    Args:
        energies: those between the windows, (num_betas, num_betas, num_chains, num_steps); of two
            windows this is Bennett's ratio.
        first: number of the first window, for errors.
    """
    num_betas, _, num_chains, num_steps = energies.shape
    forward, backward = work(energies)
    guess = np.cumsum(np.append(0, (forward - backward).mean((1, 2)) / 2))
    pooled = np.swapaxes(energies, 0, 1).reshape(num_betas, -1)  # l, (k, chains, sweeps)
    with _quiet_pymbar() as pymbar:
        counts = np.full(num_betas, num_chains * num_steps)
        free_energies = np.array(pymbar.MBAR(pooled, counts, initial_f_k=guess).f_k)
    return free_energies[-1] - free_energies[0], _pull(energies, free_energies, first)


def _pull(energies, free_energies, first):
    """How far each ladder pulls -ln Z_last / Z_first, (num_chains,), to first order.

    f solves sum_n p(l | n) = N_l, where p(l | n) ~ exp(f_l - F_l(v_n)) is the probability that
    sample n came from window l. A ladder whose own sum exceeds its share N_l / num_chains by g_l
    pulls f by -H^-1 g, H_lm = sum_n p(l | n) (delta_lm - p(m | n)), f in the first window fixed.
    """
    _, num_betas, num_chains, num_steps = energies.shape
    p = softmax(free_energies[:, np.newaxis, np.newaxis] - energies, axis=1)
    by_ladder = p.sum((0, 3))  # (num_betas, num_chains)
    flat = np.swapaxes(p, 0, 1).reshape(num_betas, -1)
    overlap = flat @ flat.T
    shared = np.diag(overlap, 1)
    if shared.min() < 1:
        k = first + shared.argmin()
        raise ValueError(
            f"Windows {k} and {k + 1} share less than one sample: add betas between them, or record"
            " more sweeps."
        )
    hessian = np.diag(by_ladder.sum(1)) - overlap
    pull = -num_chains * np.linalg.solve(hessian[1:, 1:], by_ladder[1:] - num_steps)[-1]
    if not abs(pull.mean()) <= _TOLERANCE:  # the pulls of a solution add up to 0; NaN is none
        raise ValueError("pymbar did not converge: add betas, or record more sweeps.")
    return pull


@contextlib.contextmanager
def _quiet_pymbar():
    """Import pymbar for a few calls, without its banners and its effects on other libraries.

    It logs what it misses, sets JAX to 64 bit and seeds numpy's generator afresh.
    """
    logger, random_state = logging.getLogger("pymbar"), np.random.get_state()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), _jax_precision_kept():
            warnings.simplefilter("ignore")  # its solvers try and fail; `_pull` checks the result
            try:
                import pymbar
            except ImportError as error:
                raise ImportError("bar and mbar need pymbar: pip install pymbar") from error
            yield pymbar
    finally:
        logger.setLevel(level)
        np.random.set_state(random_state)


@contextlib.contextmanager
def _jax_precision_kept():
    try:
        import jax  # pymbar does so too
    except ImportError:
        yield
        return
    wide = jax.config.read("jax_enable_x64")
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", wide)
