"""An RBM some of whose visible units are observed: what is left is an RBM again.

With v = (o, m), observed and missing units, the missing ones and the hidden ones have

    E(m, h | o) = sum_m U - a_m.m - b'.h + sum_j U(h_j) - m^T W_m h,    b' = b + o W_o

which differs from E(v, h) by sum_o U - a_o.o alone.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from rbm_tf.machine import Machine, hidden_input, machine_of
from rbm_tf.shared.arrays import as_array
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.units import Clamped, Unit


def observed_states(
    visible: Unit,
    v: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    name: str = "v",
    means: bool = False,
) -> np.ndarray:
    """Visible states with NaN for units that are missing, checked.

    Args:
        visible: the visible units.
        v: visible states, (num, visible.size); what stands where a unit is missing does not matter.
        mask: 1 or True where v is observed, for all examples, (visible.size,), or for each,
            (num, visible.size); None takes entries that are NaN as missing.
        name: what the error message calls v.
        means: whether to take means of states too.

    Returns:
        NumPy array (num, visible.size), float64.

    Raises:
        ValueError: if v or mask has another shape, mask is not 0 and 1, a unit is observed in some
            of its columns only, or what is observed is no state of the units.

    Example:
        >>> observed_states(Binary(3), [[1, 0, 1]], mask=[1, 0, 1])
        array([[ 1., nan,  1.]])
    """
    v = as_array(v, "float64", name)
    if v.ndim != 2 or v.shape[1] != visible.size or not len(v):
        raise ValueError(
            f"{name} must have shape (num, {visible.size}) with num of 1 or more, one column for "
            f"each of {visible!r}; got {v.shape}."
        )
    if mask is not None:
        v = np.where(_checked_mask(mask, v), v, np.nan)
    missing = np.isnan(v)
    first_column = np.unique(visible.unit_of_column, return_index=True)[1]
    half = missing != missing[:, first_column[visible.unit_of_column]]
    if half.any():
        row, column = np.argwhere(half)[0]
        unit = visible.unit_of_column[column]
        columns = np.flatnonzero(visible.unit_of_column == unit)
        raise ValueError(
            f"A unit is observed in all of its columns or in none: in row {row}, unit {unit} of "
            f"{visible!r} has {np.sum(~missing[row, columns])} of the columns {columns[0]} to "
            f"{columns[-1]}. Let mask, or NaN in {name}, cover whole units."
        )
    any_state = visible.sample(tf.zeros(visible.size, tf.float64), seed=0).numpy()
    visible.check(np.where(missing, any_state, v), name=name, means=means)
    return v


def _checked_mask(mask, v):
    mask = as_array(mask, None, "mask")
    if mask.shape not in (v.shape, v.shape[1:]) or not np.all((mask == 0) | (mask == 1)):
        raise ValueError(
            f"mask must hold 1 where v is observed and 0 elsewhere, in the shape {v.shape} of v or "
            f"{v.shape[1:]} for all examples; got shape {mask.shape}."
        )
    mask = np.broadcast_to(mask, v.shape).astype(bool)
    if np.isnan(v[mask]).any():
        row, column = np.argwhere(np.isnan(v) & mask)[0]
        raise ValueError(
            f"v is NaN in row {row}, column {column}, where mask says that it is observed: set "
            "mask to 0 there."
        )
    return mask


def clamped_machine(rbm: RBMLike, v: ArrayLike, *, mask: ArrayLike | None = None) -> Machine:
    """The RBM whose visible units keep what is observed, each row of chains that of one example.

    Its columns are those of the RBM, and each example may miss other units. Chains of it that start
    anywhere draw from p(v_missing, h | v_observed).

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states, (num, num_visible).
        mask: where v is observed, as `observed_states` takes it; None: where it is not NaN.

    Returns:
        `Machine` with `Clamped` visible units.

    Raises:
        ValueError: as `observed_states`.

    Example:
        >>> machine = clamped_machine(BernoulliRBM(3, 2), [[1, np.nan, 0]])
        >>> machine.visible.mean(tf.zeros((1, 3))).numpy()
        array([[1. , 0.5, 0. ]], dtype=float32)
    """
    machine = machine_of(rbm)
    values = tf.constant(observed_states(machine.visible, v, mask=mask), machine.dtype)
    return Machine(*machine.parameters, Clamped(machine.visible, values), machine.hidden)


def conditional_machine(rbm: RBMLike, v: ArrayLike, *, mask: ArrayLike | None = None) -> Machine:
    """The RBM (W_m, a_m, b + v_o W_o) over the missing units alone, b' being one row an example.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        v: visible states, (num, num_visible), all of which miss the same units.
        mask: where v is observed, as `observed_states` takes it; None: where it is not NaN.

    Returns:
        `Machine` with the missing units as visible ones, and hidden_bias (num, num_hidden).

    Raises:
        ValueError: as `observed_states`, or if no unit is missing, or not the same ones in all
            examples.

    Example:
        >>> v = [[1, np.nan, 0], [0, np.nan, 0]]
        >>> machine = conditional_machine(BernoulliRBM(3, 2), v)
        >>> machine.visible, machine.hidden_bias.shape
        (Binary(1), TensorShape([2, 2]))
    """
    machine = machine_of(rbm)
    values = observed_states(machine.visible, v, mask=mask)
    missing = np.isnan(values)
    if not missing[0].any() or np.any(missing != missing[0]):
        raise ValueError(
            "A conditional machine is over the units that all examples miss, and only those: got "
            f"examples that miss {missing.sum(1).min()} to {missing.sum(1).max()} columns, not all "
            "the same or none. Where they differ, take clamped_machine."
        )
    states = tf.constant(np.where(missing, 0, values), machine.dtype)
    units = np.unique(machine.visible.unit_of_column[missing[0]])
    return over_units(machine, hidden_input(machine, states), units)


def over_units(machine: Machine, hidden_bias: tf.Tensor, units: np.ndarray) -> Machine:
    """The machine over some of its visible units, with other hidden biases.

    Args:
        machine: the `Machine`.
        hidden_bias: (num_hidden,), or (num, num_hidden).
        units: the numbers of the units, increasing integers, (num_units,).

    Returns:
        `Machine`.

    Example:
        >>> machine = machine_of(BernoulliRBM(3, 2))
        >>> over_units(machine, machine.hidden_bias, np.array([0, 2])).num_visible
        2
    """
    columns = np.flatnonzero(np.isin(machine.visible.unit_of_column, units))
    return Machine(
        tf.gather(machine.kernel, columns),
        tf.gather(machine.visible_bias, columns),
        hidden_bias,
        machine.visible.take(units),
        machine.hidden,
    )


def with_means(rbm: RBMLike, values: tf.Tensor) -> tf.Tensor:
    """States with the means of the training data where they are NaN, to begin chains from.

    A value that knows no data has those of its visible units without fields.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        values: visible states, NaN where they are missing, (num, num_visible).

    Returns:
        Tensor of the shape and the dtype of values.

    Example:
        >>> with_means(BernoulliRBM(2, 1), tf.constant([[1.0, np.nan]])).numpy()
        array([[1. , 0.5]], dtype=float32)
    """
    if hasattr(rbm, "visible_offset"):
        mean = tf.convert_to_tensor(rbm.visible_offset)
    else:
        mean = machine_of(rbm).visible.mean(tf.zeros(values.shape[-1], values.dtype))
    return tf.where(tf.math.is_nan(values), tf.cast(mean, values.dtype), values)
