"""Data of which some entries are missing: the data's side of the gradient of ln p(observed).

    d ln p(v_o)/d theta = -<dE/d theta> over p(v_m, h | v_o) + <dE/d theta> over p(v, h)

The model's side is what it always is. On the data's side the missing units v_m are drawn given the
observed ones, and the hidden units are summed out as everywhere.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from rbm_tf.conditional import observed_states
from rbm_tf.gibbs import gibbs_sweep, repeated
from rbm_tf.machine import Machine, hidden_input
from rbm_tf.units import Clamped, Unit


def check_data(visible: Unit, v: np.ndarray, *, missing_steps: int) -> None:
    """Refuse data that are no means or states of the visible units.

    Args:
        visible: the visible units.
        v: the data, (num, visible.size).
        missing_steps: 0 refuses NaN; otherwise it stands for a unit that is missing.

    Raises:
        ValueError: with the remedy.

    Example:
        >>> check_data(Binary(2), np.array([[1.0, np.nan]]), missing_steps=1)
    """
    if missing_steps:
        observed_states(visible, v, name="Data", means=True)
        return
    try:
        visible.check(v, name="Data", means=True)
    except ValueError as error:
        if v.shape[1:] != (visible.size,) or not np.isnan(v).any():
            raise
        raise ValueError(
            f"Data must be without NaN here, and {np.sum(np.isnan(v))} of {v.size} values are NaN. "
            "To train on what is observed, make the model with missing_steps=10, the number of "
            "sweeps that draw the rest; to have it completed, call rbm_tf.inpaint."
        ) from error


def draw_missing(
    machine: Machine, v: tf.Tensor, observed: tf.Tensor, *, num_steps: int, seed: tf.Tensor
) -> tf.Tensor:
    """Draw the missing units given the observed ones, by a few Gibbs sweeps that keep these.

    Args:
        machine: the `Machine`.
        v: visible states, (batch, num_visible), and where they are missing what the sweeps begin
            with.
        observed: whether each column is observed, (batch, num_visible).
        num_steps: the number of sweeps.
        seed: (2,) int32 tensor that fixes the draws.

    Returns:
        Visible states, (batch, num_visible).

    Example:
        >>> rbm, v = BernoulliRBM(3, 2), tf.constant([[1.0, 0.5, 0.5]])
        >>> float(draw_missing(rbm.machine, v, v == 1, num_steps=1, seed=(0, 1))[0, 0])
        1.0
    """
    values = tf.where(observed, v, tf.constant(np.nan, v.dtype))
    units = {"visible": Clamped(machine.visible, values), "hidden": machine.hidden}
    clamped = Machine(*machine.parameters, **units)
    hidden = machine.hidden.sample(
        hidden_input(machine, v), seed=tf.random.fold_in(seed, num_steps)
    )

    def sweep(index, _, hidden):
        v, _, hidden = gibbs_sweep(clamped, hidden, tf.random.fold_in(seed, index))
        return v, hidden

    return repeated(sweep, (v, hidden), num_steps)[0]
