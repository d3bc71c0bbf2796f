"""Missing visible units, drawn given the observed ones, and their conditional means."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from rbm_tf.conditional.clamping import clamped_machine, with_means
from rbm_tf.gibbs import gibbs_sweep
from rbm_tf.machine import hidden_input, visible_input
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.progress import in_parts
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike


class Inpainting(NamedTuple):
    """What `inpaint` returns; in both, observed units are as they were."""

    samples: tf.Tensor  # the last states of the chains, (num, num_visible)
    mean: tf.Tensor  # <v_missing | v_observed>, estimated, (num, num_visible)


def inpaint(
    rbm: RBMLike,
    v: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    num_steps: int = 1000,
    num_burn_in: int = 100,
    progress: bool = True,
    seed: int | tf.Tensor | None = None,
) -> Inpainting:
    """Draw missing units given the observed ones by Gibbs chains, one for each example.

    A chain keeps what is observed, begins with the means of the training data elsewhere, and
    averages <v | h> over its sweeps: less noisy than the average of the states (Rao-Blackwell).
    Several chains of one example are several rows, np.repeat(v, 10, axis=0); their spread tells
    whether num_steps is enough.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states, (num, num_visible).
        mask: 1 or True where v is observed, (num_visible,) or (num, num_visible); None: where v is
            not NaN.
        num_steps: the number of sweeps whose means are averaged.
        num_burn_in: the number of sweeps before.
        progress: whether to show a progress bar, which appears after two seconds.
        seed: integer or (2,) int32 tensor that fixes the draws.

    Returns:
        `Inpainting`.

    Raises:
        ValueError: as `clamped_machine`, or if a number of sweeps is too small.

    Example:
        >>> v = [[1, np.nan, 0]]
        >>> inpainted = inpaint(BernoulliRBM(3, 2, seed=0), v, num_steps=10, seed=0)
        >>> inpainted.mean.numpy().round(1)
        array([[1. , 0.5, 0. ]], dtype=float32)
    """
    check_counts(num_steps=num_steps)
    check_counts(0, num_burn_in=num_burn_in)
    machine = clamped_machine(rbm, v, mask=mask)
    values = machine.visible.parameters["values"]
    start = with_means(rbm, values)
    start_seed, chain_seed = tf.unstack(tf.random.split(as_seed(seed)))
    hidden = machine.hidden.sample(hidden_input(machine, start), seed=start_seed)
    state = start, hidden, tf.zeros_like(start)
    for part in in_parts(num_burn_in + num_steps, "inpainting", progress):
        state = _sweeps(machine, state, *map(tf.constant, (*part, num_burn_in)), chain_seed)
    samples, _, total = state
    return Inpainting(samples, tf.where(tf.math.is_nan(values), total / num_steps, samples))


@tf.function(reduce_retracing=True)
def _sweeps(machine, state, first, last, num_burn_in, seed):
    """The sweeps from first on, without last; the total is of <v | h> after the burn-in."""

    def step(index, _, hidden, total):
        mean = machine.visible.mean(visible_input(machine, hidden))
        total += tf.where(index < num_burn_in, tf.zeros_like(mean), mean)
        v, _, hidden = gibbs_sweep(machine, hidden, tf.random.fold_in(seed, index))
        return index + 1, v, tf.ensure_shape(hidden, state[1].shape), total

    return tf.while_loop(lambda index, *_: index < last, step, (first, *state))[1:]
