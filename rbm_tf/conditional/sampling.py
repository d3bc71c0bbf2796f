"""Where Gibbs chains begin, and which of their visible units stay as they are."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from rbm_tf.conditional.clamping import observed_states, with_means
from rbm_tf.machine import Machine, hidden_input, machine_of
from rbm_tf.shared.arrays import as_array
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.units import Clamped


def chains_of(
    rbm: RBMLike, num_chains: int, start: ArrayLike | None, clamped: ArrayLike | None
) -> tuple[Machine, tf.Tensor]:
    """The machine whose chains are to run, and the fields that their first hidden units are in.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        num_chains: the number of chains.
        start: visible states to begin with, (num_chains, num_visible). None: what is clamped with
            the means of the training data elsewhere, or no field at all.
        clamped: visible states that stay, NaN where units are free, (num_visible,) or
            (num_chains, num_visible), or None.

    Returns:
        `Machine`, with `Clamped` visible units where some are; fields (num_chains, num_hidden).

    Raises:
        ValueError: if start or clamped are no states, or not of as many chains.

    Example:
        >>> machine, fields = chains_of(BernoulliRBM(3, 2), 4, None, [1, np.nan, np.nan])
        >>> machine.visible, fields.shape
        (Clamped(Binary(3)), TensorShape([4, 2]))
    """
    machine = machine_of(rbm)
    if start is not None:
        start = machine.visible.check(_rows(start, num_chains, "start"), name="start")
        start = tf.cast(start, machine.dtype)
    if clamped is not None:
        clamped = as_array(clamped, None, "clamped")
        if clamped.ndim == 1:
            clamped = np.tile(clamped, (num_chains, 1))
        rows = _rows(clamped, num_chains, "clamped")
        values = observed_states(machine.visible, rows, name="clamped")
        values = tf.constant(values, machine.dtype)
        units = {"visible": Clamped(machine.visible, values), "hidden": machine.hidden}
        machine = Machine(*machine.parameters, **units)
        start = values if start is None else tf.where(tf.math.is_nan(values), start, values)
        start = with_means(rbm, start)
    if start is None:
        return machine, tf.zeros((num_chains, machine.num_hidden), machine.dtype)
    return machine, hidden_input(machine, start)


def _rows(states, num_chains, name):
    states = as_array(states, None, name)
    if states.ndim != 2 or len(states) != num_chains:
        raise ValueError(
            f"{name} must have a row for each of {num_chains} chains; got shape {states.shape}."
        )
    return states
