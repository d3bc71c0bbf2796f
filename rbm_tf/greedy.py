"""Greedy training of a stack, layer by layer: what a second machine begins with, and its data.

The bound on ln p(v) of `rbm_tf.stack` is the mean of ln p_2(h) over h from p_1(h | v), and terms
that do not depend on the second machine: to raise it is to train an RBM on draws of h.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from rbm_tf.machine import hidden_input, machine_of
from rbm_tf.rbm import RBM
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike

_ROWS = 10_000  # of hidden states at a time


def turned_around(rbm: RBMLike, **kwargs: Any) -> RBM:
    """A model of the second layer that starts as the first one with its layers exchanged.

    W_2 = W^T, and the biases change places. Its visible units have the marginal p_1(h), so that
    the stack is the first machine until the new model is trained. The bound is then ln p(v) itself,
    and rises from there as the mean ln p_2(h) of `hidden_data` does. `fit` leaves its visible bias
    as it is unless all of it is 0, as that of an untrained first machine.

    Args:
        rbm: the first machine, `RBM`, `Machine`, or anything else with the parameters of an RBM.
        **kwargs: arguments of `RBM` other than the units.

    Returns:
        `RBM` to be trained on `hidden_data`.

    Reference: Hinton, Osindero and Teh (2006), A fast learning algorithm for deep belief nets.

    Example:
        >>> second = turned_around(BernoulliRBM(6, 4, seed=0), seed=1)
        >>> second.visible, second.hidden
        (Binary(4), Binary(6))
    """
    machine = machine_of(rbm, dtype=machine_of(rbm).dtype).transposed
    return RBM.from_parameters(machine.visible, machine.hidden, *machine.parameters, **kwargs)


def hidden_data(
    rbm: RBMLike, v: ArrayLike, *, means: bool = False, seed: int | tf.Tensor | None = None
) -> np.ndarray:
    """What a second machine is trained on: the first one's hidden units given data.

    Args:
        rbm: the first machine, `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states, (num, num_visible).
        means: whether to return <h> given v in place of draws. A second machine with
            resample=True makes fresh draws of these at every step, where h is binary, spin or
            Potts.
        seed: integer or (2,) int32 tensor that fixes the draws.

    Returns:
        (num, num_hidden), in the dtype of the biases.

    Raises:
        ValueError: if v are no states of the visible units.

    Example:
        >>> hidden_data(BernoulliRBM(6, 4, seed=0), np.eye(6), seed=0).shape
        (6, 4)
    """
    machine = machine_of(rbm)
    v = machine.visible.check(v, name="v")
    blocks, seed = [], as_seed(seed)
    for first in range(0, len(v), _ROWS):
        inputs = hidden_input(machine, tf.cast(v[first : first + _ROWS], machine.dtype))
        if means:
            blocks.append(machine.hidden.mean(inputs))
        else:
            fresh = tf.random.fold_in(seed, first)
            blocks.append(machine.hidden.sample(inputs, seed=fresh))
    return np.concatenate(blocks)
