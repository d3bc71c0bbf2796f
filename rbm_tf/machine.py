"""What a restricted Boltzmann machine is: a value, and pure functions of it.

E(v, h) = sum_i U(v_i) + sum_j U(h_j) - a.v - b.h - v^T W h (B1), where U is what the kind of the
units is; for binary units it is 0. Given one layer, the units of the other are independent;
everything that is summed or drawn in this package goes through their inputs, b + v W and a + W h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from rbm_tf.shared.types import DType, RBMLike
from rbm_tf.units import Binary, Unit

_LAYERS = ("visible", "hidden")


@dataclass(frozen=True, eq=False)
class Machine:
    """The parameters of an RBM as tensors; the kernel in the dtype that products are made in.

    Every function that takes an RBM takes an `RBM` or this value.

    Args:
        kernel: the kernel W, (num_visible, num_hidden).
        visible_bias: the visible bias a, (num_visible,).
        hidden_bias: the hidden bias b, (num_hidden,).
        visible: the visible units, of num_visible columns; `Binary` if None.
        hidden: the hidden units, of num_hidden columns; `Binary` if None.

    Example:
        >>> machine = Machine(tf.zeros((3, 2)), tf.zeros(3), tf.zeros(2))
        >>> machine.num_visible, machine.hidden
        (3, Binary(2))
    """

    kernel: tf.Tensor  # W, (num_visible, num_hidden)
    visible_bias: tf.Tensor  # a, (num_visible,)
    hidden_bias: tf.Tensor  # b, (num_hidden,)
    visible: Unit = None  # type: ignore[assignment]  # filled in below
    hidden: Unit = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name, size in zip(_LAYERS, self.kernel.shape, strict=False):
            if getattr(self, name) is None:
                object.__setattr__(self, name, Binary(size))

    def __tf_flatten__(self) -> tuple[Any, tuple[Any, ...]]:
        """How it passes into a `tf.function`, and through `tf.nest`.

        What must be equal for two machines to share a graph comes first.
        """
        kinds = [unit.__tf_flatten__()[0] for unit in (self.visible, self.hidden)]
        dtypes = [getattr(x, "dtype", None) for x in self.parameters]
        return (kinds, dtypes), (*self.parameters, self.visible, self.hidden)

    @classmethod
    def __tf_unflatten__(cls, _: Any, components: tuple[Any, ...]) -> Machine:
        return cls(*components)

    @property
    def parameters(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """W, a and b."""
        return self.kernel, self.visible_bias, self.hidden_bias

    @property
    def num_visible(self) -> int:
        """The columns of visible states: one for each unit, but one for each state of `Potts`."""
        return self.kernel.shape[0]

    @property
    def num_hidden(self) -> int:
        """The columns of hidden states: one for each unit, but one for each state of `Potts`."""
        return self.kernel.shape[1]

    @property
    def dtype(self) -> tf.DType:
        """Of the biases, and of states and free energies."""
        return self.visible_bias.dtype

    @property
    def transposed(self) -> Machine:
        """The same machine with the two layers exchanged."""
        kernel = tf.transpose(self.kernel)
        return Machine(kernel, self.hidden_bias, self.visible_bias, self.hidden, self.visible)

    def scaled(self, beta: float | tf.Tensor) -> Machine:
        """The machine at inverse temperature beta, which multiplies W, a and b.

        U, which makes the units what they are, stays: Gaussian units without their precision have
        no Z.
        """
        kernel, visible_bias, hidden_bias = (beta * x for x in self.parameters)
        return Machine(kernel, visible_bias, hidden_bias, self.visible, self.hidden)

    @property
    def is_binary(self) -> bool:
        """Whether both layers have units {0, 1}."""
        return isinstance(self.visible, Binary) and isinstance(self.hidden, Binary)


def machine_of(rbm: RBMLike, *, dtype: DType | None = None) -> Machine:
    """The value of an RBM, from the model or from the value itself.

    Args:
        rbm: `RBM`, `Machine`, or anything with kernel, visible_bias and hidden_bias; its units
            `visible` and `hidden` are `Binary` where it has none.
        dtype: the dtype of all tensors, converted from the variables themselves; None leaves
            each in its own, a model's kernel in the dtype that it makes products in.

    Returns:
        `Machine`.

    Raises:
        ValueError: if it has no such parts, or their shapes do not fit.

    Example:
        >>> machine_of(BernoulliRBM(6, 4)).num_hidden
        4
    """
    if dtype is None and hasattr(rbm, "machine"):
        return rbm.machine
    try:
        parts = rbm.kernel, rbm.visible_bias, rbm.hidden_bias
    except AttributeError as error:
        raise ValueError(
            "An RBM is an RBM or BernoulliRBM, a Machine, or anything with kernel, visible_bias "
            f"and hidden_bias; got a {type(rbm).__name__}."
        ) from error
    tensors = [tf.convert_to_tensor(part) for part in parts]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if len(shapes[0]) != 2 or shapes[1:] != [shapes[0][:1], shapes[0][1:]]:
        raise ValueError(
            "kernel, visible_bias and hidden_bias must have shapes (num_visible, num_hidden), "
            f"(num_visible,) and (num_hidden,); got {', '.join(map(str, shapes))}."
        )
    units = [_units_of(rbm, name, size) for name, size in zip(_LAYERS, shapes[0], strict=True)]
    tensors = [tensor if dtype is None else tf.cast(tensor, dtype) for tensor in tensors]
    return Machine(*tensors, *(_in_dtype(unit, tensors[1].dtype) for unit in units))


def _units_of(rbm, name, size):
    unit = getattr(rbm, name, None)
    unit = unit if isinstance(unit, Unit) else Binary(size)
    if unit.size != size:
        raise ValueError(
            f"{unit!r} take {unit.size} columns, but the kernel has {size} for the {name} layer: "
            "it has the shape (visible.size, hidden.size)."
        )
    return unit


def _in_dtype(unit: Any, dtype: DType) -> Any:
    """The units with tensors of a dtype as their parameters."""
    return tf.nest.map_structure(lambda x: tf.cast(x, dtype), unit)


def product(x: tf.Tensor, kernel: tf.Tensor, *, transpose: bool = False) -> tf.Tensor:
    """The product x W, or x W^T, made in the kernel's dtype and returned in that of x.

    Args:
        x: states, (batch, num_visible), or (batch, num_hidden) with transpose.
        kernel: the kernel W, (num_visible, num_hidden).
        transpose: whether to multiply by W^T.

    Returns:
        (batch, num_hidden), or (batch, num_visible) with transpose, in the dtype of x.

    Example:
        >>> product(tf.ones((1, 2)), tf.ones((2, 3))).numpy()
        array([[2., 2., 2.]], dtype=float32)
    """
    return tf.cast(tf.matmul(tf.cast(x, kernel.dtype), kernel, transpose_b=transpose), x.dtype)


def hidden_input(machine: Machine, v: tf.Tensor) -> tf.Tensor:
    """b + v W, what the hidden units feel.

    Args:
        machine: the `Machine`.
        v: visible states, (batch, num_visible).

    Returns:
        (batch, num_hidden), nats.

    Example:
        >>> hidden_input(machine_of(BernoulliRBM(6, 4)), tf.zeros((3, 6))).shape
        TensorShape([3, 4])
    """
    return machine.hidden_bias + product(v, machine.kernel)


def visible_input(machine: Machine, h: tf.Tensor) -> tf.Tensor:
    """a + W h, what the visible units feel.

    Args:
        machine: the `Machine`.
        h: hidden states, (batch, num_hidden).

    Returns:
        (batch, num_visible), nats.

    Example:
        >>> visible_input(machine_of(BernoulliRBM(6, 4)), tf.zeros((3, 4))).shape
        TensorShape([3, 6])
    """
    return machine.visible_bias + product(h, machine.kernel, transpose=True)


def energy(machine: Machine, v: tf.Tensor, h: tf.Tensor) -> tf.Tensor:
    """E(v, h) = sum_i U(v_i) + sum_j U(h_j) - a.v - b.h - v^T W h (B1).

    Args:
        machine: the `Machine`.
        v: visible states, (batch, num_visible).
        h: hidden states, (batch, num_hidden).

    Returns:
        (batch,), nats.

    Example:
        >>> machine = machine_of(BernoulliRBM(2, 1))
        >>> float(energy(machine, tf.ones((1, 2)), tf.zeros((1, 1)))[0])
        0.0
    """
    hidden = unit_energy(machine.hidden, h)
    return hidden - _visible_part(machine, v) - tf.reduce_sum(hidden_input(machine, v) * h, -1)


def clamped_free_energy(
    machine: Machine, v: tf.Tensor, *, inputs: tf.Tensor | None = None
) -> tf.Tensor:
    """F_c(v) = sum_i U(v_i) - a.v - sum_j Gamma_j(b_j + (v W)_j): hidden units summed out (B36).

    Gamma is the cumulant generating function of the hidden units, softplus for binary ones (B5).

    Args:
        machine: the `Machine`.
        v: visible states, (batch, num_visible).
        inputs: `hidden_input(machine, v)` where it is at hand, (batch, num_hidden).

    Returns:
        (batch,), nats; ln p(v) = -F_c(v) - ln Z.

    Example:
        >>> machine = machine_of(BernoulliRBM(2, 1))
        >>> float(clamped_free_energy(machine, tf.zeros((1, 2)))[0])  # -ln 2
        -0.6931471824645996
    """
    inputs = hidden_input(machine, v) if inputs is None else inputs
    return -_visible_part(machine, v) - tf.reduce_sum(machine.hidden.cgf(inputs), -1)


def unit_energy(unit: Unit, t: tf.Tensor) -> tf.Tensor | float:
    """sum_i U(t_i) of a layer; the number 0 for kinds whose U is 0, so that it costs nothing.

    Args:
        unit: the units.
        t: their states, (.., size).

    Returns:
        (..), nats, or 0.0.

    Example:
        >>> unit_energy(Binary(2), tf.ones((3, 2)))
        0.0
    """
    if type(unit).energy is Unit.energy:
        return 0.0
    return tf.reduce_sum(unit.energy(t), -1)


def linear_term(v: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """a.v for one vector of biases, or for biases that broadcast with the states.

    Args:
        v: states, (.., size).
        bias: (size,), which a matrix product takes, or (.., size).

    Returns:
        (..), nats.

    Example:
        >>> linear_term(tf.ones((2, 3)), tf.ones(3)).numpy()
        array([3., 3.], dtype=float32)
    """
    return tf.linalg.matvec(v, bias) if len(bias.shape) == 1 else tf.reduce_sum(v * bias, -1)


def _visible_part(machine, v):
    """a.v - sum_i U(v_i), (batch,)."""
    return linear_term(v, machine.visible_bias) - unit_energy(machine.visible, v)
