"""Trajectory tempering: chains through the checkpoints of training in place of temperatures.

A model that learned one mode after the other has, at some temperature, two phases side by side that
share no states, and chains in temperature do not cross there. Training itself went from
independent units to the model without such a jump. So the windows are the machines that training
passed through, with independent units in front: neighbours swap states as in `rbm_tf.tempering`,
and what the swaps weigh also gives ln Z along the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rbm_tf.estimates import LogZEstimate, estimate_log_z
from rbm_tf.machine import (
    Machine,
    clamped_free_energy,
    hidden_input,
    machine_of,
    visible_input,
)
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.progress import in_parts
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import RBMLike
from rbm_tf.tempering import Windows, accept_swaps, partners


class Trajectory(keras.callbacks.Callback):
    """Keeps the machines that training passes through, in `machines`.

    The first is the one before training. Epochs change a model most at the beginning, so the
    machines lie close together there: after epochs 1, 2, 3, .. and then, once an epoch is more than
    1 + spacing times the last one that was kept, only after those.

    Args:
        spacing: how far apart the kept epochs are, relative to their number; 0 keeps all.

    Raises:
        ValueError: if spacing is below 0.

    Example:
        >>> rbm, trajectory = BernoulliRBM(6, 4, seed=0), Trajectory(spacing=0.5)
        >>> history = rbm.fit(np.eye(6), epochs=10, verbose=0, callbacks=[trajectory])
        >>> len(trajectory.machines)  # before training, and after epochs 1, 2, 3, 5, 8 and 10
        7
    """

    def __init__(self, spacing: float = 0.2) -> None:
        super().__init__()
        if not spacing >= 0:
            raise ValueError(f"spacing must be 0 or more; got {spacing!r}.")
        self.spacing = spacing
        self.machines: list[Machine] = []
        self._last = self._now = 0  # the epoch that was kept last, and the last one

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._last, self._now, self.machines = 0, 0, [machine_of(self.model)]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._now = epoch + 1
        if epoch + 1 >= max(self._last + 1, (1 + self.spacing) * self._last):
            self._keep(epoch + 1)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._last < self._now:
            self._keep(self._now)

    def _keep(self, epoch):
        self._last = epoch
        self.machines.append(machine_of(self.model))


def trajectory_windows(
    machines: Sequence[RBMLike],
    *,
    num_chains: int = 20,
    num_steps: int = 200,
    num_burn_in: int = 100,
    progress: bool = True,
    seed: int | None = None,
) -> Windows:
    """Sample every machine of a trajectory at equilibrium, with swaps between neighbours.

    Window 0 are independent units, the first machine without its kernel, whose ln Z is known and
    whose chains forget where they were in every sweep. `rbm_tf.umbrella.mbar` and `bar` turn the
    windows into ln Z of the last machine, and `bar_along` into that of every one.

    Args:
        machines: RBMs with the same units, in the order of training, two or more.
        num_chains: the number of independent ladders, 2 or more; a standard error needs 10.
        num_steps: the number of sweeps that are recorded, each followed by a swap attempt.
        num_burn_in: the number of sweeps before.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same samples.

    Returns:
        `Windows` without derivatives; their betas are the places of the machines, from 0 to 1. A
        `swap_acceptance` below 0.2 asks for more machines there.

    Raises:
        ValueError: if there are fewer than two machines, their units differ, or a number is too
            small.

    Reference: Bereux, Decelle, Furtlehner, Rosset and Seoane (2024), Fast training and sampling of
    restricted Boltzmann machines.

    Example:
        >>> rbm, trajectory = BernoulliRBM(6, 4, seed=0), Trajectory()
        >>> history = rbm.fit(np.eye(6), epochs=5, verbose=0, callbacks=[trajectory])
        >>> trajectory_windows(trajectory.machines, num_steps=50, seed=0).free_energies.shape
        (7, 7, 20, 50)
    """
    check_counts(2, num_chains=num_chains)
    check_counts(num_steps=num_steps)
    check_counts(0, num_burn_in=num_burn_in)
    stack, base_log_z, num_windows = _stacked(machines)
    burn_in_seed, seed = tf.unstack(tf.random.split(as_seed(seed)))
    shape = (num_windows, num_chains, stack.kernel.shape[-1])
    hidden = stack.hidden.sample(tf.zeros(shape, stack.dtype), seed=burn_in_seed)
    v = stack.visible.sample(visible_input(stack, hidden), seed=seed)
    for part in in_parts(num_burn_in, "trajectory tempering", progress):
        v = _advance_all(stack, v, *map(tf.constant, part), burn_in_seed)
    records = []
    for part in in_parts(num_steps, "recording", progress):
        v, free_energies = _record(stack, v, *map(tf.constant, part), seed)
        records.append(free_energies.numpy())
    return Windows(
        np.linspace(0, 1, num_windows),
        np.concatenate(records).transpose(2, 1, 3, 0).astype(float),
        None,
        base_log_z,
        v[-1].numpy(),
        _log_num_states(machines[0]),
    )


def trajectory_ais(
    machines: Sequence[RBMLike],
    *,
    num_chains: int = 100,
    num_steps: int = 10,
    progress: bool = True,
    seed: int | None = None,
) -> LogZEstimate:
    """Estimate ln Z of the last machine by annealed importance sampling through all of them.

    A log-weight adds up F_{k-1}(v) - F_k(v) along the trajectory, from independent units, each term
    at a state that the chain reached under machine k - 1.

    Args:
        machines: RBMs with the same units, in the order of training, two or more.
        num_chains: the number of independent chains.
        num_steps: the number of Gibbs sweeps under each machine.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer that fixes the draws; the same seed gives the same estimate.

    Returns:
        `LogZEstimate`, below ln Z on average.

    Raises:
        ValueError: if there are fewer than two machines, or their units differ.

    Reference: Neal (2001); Bereux et al. (2024).

    Example:
        >>> rbm, trajectory = BernoulliRBM(6, 4, seed=0), Trajectory()
        >>> history = rbm.fit(np.eye(6), epochs=5, verbose=0, callbacks=[trajectory])
        >>> estimate = trajectory_ais(trajectory.machines, seed=0)
        >>> bool(abs(estimate.log_z - log_z(rbm)) < 5 * estimate.standard_error)
        True
    """
    check_counts(num_chains=num_chains, num_steps=num_steps)
    stack, base_log_z, num_windows = _stacked(machines)
    start_seed, seed = tf.unstack(tf.random.split(as_seed(seed)))
    first = _window(stack, 0)
    fields = tf.broadcast_to(first.visible_bias, (num_chains, first.visible_bias.shape[-1]))
    v = first.visible.sample(fields, seed=start_seed)
    log_weight = tf.zeros(num_chains, tf.float64)
    for part in in_parts(num_windows - 1, "annealing", progress):
        v, log_weight = _anneal(stack, v, log_weight, *map(tf.constant, part), num_steps, seed)
    return estimate_log_z(base_log_z + log_weight)


def _stacked(machines):
    """All machines as one with a first axis, independent units in front; ln Z of these; how many.

    The kernel is (num_windows, num_visible, num_hidden), all else (num_windows, 1, ..).
    """
    values = [machine_of(machine) for machine in machines]
    if len(values) < 2:
        raise ValueError(f"A trajectory needs two machines or more; got {len(values)}.")
    kinds = [(machine.visible.kind, machine.hidden.kind) for machine in values]
    if any(kind != kinds[0] for kind in kinds):
        raise ValueError("All machines of a trajectory need the same units.")
    values.insert(0, replace(values[0], kernel=0 * values[0].kernel))
    stack = tf.nest.map_structure(lambda *x: tf.stack(x)[:, tf.newaxis], *values)
    stack = replace(stack, kernel=tf.squeeze(stack.kernel, 1))
    first = machine_of(values[0], dtype=tf.float64)
    base_log_z = tf.reduce_sum(first.visible.cgf(first.visible_bias))
    base_log_z += tf.reduce_sum(first.hidden.cgf(first.hidden_bias))
    return stack, float(base_log_z), len(values)


def _window(stack, index):
    return tf.nest.map_structure(lambda x: x[index], stack)


def _log_num_states(rbm):
    return machine_of(rbm).visible.log_num_layer_states


def _sweep(machine, v, seed):
    """One Gibbs sweep v -> h -> v' of each window."""
    seeds = tf.unstack(tf.random.split(seed))
    hidden = machine.hidden.sample(hidden_input(machine, v), seed=seeds[0])
    return machine.visible.sample(visible_input(machine, hidden), seed=seeds[1])


def _advance(stack, v, index, seed):
    """Sweep all windows once, then try to swap neighbours."""
    sweep_seed, swap_seed = tf.unstack(tf.random.split(tf.random.fold_in(seed, index)))
    v = _sweep(stack, v, sweep_seed)
    partner = partners(tf.shape(v)[0], index % 2)
    gain = clamped_free_energy(stack, v) - clamped_free_energy(stack, tf.gather(v, partner))
    return accept_swaps((v,), gain + tf.gather(gain, partner), partner, swap_seed)[0]


@tf.function(reduce_retracing=True)
def _advance_all(stack, v, first, last, seed):
    def step(index, v):
        return index + 1, tf.ensure_shape(_advance(stack, v, index, seed), v.shape)

    return tf.while_loop(lambda index, _: index < last, step, (first, v))[1]


@tf.function(reduce_retracing=True)
def _record(stack, v, first, last, seed):
    """As `_advance_all`; also F_l of all states, (sweeps, l, k, chains)."""

    def step(index, v, rows):
        v = tf.ensure_shape(_advance(stack, v, index, seed), v.shape)
        energies = tf.map_fn(
            lambda machine: clamped_free_energy(machine, v), stack, fn_output_signature=v.dtype
        )
        return index + 1, v, rows.write(index - first, energies)

    start = first, v, tf.TensorArray(v.dtype, last - first)
    _, v, rows = tf.while_loop(lambda index, *_: index < last, step, start)
    return v, rows.stack()


@tf.function(reduce_retracing=True)
def _anneal(stack, v, log_weight, first, last, num_steps, seed):
    """The steps from machine first to machine last of a trajectory."""

    def step(index, v, log_weight):
        old, new = _window(stack, index), _window(stack, index + 1)
        log_weight += tf.cast(clamped_free_energy(old, v) - clamped_free_energy(new, v), tf.float64)
        for sweep in range(num_steps):
            v = _sweep(new, v, tf.random.fold_in(seed, index * num_steps + sweep))
        return index + 1, v, log_weight

    return tf.while_loop(lambda index, *_: index < last, step, (first, v, log_weight))[1:]
