"""G, the free energy of an RBM of any units as a function of its means, at their conjugate fields.

x and y are the fields in which units without neighbours have the means m = kappa_1(x) and
n = kappa_1(y). They are not the inputs a + W n and b + m W; every cumulant below is taken at them.
With dv = v - m and dh = h - n, and averages over the product of units in the fields x and y,

    G = sum_i Gamma_i*(m_i) + sum_j Gamma_j*(n_j) - a.m - b.n - m^T W n     order 1, naive
        - 1/2 sum_ij <(dv_i W_ij dh_j)^2>                                   order 2, Onsager
        - 1/6 sum_ij <(dv_i W_ij dh_j)^3>                                   order 3

where the averages are W_ij^k kappa_k(x_i) kappa_k(y_j) for units whose states are numbers. A unit
of `Potts` takes its columns of W together: dv_i W_ij is then a sum over its states. The TAP
equations are dG/dm = dG/dn = 0, or x = a + W n + reaction. For binary units G is the Gamma of
`rbm_tf.mean_field.plefka` (B26).

Means alone are fixed here, not variances. In large dense machines order 2 is therefore wrong by an
amount that grows with their size, unless kappa_4 - kappa_3^2/kappa_2 + 2 kappa_2^2 = 0, which
binary units and spins fulfil: `rbm_tf.mean_field.two_moments` fixes both.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from rbm_tf.machine import Machine
from rbm_tf.mean_field.bonds import (
    bond_moments,
    bond_reaction,
    has_vectors,
    layer_means,
    layer_parts,
)


class Averages(NamedTuple):
    """Minus the explicit derivatives of a mean-field free energy, means over the starts."""

    visible: tf.Tensor  # <v>, (num_visible,)
    hidden: tf.Tensor  # <h>, (num_hidden,)
    correlation: tf.Tensor  # <v h^T>, (num_visible, num_hidden)
    visible_slopes: dict[str, tf.Tensor]  # d ln Z / d parameter of the visible units
    hidden_slopes: dict[str, tf.Tensor]  # and of the hidden units


def gamma_at(machine: Machine, x: tf.Tensor, y: tf.Tensor, order: int) -> tf.Tensor:
    """G at the means of the conjugate fields x and y.

    Args:
        machine: the `Machine`.
        x: conjugate fields of the visible units, (num_starts, num_visible).
        y: conjugate fields of the hidden units, (num_starts, num_hidden).
        order: the last order that counts, 1, 2 or 3.

    Returns:
        (num_starts,), nats.

    Reference: Plefka (1982); Georges and Yedidia (1991); Maillard et al. (2019), High-temperature
    expansions and message passing algorithms; B41, and B26 for binary units.

    Example:
        >>> layers = units.Spin(2), units.Binary(1)
        >>> machine = Machine(tf.zeros((2, 1)), tf.zeros(2), tf.zeros(1), *layers)
        >>> gamma_at(machine, tf.zeros((1, 2)), tf.zeros((1, 1)), 1).numpy()  # -3 ln 2
        array([-2.0794415], dtype=float32)
    """
    own, others = layer_parts(machine.visible, x, order), layer_parts(machine.hidden, y, order)
    m, n = layer_means(own), layer_means(others)
    total = tf.reduce_sum(machine.visible.cgf_conjugate_at(x), -1)
    total += tf.reduce_sum(machine.hidden.cgf_conjugate_at(y), -1)
    total -= tf.reduce_sum(m * machine.visible_bias, -1)
    total -= tf.reduce_sum((machine.hidden_bias + tf.matmul(m, machine.kernel)) * n, -1)
    return total - _bond_terms(machine.kernel, own, others, order)


def damped_fields(
    machine: Machine,
    x: tf.Tensor,
    y: tf.Tensor,
    order: int,
    *,
    damping: float | tf.Tensor = 0.5,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Update x from y, then y from x, by the TAP equations.

    Args:
        machine: the `Machine`.
        x: conjugate fields of the visible units, (num_starts, num_visible).
        y: conjugate fields of the hidden units, (num_starts, num_hidden).
        order: the last order that counts, 1, 2 or 3.
        damping: the share of the old value that stays.

    Returns:
        The new x and y.

    Example:
        >>> layers = units.Spin(2), units.Binary(1)
        >>> machine = Machine(tf.zeros((2, 1)), tf.ones(2), tf.zeros(1), *layers)
        >>> damped_fields(machine, tf.zeros((1, 2)), tf.zeros((1, 1)), order=2)[0].numpy()
        array([[0.5, 0.5]], dtype=float32)
    """
    kernel, a, b = machine.parameters
    own = layer_parts(machine.visible, x, order + 1)
    others = layer_parts(machine.hidden, y, order + 1)
    x = damping * x + (1 - damping) * _field(kernel, a, own, others, order)
    own = layer_parts(machine.visible, x, order)
    y = damping * y + (1 - damping) * _field(tf.transpose(kernel), b, others, own, order)
    return x, y


def averages_at(machine: Machine, x: tf.Tensor, y: tf.Tensor, order: int) -> Averages:
    """<v>, <h>, <v h^T> and the slopes of ln Z: minus the derivatives of G at fixed means.

    Where G is stationary in the means these are all there is of its derivatives. Elsewhere order 1
    still gives the averages over the product of units in the fields x and y.

    Args:
        machine: the `Machine`, in the dtype of x and y.
        x: conjugate fields of the visible units, (num_starts, num_visible).
        y: conjugate fields of the hidden units, (num_starts, num_hidden).
        order: the last order that counts, 1, 2 or 3.

    Returns:
        `Averages`, means over the starts.

    Example:
        >>> layers = units.Gaussian(2), units.Binary(1)
        >>> machine = Machine(tf.zeros((2, 1)), tf.ones(2), tf.zeros(1), *layers)
        >>> machine = machine_of(machine, dtype="float32")
        >>> averages = averages_at(machine, tf.ones((1, 2)), tf.zeros((1, 1)), 2)
        >>> averages.visible_slopes["log_precision"].numpy()  # minus g <v^2> / 2
        array([-1., -1.], dtype=float32)
    """
    parameters = machine.kernel, machine.visible.parameters, machine.hidden.parameters
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        own = layer_parts(machine.visible, x, order + 1)
        others = layer_parts(machine.hidden, y, order + 1)
        total = _bond_terms(machine.kernel, own, others, order)
        total += tf.reduce_sum(machine.visible.cgf(x), -1)
        total += tf.reduce_sum(machine.hidden.cgf(y), -1)
        m, n = layer_means(own), layer_means(others)
        for mean, back in zip((m, n), _reactions(machine.kernel, own, others, order), strict=True):
            total -= tf.reduce_sum(mean * tf.stop_gradient(back), -1)  # x moves, to keep the mean
        total = tf.reduce_mean(total)
    pair, *slopes = tape.gradient(total, parameters, unconnected_gradients="zero")
    pair += tf.matmul(m, n, transpose_a=True) / tf.cast(tf.shape(m)[0], m.dtype)
    return Averages(tf.reduce_mean(m, 0), tf.reduce_mean(n, 0), pair, *slopes)


class FieldTheory(NamedTuple):
    """Plefka's expansion for machines of any units; its state is the pair of fields x, y."""

    machine: Machine
    order: int

    def start(self, num_starts: int, seed: int | None) -> tuple[tf.Tensor, tf.Tensor]:
        """Fields to begin with: of visible units without fields at their mean, then at random."""
        machine = self.machine
        free = tf.zeros((num_starts, machine.num_visible), machine.dtype)
        random = machine.visible.sample(free, seed=seed)
        m = tf.concat([machine.visible.mean(free[:1]), random[1:]], 0)
        y = machine.hidden_bias + tf.matmul(m, machine.kernel)
        n = machine.hidden.mean(y)
        return machine.visible_bias + tf.matmul(n, machine.kernel, transpose_b=True), y

    def step(
        self, state: tuple[tf.Tensor, tf.Tensor], damping: float | tf.Tensor = 0.5
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One step of the damped iteration."""
        return damped_fields(self.machine, *state, self.order, damping=damping)

    def gamma(self, state: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """The free energy, (num_starts,)."""
        return gamma_at(self.machine, *state, self.order)

    def fields(self, state: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """The conjugate fields."""
        return state

    def averages(self, state: tuple[tf.Tensor, tf.Tensor]) -> Averages:
        """The averages over the starts."""
        return averages_at(self.machine, *state, self.order)


def _bond_terms(kernel, own, others, order):
    """Minus the terms of G of orders 2 .. order."""
    moments = bond_moments(kernel, own, others, order)
    return sum(moment / math.factorial(k) for k, moment in enumerate(moments, 2))


def _reactions(kernel, own, others, order):
    """Those on either layer."""
    yield bond_reaction(kernel, own, others, order)
    yield bond_reaction(tf.transpose(kernel), others, own, order)


def _field(kernel, bias, own, others, order):
    """a + W n + reaction, what the conjugate fields x are where G is stationary."""
    field = bias + tf.matmul(layer_means(others), kernel, transpose_b=True)
    field += bond_reaction(kernel, own, others, order)
    return tf.concat([_of_mean_zero(part.unit, field[..., part.columns]) for part in own], -1)


def _of_mean_zero(unit, x):
    """The fields of vectors less their mean over the states; others as they are."""
    if not has_vectors(unit):
        return x
    split = tf.reshape(x, (-1, unit.num, unit.size // unit.num))
    return tf.reshape(split - tf.reduce_mean(split, -1, keepdims=True), tf.shape(x))
