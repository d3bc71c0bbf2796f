"""Block Gibbs sampling, as pure functions of tensors and a seed."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from rbm_tf.machine import Machine, hidden_input, visible_input
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.progress import in_parts
from rbm_tf.shared.seeds import as_seed

UNROLLED = 10  # steps that a graph holds one by one, which is faster than a loop


def gibbs_sweep(
    machine: Machine, hidden: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """One sweep h -> v -> h' of block Gibbs sampling.

    Args:
        machine: the `Machine`.
        hidden: hidden states, (num_chains, num_hidden).
        seed: (2,) int32 tensor that fixes the draws.

    Returns:
        Visible states (num_chains, num_visible), their inputs b + v W to the hidden units, and the
        new hidden states, both (num_chains, num_hidden).
    """
    seeds = tf.unstack(tf.random.split(seed))
    visible = machine.visible.sample(visible_input(machine, hidden), seed=seeds[0])
    inputs = hidden_input(machine, visible)
    return visible, inputs, machine.hidden.sample(inputs, seed=seeds[1])


def repeated(
    step: Callable[..., tuple[tf.Tensor, ...]], state: tuple[tf.Tensor, ...], num_steps: int
) -> tuple[tf.Tensor, ...]:
    """Apply step num_steps times, in a graph whose size has a bound: long ones are a loop.

    Args:
        step: function that maps the step's number and the state's tensors to new ones.
        state: the tensors to begin with, a tuple.
        num_steps: the number of steps, 0 or more.

    Returns:
        The last state.
    """
    if num_steps <= UNROLLED:
        for index in range(num_steps):
            state = step(index, *state)
        return state

    def counted(index, *state):
        return index + 1, *step(index, *state)

    start = tf.constant(0), *state
    return tf.while_loop(lambda index, *_: index < num_steps, counted, start)[1:]


@tf.function(reduce_retracing=True)
def gibbs_chain(
    machine: Machine, hidden: tf.Tensor, first: tf.Tensor, last: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Run the sweeps from first on, without last, two int32 scalars; otherwise as `gibbs_sweep`.

    A chain that is run in parts is the same as one that is run at once.
    """

    def sweep(index, hidden):
        return gibbs_sweep(machine, hidden, tf.random.fold_in(seed, index))

    def step(index, hidden):
        return index + 1, tf.ensure_shape(sweep(index, hidden)[2], hidden.shape)

    final = last - 1
    return sweep(final, tf.while_loop(lambda index, _: index < final, step, (first, hidden))[1])


def gibbs_sample(
    machine: Machine,
    fields: tf.Tensor,
    num_steps: int,
    *,
    progress: bool,
    seed: int | tf.Tensor | None,
) -> tf.Tensor:
    """Visible states of independent chains.

    Args:
        machine: the `Machine`.
        fields: what the hidden units feel at the start, (num_chains, num_hidden).
        num_steps: the number of sweeps of each chain.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer or (2,) int32 tensor that fixes the draws.

    Returns:
        (num_chains, num_visible).

    Raises:
        ValueError: if num_steps is below 1.
    """
    check_counts(num_steps=num_steps)
    start_seed, chain_seed = tf.unstack(tf.random.split(as_seed(seed)))
    hidden = machine.hidden.sample(fields, seed=start_seed)
    for part in in_parts(num_steps, "sampling", progress):
        v, _, hidden = gibbs_chain(machine, hidden, *map(tf.constant, part), chain_seed)
    return v
