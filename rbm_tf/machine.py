"""What a restricted Boltzmann machine is: a value, and pure functions of it.

E(v, h) = -a.v - b.h - v^T W h with units {0, 1} (B1). Given one layer, the units of the other are
independent; everything that is summed or drawn in this package goes through their inputs,
b + v W and a + W h.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from rbm_tf.shared.types import DType, RBMLike


class Machine(NamedTuple):
    """The parameters of an RBM as tensors; the kernel in the dtype that products are made in.

    Every function that takes an RBM takes a `BernoulliRBM` or this value.

    Example:
        >>> machine = Machine(tf.zeros((3, 2)), tf.zeros(3), tf.zeros(2))
        >>> machine.num_visible, machine.num_hidden
        (3, 2)
    """

    kernel: tf.Tensor  # W, (num_visible, num_hidden)
    visible_bias: tf.Tensor  # a, (num_visible,)
    hidden_bias: tf.Tensor  # b, (num_hidden,)

    @property
    def num_visible(self) -> int:
        """Number of visible units."""
        return self.kernel.shape[0]

    @property
    def num_hidden(self) -> int:
        """Number of hidden units."""
        return self.kernel.shape[1]

    @property
    def dtype(self) -> tf.DType:
        """Of the biases, and of states and free energies."""
        return self.visible_bias.dtype


def machine_of(rbm: RBMLike, *, dtype: DType | None = None) -> Machine:
    """The value of an RBM, from the model or from the value itself.

    Args:
        rbm: `BernoulliRBM`, `Machine`, or anything with kernel, visible_bias and hidden_bias.
        dtype: the dtype of all three tensors, converted from the variables themselves; None leaves
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
            "An RBM is a BernoulliRBM, a Machine, or anything with kernel, visible_bias and "
            f"hidden_bias; got a {type(rbm).__name__}."
        ) from error
    tensors = [tf.convert_to_tensor(part) for part in parts]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if len(shapes[0]) != 2 or shapes[1:] != [shapes[0][:1], shapes[0][1:]]:
        raise ValueError(
            "kernel, visible_bias and hidden_bias must have shapes (num_visible, num_hidden), "
            f"(num_visible,) and (num_hidden,); got {', '.join(map(str, shapes))}."
        )
    return Machine(*(tensor if dtype is None else tf.cast(tensor, dtype) for tensor in tensors))


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
    """E(v, h) = -a.v - b.h - v^T W h (B1).

    Args:
        machine: the `Machine`.
        v: visible states, (batch, num_visible).
        h: hidden states, (batch, num_hidden).

    Returns:
        (batch,), nats.

    Example:
        >>> machine = machine_of(BernoulliRBM(2, 1))
        >>> float(energy(machine, tf.zeros((1, 2)), tf.zeros((1, 1)))[0])
        -0.0
    """
    visible = tf.linalg.matvec(v, machine.visible_bias)
    return -visible - tf.reduce_sum(hidden_input(machine, v) * h, -1)


def clamped_free_energy(
    machine: Machine, v: tf.Tensor, *, inputs: tf.Tensor | None = None
) -> tf.Tensor:
    """F_c(v) = -a.v - sum_j softplus(b_j + (v W)_j), the hidden units summed out (B5).

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
    visible = tf.linalg.matvec(v, machine.visible_bias)
    return -visible - tf.reduce_sum(tf.math.softplus(inputs), -1)


def binary_states(
    num_units: int, *, first: int | tf.Tensor = 0, num_states: int | tf.Tensor | None = None
) -> tf.Tensor:
    """All states of binary units, or some of them, as rows: the bits of their numbers.

    Args:
        num_units: the number of units of a layer; the first column is the lowest bit.
        first: the number of the first state.
        num_states: how many states, by default 2 ** num_units.

    Returns:
        (num_states, num_units), float64.

    Example:
        >>> binary_states(2).numpy().tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    num_states = tf.bitwise.left_shift(1, num_units) if num_states is None else num_states
    numbers = (first + tf.range(num_states))[:, tf.newaxis]
    return tf.cast(tf.bitwise.right_shift(numbers, tf.range(num_units)) & 1, "float64")
