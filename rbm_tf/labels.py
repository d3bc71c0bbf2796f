"""A label as the last visible unit: p(y | v) is exact, whatever the hidden units.

The visible layer is `Mixed`, and its last part one `Potts` unit of q states y with the weights R
(q, num_hidden) and the biases d. All that does not depend on y cancels:

    ln p(y | v) = log softmax_y [d_y + sum_j Gamma_j(b_j + (v W)_j + R_yj)]
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from rbm_tf.machine import Machine, machine_of, product
from rbm_tf.shared.arrays import as_array
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.units import Mixed, Potts, Unit

_NUMBERS = 2**22  # hidden fields that are in memory at a time


def num_classes_of(visible: Unit) -> int:
    """The number q of states of the label, the last part of a visible layer.

    Args:
        visible: the visible units.

    Returns:
        Integer.

    Raises:
        ValueError: if the last part is not one `Potts` unit behind others.

    Example:
        >>> num_classes_of(Mixed([Binary(784), Potts(1, 10)]))
        10
    """
    parts = visible.units if isinstance(visible, Mixed) else []
    if len(parts) < 2 or not isinstance(parts[-1], Potts) or parts[-1].num != 1:
        raise ValueError(
            "A label is one Potts unit, the last of the visible ones, as in units.Mixed(["
            f"units.Binary(784), units.Potts(1, 10)]); got {visible!r}."
        )
    return parts[-1].num_states


def log_p_label(rbm: RBMLike, v: ArrayLike) -> tf.Tensor:
    """ln p(y | v) of every label, exactly; it costs little more than one product v W.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM, whose last visible
            unit is the label.
        v: states of the other visible units, (num, num_visible - num_classes).

    Returns:
        (num, num_classes), nats.

    Raises:
        ValueError: if there is no such label, or v are no states of the other units.

    Reference: Larochelle and Bengio (2008), Classification using discriminative restricted
    Boltzmann machines.

    Example:
        >>> rbm = RBM(units.Mixed([units.Binary(4), units.Potts(1, 3)]), units.Binary(2), seed=0)
        >>> log_p_label(rbm, np.eye(4)).numpy()[0].round(1)  # untrained: -ln 3
        array([-1.1, -1.1, -1.1], dtype=float32)
    """
    machine = machine_of(rbm)
    num_classes = num_classes_of(machine.visible)
    v = as_array(v, None, "v")
    if v.ndim == 2 and v.shape[1] == machine.num_visible:
        raise ValueError(
            f"v has {v.shape[1]} columns, those of the label among them: give v[:, :-{num_classes}]"
            ", of which rbm_tf.labels.without_labels makes both."
        )
    others = machine.visible.take(range(machine.visible.num - 1))
    v = tf.cast(others.check(v, name="v"), machine.dtype)
    at_a_time = max(1, _NUMBERS // (num_classes * machine.num_hidden))
    blocks = [v[first : first + at_a_time] for first in range(0, len(v), at_a_time)]
    return tf.concat([log_softmax_of_labels(machine, block) for block in blocks], 0)


def classify(rbm: RBMLike, v: ArrayLike) -> np.ndarray:
    """The label of the largest p(y | v).

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM, whose last visible
            unit is the label.
        v: states of the other visible units, (num, num_visible - num_classes).

    Returns:
        (num,) integers.

    Raises:
        ValueError: as `log_p_label`.

    Example:
        >>> rbm = RBM(units.Mixed([units.Binary(4), units.Potts(1, 3)]), units.Binary(2), seed=0)
        >>> bias = rbm.visible_bias.assign([0, 0, 0, 0, 0, 2, 0])
        >>> classify(rbm, np.eye(4))
        array([1, 1, 1, 1])
    """
    return np.argmax(log_p_label(rbm, v), -1)


def log_softmax_of_labels(machine: Machine, v: tf.Tensor) -> tf.Tensor:
    """ln p(y | v) as `log_p_label`, of tensors that were checked; differentiable.

    Args:
        machine: the `Machine`.
        v: states of the visible units other than the label, (batch, num_visible - num_classes).

    Returns:
        (batch, num_classes), nats.

    Example:
        >>> visible = Mixed([Binary(1), Potts(1, 2)])
        >>> machine = Machine(tf.zeros((3, 2)), tf.zeros(3), tf.zeros(2), visible)
        >>> log_softmax_of_labels(machine, tf.ones((1, 1))).numpy().round(2)  # -ln 2
        array([[-0.69, -0.69]], dtype=float32)
    """
    num_classes = num_classes_of(machine.visible)
    fields = machine.hidden_bias + product(v, machine.kernel[:-num_classes])
    by_label = fields[:, tf.newaxis] + tf.cast(machine.kernel[-num_classes:], fields.dtype)
    logits = tf.reduce_sum(machine.hidden.cgf(by_label), -1)  # of (batch, num_classes, num_hidden)
    return tf.nn.log_softmax(machine.visible_bias[-num_classes:] + logits)


def with_labels(x: ArrayLike, y: ArrayLike, num_classes: int) -> np.ndarray:
    """Data and their labels as states of `Mixed([.., Potts(1, num_classes)])`.

    Args:
        x: states of the other visible units, (num, ..), flattened.
        y: integers from 0 to num_classes - 1, (num,); -1 is a label that is missing.
        num_classes: the number of labels.

    Returns:
        NumPy array (num, size of an x + num_classes), float32, or float64 as x; NaN in the
        columns of labels that are missing.

    Raises:
        ValueError: if y are not as many such integers.

    Example:
        >>> with_labels([[1, 0], [0, 0]], [2, -1], num_classes=3)
        array([[ 1.,  0.,  0.,  0.,  1.],
               [ 0.,  0., nan, nan, nan]], dtype=float32)
    """
    check_counts(2, num_classes=num_classes)
    x, y = as_array(x, None), as_array(y, None, "y")
    is_label = (y >= -1) & (y < num_classes) & (y == np.floor(y))
    if y.shape != x.shape[:1] or not x.shape or not np.all(is_label):
        raise ValueError(
            f"y must hold one integer from 0 to {num_classes - 1}, or -1 where it is missing, for "
            f"each row of x; got shape {y.shape} for x of shape {x.shape}, "
            f"and {np.sum(~is_label)} others."
        )
    x = x.reshape(len(x), -1).astype(x.dtype if x.dtype == np.float64 else np.float32)
    one_hot = np.eye(num_classes, dtype=x.dtype)[y.astype(int)]
    one_hot[y == -1] = np.nan
    return np.concatenate([x, one_hot], 1)


def without_labels(v: ArrayLike, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The data and the labels that `with_labels` put together.

    Args:
        v: visible states, (num, num_visible), the last num_classes columns the label's.
        num_classes: the number of labels.

    Returns:
        x (num, num_visible - num_classes); y (num,) integers, -1 where the label is NaN.

    Raises:
        ValueError: if there are not more columns than that.

    Example:
        >>> x, y = without_labels([[1, 0, 0, 0, 1]], num_classes=3)
        >>> x.tolist(), y.tolist()
        ([[1, 0]], [2])
    """
    check_counts(2, num_classes=num_classes)
    v = as_array(v, None, "v")
    if v.ndim != 2 or v.shape[1] <= num_classes:
        raise ValueError(
            f"v must have shape (num, num_visible) with more than {num_classes} columns; got "
            f"{v.shape}."
        )
    x, one_hot = v[:, :-num_classes], v[:, -num_classes:]
    return x, np.where(np.isnan(one_hot).any(1), -1, np.argmax(one_hot, 1))
