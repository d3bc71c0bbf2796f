"""Parallel tempering: Gibbs chains at every temperature of the path, whose neighbours swap states.

States travel to small beta, where they change mode, and back. A window is one inverse temperature
of `rbm_tf.tempered_path`; a ladder is one chain in every window. Ladders never meet, so they are
independent samples. `rbm_tf.umbrella` turns the windows into ln Z.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.machine import machine_of
from rbm_tf.shared.betas import checked_betas
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.progress import in_parts
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.tempered_path import TemperedPath, tempered_path

_NUM_BETAS = 20


class Windows(NamedTuple):
    """Samples of all windows, float64; see `tempered_windows` and `trajectory_windows`."""

    betas: np.ndarray  # (num_betas,), or the places of machines on their trajectory
    free_energies: np.ndarray  # F_l(v), v from k, (k, l, num_chains, num_steps)
    # dF_beta(v)/dbeta of v in its own window, (k, num_chains, num_steps); None on a trajectory
    derivatives: np.ndarray | None
    base_log_z: float  # ln Z at beta = 0, nats
    samples: np.ndarray  # last visible states at beta = 1, (num_chains, num_visible)
    log_num_states: float | None = None  # of the visible layer, nats; None if it has no end

    @property
    def swap_acceptance(self) -> np.ndarray:
        """Mean probability that neighbours k and k + 1 accept a swap, (num_betas - 1,)."""
        forward, backward = work(self.free_energies)
        return np.exp(np.minimum(0, -forward - backward)).mean((1, 2))


def tempered_windows(
    rbm: RBMLike,
    *,
    betas: ArrayLike | None = None,
    num_chains: int = 20,
    num_steps: int = 200,
    num_burn_in: int = 100,
    base: str | ArrayLike = "data",
    swap: bool = True,
    progress: bool = True,
    seed: int | None = None,
) -> Windows:
    """Sample every window of the path at equilibrium, by parallel tempering.

    Each sweep is a Gibbs sweep of all windows followed by an attempt to swap the states of
    neighbours, pairs (0, 1), (2, 3), ... and (1, 2), (3, 4), ... in turn, accepted with probability
    min(1, exp(F_k(v_k) + F_l(v_l) - F_k(v_l) - F_l(v_k))). At beta = 0 the draws are independent.
    The result takes 8 num_betas^2 num_chains num_steps bytes. Making it takes three times that, and
    the estimators take a few times that.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        betas: the windows, (num_betas,), increasing from 0 to 1; the default is 20 equally spaced.
        num_chains: the number of independent ladders, 2 or more; a standard error needs 10.
        num_steps: the number of sweeps that are recorded.
        num_burn_in: the number of sweeps before, which start from the base in every window.
        base: where the path begins, as `tempered_path` takes it.
        swap: whether neighbours swap states; False is separate umbrella sampling of each window.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same samples.

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
        >>> windows.free_energies.shape
        (3, 3, 20, 200)
    """
    check_counts(2, num_chains=num_chains)  # the standard error is their spread
    check_counts(num_steps=num_steps)
    check_counts(0, num_burn_in=num_burn_in)
    path, betas = tempered_path(rbm, base=base), _windows(betas, rbm)
    start_seed, burn_in_seed, seed = tf.unstack(tf.random.split(as_seed(seed), 3))
    v = _base_states(path, betas, num_chains, start_seed)
    state = _equilibrated(path, betas, v, num_burn_in, burn_in_seed, swap, progress)
    (v, _), free_energies, derivatives = _recorded(
        path, betas, state, num_steps, seed, swap, progress
    )
    return Windows(
        betas.numpy().astype(float),
        free_energies.transpose(2, 1, 3, 0).astype(float),
        derivatives.transpose(1, 2, 0),
        float(path.base_log_z),
        v[-1].numpy(),
        path.machine.visible.log_num_layer_states,
    )


def tempered_sample(
    rbm: RBMLike,
    num_samples: int,
    *,
    betas: ArrayLike | None = None,
    num_steps: int = 1000,
    base: str | ArrayLike = "data",
    progress: bool = True,
    seed: int | tf.Tensor | None = None,
) -> tf.Tensor:
    """Draw from the model by parallel tempering, one ladder per sample.

    For models whose modes `rbm.sample` does not leave: states travel to small beta, where they
    change mode, and back. It costs num_betas times as much as `rbm.sample`.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        num_samples: the number of independent ladders, of which each gives one sample.
        betas: the windows, (num_betas,), increasing from 0 to 1; the default is 20 equally spaced.
        num_steps: the number of Gibbs sweeps of each ladder, each followed by a swap attempt.
            Compare two values: the ladders need to forget their start at the base.
        base: where the path begins, as `tempered_path` takes it.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer or (2,) int32 tensor that fixes the draws.

    Returns:
        Visible states, (num_samples, num_visible).

    Raises:
        ValueError: if betas do not increase from 0 to 1, the base does not fit, or a number is
            below 1.

    Example:
        >>> tempered_sample(BernoulliRBM(6, 4, seed=0), 5, num_steps=100, seed=0).shape
        TensorShape([5, 6])
    """
    check_counts(num_samples=num_samples, num_steps=num_steps)
    path, betas = tempered_path(rbm, base=base), _windows(betas, rbm)
    start_seed, seed = tf.unstack(tf.random.split(as_seed(seed)))
    v = _base_states(path, betas, num_samples, start_seed)
    return _equilibrated(path, betas, v, num_steps, seed, True, progress)[0][-1]


def _windows(betas, rbm):
    return checked_betas(
        np.linspace(0, 1, _NUM_BETAS) if betas is None else betas, machine_of(rbm).dtype
    )


def _base_states(path, betas, num_chains, seed):
    """Draws at beta = 0 for every window, (num_betas, num_chains, num_visible)."""
    v = path.sample_base(betas.shape[0] * num_chains, seed)
    return tf.reshape(v, (betas.shape[0], num_chains, -1))  # (num_betas, num_chains, num_visible)


def work(free_energies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F_{k+1} - F_k at samples of k, and F_k - F_{k+1} at samples of k + 1.

    Args:
        free_energies: those of `Windows`, (num_betas, num_betas, num_chains, num_steps).

    Returns:
        Two arrays (num_betas - 1, num_chains, num_steps), nats.

    Example:
        >>> windows = tempered_windows(BernoulliRBM(6, 4), betas=[0, 0.5, 1], seed=0)
        >>> [values.shape for values in work(windows.free_energies)]
        [(2, 20, 200), (2, 20, 200)]
    """
    low = np.arange(len(free_energies) - 1)
    forward = free_energies[low, low + 1] - free_energies[low, low]
    return forward, free_energies[low + 1, low] - free_energies[low + 1, low + 1]


def partners(num_windows: int | tf.Tensor, parity: int | tf.Tensor) -> tf.Tensor:
    """The window that each one swaps with: pairs start at parity, an odd one out is its own.

    Args:
        num_windows: the number of windows.
        parity: 0 for the pairs (0, 1), (2, 3), .., 1 for (1, 2), (3, 4), ..

    Returns:
        (num_windows,) int32.

    Example:
        >>> partners(4, 1).numpy()
        array([0, 2, 1, 3], dtype=int32)
    """
    window = tf.range(num_windows)
    partner = window + tf.where((window - parity) % 2 == 0, 1, -1)
    return tf.where((partner >= 0) & (partner < num_windows), partner, window)


def accept_swaps(
    state: tuple[tf.Tensor, ...], log_ratio: tf.Tensor, partner: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """Accept or refuse the swap of each pair of windows, with probability min(1, exp(log_ratio)).

    Args:
        state: tensors (num_windows, num_chains, ..) that are swapped together.
        log_ratio: F_k(v_k) + F_l(v_l) - F_k(v_l) - F_l(v_k) of each window and its partner,
            (num_windows, num_chains), nats.
        partner: the window that each one swaps with, as `partners` gives it.
        seed: (2,) int32 tensor that fixes the draws.

    Returns:
        The new state.

    Example:
        >>> v, certain = tf.constant([[[1.0]], [[2.0]]]), tf.zeros((2, 1))
        >>> accept_swaps((v,), certain, partners(2, 0), [0, 1])[0].numpy().ravel()
        array([2., 1.], dtype=float32)
    """
    uniform = tf.random.stateless_uniform(tf.shape(log_ratio), seed, dtype=log_ratio.dtype)
    num_windows = tf.shape(log_ratio)[0]
    one_for_both = tf.gather(uniform, tf.minimum(tf.range(num_windows), partner))
    accept = (tf.math.log(one_for_both) < log_ratio)[..., tf.newaxis]
    return tuple(tf.where(accept, tf.gather(x, partner), x) for x in state)


def _log_swap_ratio(path, betas, state, partner):
    """F_k(v_k) + F_l(v_l) - F_k(v_l) - F_l(v_k) of each window and its partner l, (k, chains)."""
    own, other = (x[:, tf.newaxis, tf.newaxis] for x in (betas, tf.gather(betas, partner)))
    gain = path.free_energy(*state, own) - path.free_energy(*state, other)
    return gain + tf.gather(gain, partner)


def advance(
    path: TemperedPath,
    betas: tf.Tensor,
    state: tuple[tf.Tensor, tf.Tensor],
    index: int | tf.Tensor,
    seed: tf.Tensor,
    swap: bool,
) -> tuple[tf.Tensor, ...]:
    """Sweep all windows once, then try to swap neighbours.

    Args:
        path: the `TemperedPath`.
        betas: the windows, (num_betas,).
        state: v and its hidden inputs, (num_betas, num_chains, units).
        index: the number of the sweep; its parity chooses the pairs.
        seed: (2,) int32 tensor that fixes the draws.
        swap: whether neighbours swap states.

    Returns:
        The new state.

    Example:
        >>> path = tempered_path(BernoulliRBM(6, 4))
        >>> v = tf.zeros((2, 3, 6))
        >>> betas, state = tf.constant([0.0, 1.0]), (v, path.hidden_input(v))
        >>> advance(path, betas, state, 0, [1, 2], True)[0].shape
        TensorShape([2, 3, 6])
    """
    sweep_seed, swap_seed = tf.unstack(tf.random.split(tf.random.fold_in(seed, index)))
    v = path.sweep(state[1], betas[:, tf.newaxis, tf.newaxis], sweep_seed)
    state = v, path.hidden_input(v)
    if not swap:
        return state
    partner = partners(tf.shape(betas)[0], index % 2)
    log_ratio = _log_swap_ratio(path, betas, state, partner)
    return accept_swaps(state, log_ratio, partner, swap_seed)


def _equilibrated(path, betas, v, num_steps, seed, swap, progress):
    """The states of all windows, (num_betas, num_chains, num_visible) as v, and their inputs."""
    state = v, path.hidden_input(v)
    for part in in_parts(num_steps, "tempering", progress):
        state = _advance_all(path, betas, state, *map(tf.constant, part), seed, swap)
    return state


@tf.function(reduce_retracing=True)
def _advance_all(path, betas, state, first, last, seed, swap):
    """Sweep and swap, from the sweep `first` on, without `last`."""

    def step(index, state):
        return index + 1, advance(path, betas, state, index, seed, swap)

    return tf.while_loop(lambda index, _: index < last, step, (first, state))[1]


def _recorded(path, betas, state, num_steps, seed, swap, progress):
    """As `_equilibrated`; also F_l (sweeps, l, k, chains) and dF_beta/dbeta (sweeps, k, chains)."""
    records = []
    for part in in_parts(num_steps, "recording", progress):
        state, *record = _record(path, betas, state, *map(tf.constant, part), seed, swap)
        records.append([array.numpy() for array in record])
    return state, *(np.concatenate(arrays) for arrays in zip(*records, strict=True))


@tf.function(reduce_retracing=True)
def _record(path, betas, state, first, last, seed, swap):
    """As `_advance_all`, with a record of every sweep."""

    def step(index, state, free_energies, derivatives):
        state = advance(path, betas, state, index, seed, swap)
        in_windows = tf.map_fn(lambda beta: path.free_energy(*state, beta), betas)
        derivative = path.derivative(*state, betas[:, tf.newaxis, tf.newaxis])
        free_energies, derivatives = (
            array.write(index - first, value)
            for array, value in ((free_energies, in_windows), (derivatives, derivative))
        )
        return index + 1, state, free_energies, derivatives

    arrays = (tf.TensorArray(dtype, last - first) for dtype in (betas.dtype, tf.float64))
    start = first, state, *arrays
    _, state, free_energies, derivatives = tf.while_loop(
        lambda index, *_: index < last, step, start
    )
    return state, free_energies.stack(), derivatives.stack()
