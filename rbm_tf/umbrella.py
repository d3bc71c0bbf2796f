"""ln Z from equilibrium samples in windows along the path, sampled by parallel tempering.

A window is one inverse temperature of `rbm_tf.tempered_path`. Every window runs its own Gibbs
chain, neighbours swap their states, and the samples of all windows together give the ratios
Z_{k+1} / Z_k from the base, whose Z is known, to the RBM: parallel tempering that also yields ln Z.
A ladder is one chain in every window. Ladders never meet, so their spread is the standard error,
whatever the correlation in time and between windows.
"""

import contextlib
import logging
import warnings
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.integrate import trapezoid
from scipy.special import softmax

from rbm_tf.gibbs import as_seed
from rbm_tf.tempered_path import checked_betas, tempered_path

_NUM_BETAS = 20
_TOLERANCE = 1e-3  # nats that a solution of pymbar may be off


class Windows(NamedTuple):
    """Samples of all windows, float64; see `tempered_windows`."""

    betas: np.ndarray  # (num_betas,)
    energies: np.ndarray  # [k, l, ...]: F_l(v) of v from k, (num_betas, num_betas, chains, sweeps)
    derivatives: np.ndarray  # dF_beta(v)/dbeta in v's own window, (num_betas, chains, sweeps)
    base_log_z: float  # ln Z at beta = 0, nats
    samples: np.ndarray  # last visible states at beta = 1, (num_chains, num_visible)

    @property
    def swap_acceptance(self):
        """Mean probability that neighbours k and k + 1 accept a swap, (num_betas - 1,)."""
        forward, backward = _work(self.energies)
        return np.exp(np.minimum(0, -forward - backward)).mean((1, 2))


class WindowEstimate(NamedTuple):
    """An estimate of ln Z in nats.

    The standard error is that over independent ladders. What all ladders share is not in it: a
    burn-in too short to forget the start.
    """

    log_z: float
    standard_error: float


def tempered_windows(
    rbm,
    betas=None,
    num_chains=20,
    num_sweeps=200,
    num_burn_in=100,
    seed=None,
    base="data",
    swap=True,
):
    """Sample every window of the path at equilibrium, by parallel tempering.

    Each sweep is a Gibbs sweep of all windows followed by an attempt to swap the states of
    neighbours, pairs (0, 1), (2, 3), ... and (1, 2), (3, 4), ... in turn, accepted with probability
    min(1, exp(F_k(v_k) + F_l(v_l) - F_k(v_l) - F_l(v_k))). At beta = 0 the draws are independent.
    The result takes 8 num_betas^2 num_chains num_sweeps bytes, the estimators a few times that.

    Args:
        rbm: `BernoulliRBM`.
        betas: the windows, increasing from 0 to 1; default: 20 equally spaced.
        num_chains: number of independent ladders, 2 or more; a standard error needs 10.
        num_sweeps: sweeps that are recorded.
        num_burn_in: sweeps before, which start from the base in every window.
        seed: integer; the same seed gives the same samples.
        base: see `tempered_path`.
        swap: False leaves out the swaps: separate umbrella sampling of each window.

    Returns:
        `Windows`. A `swap_acceptance` below 0.2 asks for more betas there; `samples` are draws from
        the model if the burn-in was long enough.

    Raises:
        ValueError: if betas do not increase from 0 to 1, the base does not fit, or a number is too
            small.

    Reference: Swendsen and Wang (1986), Replica Monte Carlo simulation of spin-glasses; Geyer
    (1991), Markov chain Monte Carlo maximum likelihood; Desjardins et al. (2010), Tempered Markov
    chain Monte Carlo for training of restricted Boltzmann machines.

    Example:
        >>> windows = tempered_windows(BernoulliRBM(6, 4, seed=0), betas=[0, 0.5, 1], seed=0)
        >>> windows.energies.shape
        (3, 3, 20, 200)
    """
    if num_chains < 2 or num_sweeps < 1 or num_burn_in < 0:
        raise ValueError(
            "tempered_windows needs num_chains of 2 or more (the standard error is their spread), "
            f"num_sweeps of 1 or more and num_burn_in of 0 or more; got {num_chains}, "
            f"{num_sweeps}, {num_burn_in}."
        )
    path, betas = tempered_path(rbm, base), _windows(betas, rbm)
    start_seed, burn_in_seed, seed = tf.unstack(tf.random.split(as_seed(seed), 3))
    v = _base_states(path, betas, num_chains, start_seed)
    v = _equilibrate(path, betas, v, tf.constant(num_burn_in), burn_in_seed, swap)
    v, energies, derivatives = _record(path, betas, v, tf.constant(num_sweeps), seed, swap)
    return Windows(
        betas.numpy().astype(float),
        energies.numpy().transpose(2, 1, 3, 0).astype(float),
        derivatives.numpy().transpose(1, 2, 0),
        float(path.base_log_z),
        v[-1].numpy(),
    )


def tempered_sample(rbm, num_samples, betas=None, num_sweeps=1000, seed=None):
    """Draw from the model by parallel tempering, one ladder per sample.

    For models whose modes `rbm.sample` does not leave: states travel to small beta, where they
    change mode, and back. It costs num_betas times as much as `rbm.sample`.

    Args:
        rbm: `BernoulliRBM`.
        num_samples: number of independent ladders.
        betas: increasing from 0 to 1; default: 20 equally spaced.
        num_sweeps: Gibbs sweeps of each ladder, each followed by a swap attempt. Compare two
            values: the ladders need to forget their start at the base.
        seed: integer, or (2,) int32 tensor.

    Returns:
        visible states, (num_samples, num_visible).

    Raises:
        ValueError: if betas do not increase from 0 to 1, or a number is below 1.

    Example:
        >>> tempered_sample(BernoulliRBM(6, 4, seed=0), 5, num_sweeps=100, seed=0).shape
        TensorShape([5, 6])
    """
    if num_samples < 1 or num_sweeps < 1:
        raise ValueError(
            "tempered_sample needs num_samples and num_sweeps of 1 or more; got "
            f"{num_samples}, {num_sweeps}."
        )
    path, betas = tempered_path(rbm), _windows(betas, rbm)
    start_seed, seed = tf.unstack(tf.random.split(as_seed(seed)))
    v = _base_states(path, betas, num_samples, start_seed)
    return _equilibrate(path, betas, v, tf.constant(num_sweeps), seed, True)[-1]


def thermodynamic_integration(windows):
    """ln Z = base_log_z - integral_0^1 <dF_beta/dbeta>_beta dbeta, by the trapezoid rule.

    Each ladder's integral is an independent estimate. The rule's own bias is not in the standard
    error: with g(beta) = <dF_beta/dbeta>_beta and steps of size s it is about
    -s^2 / 12 (g'(1) - g'(0)), so halving the steps quarters it. `bar` and `mbar` have no such bias.

    Args:
        windows: `Windows`.

    Returns:
        `WindowEstimate`.

    Reference: Kirkwood (1935), Statistical mechanics of fluid mixtures; Gelman and Meng (1998),
    Simulating normalizing constants.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> estimate = thermodynamic_integration(tempered_windows(rbm, num_sweeps=50, seed=0))
    """
    by_ladder = windows.derivatives.mean(-1)  # (num_betas, num_chains)
    integral = trapezoid(by_ladder, windows.betas, axis=0)
    return _estimate(windows.base_log_z - integral.mean(), integral)


def bar(windows):
    """ln Z by Bennett's acceptance ratio, summed over neighbouring windows; needs pymbar.

    The standard error comes from each ladder's first-order pull on the sum (the infinitesimal
    jackknife), since pymbar's own takes correlated samples for independent ones.

    Args:
        windows: `Windows`.

    Returns:
        `WindowEstimate`.

    Raises:
        ImportError: if pymbar is not installed.
        ValueError: if two neighbouring windows do not overlap.

    Reference: Bennett (1976), Efficient estimation of free energy differences from Monte Carlo
    data.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> estimate = bar(tempered_windows(rbm, num_sweeps=50, seed=0))
        >>> bool(abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error)
        True
    """
    pairs = [
        _solve(windows.energies[k : k + 2, k : k + 2], first=k)
        for k in range(len(windows.betas) - 1)
    ]
    free_energy, by_ladder = (sum(values) for values in zip(*pairs, strict=True))
    return _estimate(windows.base_log_z - free_energy, by_ladder)


def mbar(windows):
    """ln Z by the multistate acceptance ratio, from all samples in all windows; needs pymbar.

    Of all estimators from the same samples it has the smallest variance when they are independent.
    The standard error is made as in `bar`.

    Args:
        windows: `Windows`.

    Returns:
        `WindowEstimate`.

    Raises:
        ImportError: if pymbar is not installed.
        ValueError: if two neighbouring windows do not overlap.

    Reference: Shirts and Chodera (2008), Statistically optimal analysis of samples from multiple
    equilibrium states.

    Example:
        >>> rbm = BernoulliRBM(6, 4, seed=0)
        >>> estimate = mbar(tempered_windows(rbm, num_sweeps=50, seed=0))
        >>> bool(abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error)
        True
    """
    free_energy, by_ladder = _solve(windows.energies)
    return _estimate(windows.base_log_z - free_energy, by_ladder)


def _estimate(ln_z, by_ladder):
    """An estimate of which by_ladder, (num_chains,), averages over ladders, up to a constant."""
    standard_error = np.std(by_ladder, ddof=1) / np.sqrt(len(by_ladder))
    return WindowEstimate(float(ln_z), float(standard_error))


def _windows(betas, rbm):
    return checked_betas(
        np.linspace(0, 1, _NUM_BETAS) if betas is None else betas, rbm.variable_dtype
    )


def _base_states(path, betas, num_chains, seed):
    """Draws at beta = 0 for every window, (num_betas, num_chains, num_visible)."""
    v = path.sample_base(betas.shape[0] * num_chains, seed)
    return tf.reshape(v, (betas.shape[0], num_chains, -1))


def _work(energies):
    """F_{k+1} - F_k at samples of k, and F_k - F_{k+1} at samples of k + 1."""
    low = np.arange(len(energies) - 1)
    forward = energies[low, low + 1] - energies[low, low]
    return forward, energies[low + 1, low] - energies[low + 1, low + 1]


def _solve(energies, first=0):
    """MBAR: -ln of Z in the last window over Z in the first, and the pull of each ladder on it.

    Args:
        energies: those between the windows, (num_betas, num_betas, num_chains, num_sweeps); of two
            windows this is Bennett's ratio.
        first: number of the first window, for errors.
    """
    num_betas, _, num_chains, num_sweeps = energies.shape
    forward, backward = _work(energies)
    guess = np.cumsum(np.append(0, (forward - backward).mean((1, 2)) / 2))
    pooled = np.swapaxes(energies, 0, 1).reshape(num_betas, -1)  # l, (k, chains, sweeps)
    with _quiet_pymbar() as pymbar:
        counts = np.full(num_betas, num_chains * num_sweeps)
        free_energies = np.array(pymbar.MBAR(pooled, counts, initial_f_k=guess).f_k)
    return free_energies[-1] - free_energies[0], _pull(energies, free_energies, first)


def _pull(energies, free_energies, first):
    """How far each ladder pulls -ln Z_last / Z_first, (num_chains,), to first order.

    f solves sum_n p(l | n) = N_l, where p(l | n) ~ exp(f_l - F_l(v_n)) is the probability that
    sample n came from window l. A ladder whose own sum exceeds its share N_l / num_chains by g_l
    pulls f by -H^-1 g, H_lm = sum_n p(l | n) (delta_lm - p(m | n)), f in the first window fixed.
    """
    _, num_betas, num_chains, num_sweeps = energies.shape
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
    pull = -num_chains * np.linalg.solve(hessian[1:, 1:], by_ladder[1:] - num_sweeps)[-1]
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
    wide = jax.config.jax_enable_x64
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", wide)


def _potential(path, beta, v, hidden_input):
    """F_beta(v), shape of v without its last axis; beta broadcasts with v."""
    bias = (1 - beta) * path.base_bias + beta * path.parameters.visible_bias
    return -tf.reduce_sum(v * bias, -1) - tf.reduce_sum(tf.math.softplus(beta * hidden_input), -1)


def _partners(num_betas, parity):
    """The window that each one swaps with: pairs start at parity, an odd one out is its own."""
    window = tf.range(num_betas)
    partner = window + tf.where((window - parity) % 2 == 0, 1, -1)
    return tf.where((partner >= 0) & (partner < num_betas), partner, window)


def _log_swap_ratio(path, betas, state, partner):
    """F_k(v_k) + F_l(v_l) - F_k(v_l) - F_l(v_k) of each window and its partner l, (k, chains)."""
    own, other = (x[:, tf.newaxis, tf.newaxis] for x in (betas, tf.gather(betas, partner)))
    gain = _potential(path, own, *state) - _potential(path, other, *state)
    return gain + tf.gather(gain, partner)


def _swap(path, betas, state, partner, seed):
    """Accept or refuse the swap of each pair; state is (v, hidden_input), (k, chains, units)."""
    log_ratio = _log_swap_ratio(path, betas, state, partner)
    uniform = tf.random.stateless_uniform(tf.shape(log_ratio), seed, dtype=log_ratio.dtype)
    one_for_both = tf.gather(uniform, tf.minimum(tf.range(tf.shape(betas)[0]), partner))
    accept = (tf.math.log(one_for_both) < log_ratio)[..., tf.newaxis]
    return tuple(tf.where(accept, tf.gather(x, partner), x) for x in state)


def _advance(path, betas, state, index, seed, swap):
    """Sweep number index of all windows, and the swaps after it."""
    sweep_seed, swap_seed = tf.unstack(tf.random.split(tf.random.fold_in(seed, index)))
    v = path.sweep(state[1], betas[:, tf.newaxis, tf.newaxis], sweep_seed)
    state = v, path.hidden_input(v)
    if not swap:
        return state
    return _swap(path, betas, state, _partners(tf.shape(betas)[0], index % 2), swap_seed)


@tf.function(reduce_retracing=True)
def _equilibrate(path, betas, v, num_sweeps, seed, swap):
    """Sweep and swap; returns the states, (num_betas, num_chains, num_visible) as v."""

    def step(index, state):
        return index + 1, _advance(path, betas, state, index, seed, swap)

    start = (tf.constant(0), (v, path.hidden_input(v)))
    return tf.while_loop(lambda index, _: index < num_sweeps, step, start)[1][0]


@tf.function(reduce_retracing=True)
def _record(path, betas, v, num_sweeps, seed, swap):
    """As `_equilibrate`; also F_l (sweeps, l, k, chains) and dF_beta/dbeta (sweeps, k, chains)."""

    def step(index, state, energies, derivatives):
        state = _advance(path, betas, state, index, seed, swap)
        in_windows = tf.map_fn(lambda beta: _potential(path, beta, *state), betas)
        derivative = path.energy(*state, betas[:, tf.newaxis, tf.newaxis])
        energies, derivatives = (
            array.write(index, value)
            for array, value in ((energies, in_windows), (derivatives, derivative))
        )
        return index + 1, state, energies, derivatives

    arrays = (tf.TensorArray(dtype, num_sweeps) for dtype in (betas.dtype, tf.float64))
    _, (v, _), energies, derivatives = tf.while_loop(
        lambda index, *_: index < num_sweeps,
        step,
        (tf.constant(0), (v, path.hidden_input(v)), *arrays),
    )
    return v, energies.stack(), derivatives.stack()
