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
from collections.abc import Callable, Iterator
from typing import NamedTuple

import tensorflow as tf

from rbm_tf.machine import Machine
from rbm_tf.units import Mixed, Unit


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
    m, n = machine.visible.mean(x), machine.hidden.mean(y)
    total = tf.reduce_sum(machine.visible.cgf_conjugate_at(x), -1)
    total += tf.reduce_sum(machine.hidden.cgf_conjugate_at(y), -1)
    total -= tf.reduce_sum(m * machine.visible_bias, -1)
    total -= tf.reduce_sum((machine.hidden_bias + tf.matmul(m, machine.kernel)) * n, -1)
    return total - _bond_terms(machine, x, y, order)


def bond_moments(machine: Machine, x: tf.Tensor, y: tf.Tensor, order: int) -> list[tf.Tensor]:
    """sum_ij <(dv_i W_ij dh_j)^k> for k from 2 to an order, in the fields x and y.

    Args:
        machine: the `Machine`.
        x: fields of the visible units, (num_starts, num_visible).
        y: fields of the hidden units, (num_starts, num_hidden).
        order: the highest k, 2 or 3.

    Returns:
        order - 1 tensors (num_starts,), nats^k.

    Example:
        >>> machine = Machine(tf.fill((2, 1), 3.0), tf.zeros(2), tf.zeros(1))
        >>> bond_moments(machine, tf.zeros((1, 2)), tf.zeros((1, 1)), 2)[0].numpy()  # 2 * 9 / 16
        array([1.125], dtype=float32)
    """
    totals = [tf.zeros_like(x[..., 0]) for _ in range(2, order + 1)]
    for left, rows in parts_of(machine.visible):
        for right, columns in parts_of(machine.hidden):
            kernel = machine.kernel[rows, columns]
            block = _moments(left, x[..., rows], kernel, right, y[..., columns], order)
            totals = [total + moment for total, moment in zip(totals, block, strict=True)]
    return totals


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
    x = damping * x + (1 - damping) * _field(machine, x, y, order)
    y = damping * y + (1 - damping) * _field(machine.transposed, y, x, order)
    return x, y


def explicit_averages(
    machine: Machine,
    means: tuple[tf.Tensor, tf.Tensor],
    free_energy: Callable[[Machine], tf.Tensor],
) -> Averages:
    """The averages that a stationary free energy gives: minus its derivatives in the parameters.

    It is stationary in the means, so that only the explicit derivatives are left.

    Args:
        machine: the `Machine`.
        means: <v> and <h>, (num_starts, num_visible) and (num_starts, num_hidden).
        free_energy: function of a `Machine` with the means held fixed, (num_starts,).

    Returns:
        `Averages`.

    Example:
        >>> machine = Machine(tf.zeros((2, 1)), tf.ones(2), tf.zeros(1))
        >>> x, y = tf.ones((1, 2)), tf.zeros((1, 1))
        >>> means = machine.visible.mean(x), machine.hidden.mean(y)
        >>> explicit_averages(machine, means, lambda m: gamma_at(m, x, y, 2)).hidden.numpy()
        array([0.5], dtype=float32)
    """
    parameters = machine.kernel, machine.visible.parameters, machine.hidden.parameters
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        total = -tf.reduce_mean(free_energy(machine))
    slopes = tape.gradient(total, parameters, unconnected_gradients="zero")
    return Averages(*(tf.reduce_mean(mean, 0) for mean in means), *slopes)


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
        """The averages over the starts, also where the iteration has not settled."""

        def free_energy(machine):
            x, y = (
                _at_fixed_mean(unit, fields)
                for unit, fields in zip((machine.visible, machine.hidden), state, strict=True)
            )
            return gamma_at(machine, x, y, self.order)

        x, y = state
        means = self.machine.visible.mean(x), self.machine.hidden.mean(y)
        return explicit_averages(self.machine, means, free_energy)


def parts_of(unit: Unit, first: int = 0) -> Iterator[tuple[Unit, slice]]:
    """Yield the layers of one kind that a layer consists of, each with its columns.

    Args:
        unit: the units.
        first: the number of their first column.

    Example:
        >>> list(parts_of(units.Mixed([units.Binary(2), units.Spin(3)])))
        [(Binary(2), slice(0, 2, None)), (Spin(3), slice(2, 5, None))]
    """
    if not isinstance(unit, Mixed):
        yield unit, slice(first, first + unit.size)
        return
    for part in unit.units:
        yield from parts_of(part, first)
        first += part.size


def has_vectors(unit: Unit) -> bool:
    """Whether the states of a unit are vectors, as those of `Potts`.

    Args:
        unit: units of one kind.

    Example:
        >>> has_vectors(units.Potts(2, 3)), has_vectors(units.Binary(2))
        (True, False)
    """
    return unit.size != unit.num


def _bond_terms(machine, x, y, order):
    """Minus the terms of G of orders 2 .. order."""
    moments = bond_moments(machine, x, y, order)
    terms = [moment / math.factorial(k) for k, moment in enumerate(moments, 2)]
    return tf.add_n([tf.zeros_like(x[..., 0]), *terms])


def _moments(left, x, kernel, right, y, order):
    """`bond_moments` between layers of one kind each."""
    orders = range(2, order + 1)
    if has_vectors(right) and not has_vectors(left):
        left, x, kernel, right, y = right, y, tf.transpose(kernel), left, x
    if not orders:
        return []
    if not has_vectors(left):
        kappa, other = left.cumulants(x, order), right.cumulants(y, order)
        sums = [tf.matmul(other[k - 1], kernel**k, transpose_b=True) for k in orders]
        return [
            tf.reduce_sum(kappa[k - 1] * term, -1) for k, term in zip(orders, sums, strict=True)
        ]
    directions = tf.transpose(kernel)  # what each column of h multiplies, (columns, rows)
    if has_vectors(right):  # <(w.dv)^k>, w = W (h - n), in each state h of a unit
        n = right.mean(y)
        blocks = tf.reshape(n[..., tf.newaxis] * directions, (-1, right.num, *_block(right, left)))
        means = tf.reduce_sum(blocks, 2, keepdims=True)  # W n, of each unit
        split = tf.reshape(directions, (right.num, *_block(right, left)))
        directions = tf.reshape(split - means, (-1, right.size, left.size))
        weights = [n for _ in orders]
    else:
        weights = tf.unstack(right.cumulants(y, order))[1:]
    along = left.cumulants_along(x[..., tf.newaxis, :], directions, order)[1:]
    per_column = tf.reduce_sum(along, -1)  # (order - 1, num_starts, columns)
    return [tf.reduce_sum(w * s, -1) for w, s in zip(weights, tf.unstack(per_column), strict=True)]


def _block(right, left):
    return right.size // right.num, left.size


def _field(machine, x, y, order):
    """a + W n + reaction, what the conjugate fields x are where G is stationary."""
    field = machine.visible_bias + tf.matmul(
        machine.hidden.mean(y), machine.kernel, transpose_b=True
    )
    if order > 1:
        field += _reaction(machine, x, y, order)
    return _by_part(_of_mean_zero, machine.visible, field)


def _reaction(machine, x, y, order):
    """Minus the derivative of G's terms of orders 2 .. order in the means m of the visible units.

    The slope in x, divided by dm/dx. For the entries of one Potts unit that is p_a, as their slopes
    add up to 0: a number added to all its fields changes nothing.
    """
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(_bond_terms(machine, x, y, order))
    slope = tape.gradient(total, x, unconnected_gradients="zero")

    def response(unit, x):
        return unit.mean(x) if has_vectors(unit) else unit.variance(x)

    return tf.math.divide_no_nan(slope, _by_part(response, machine.visible, x))


def _of_mean_zero(unit, x):
    """The fields of Potts units less their mean over the states; others as they are."""
    if not has_vectors(unit):
        return x
    split = tf.reshape(x, (-1, unit.num, unit.size // unit.num))
    return tf.reshape(split - tf.reduce_mean(split, -1, keepdims=True), tf.shape(x))


def _by_part(function, unit, x):
    return tf.concat([function(part, x[..., columns]) for part, columns in parts_of(unit)], -1)


def _at_fixed_mean(unit, x):
    """x, whose derivatives in the parameters of the unit are those at a fixed mean."""
    if not unit.parameters:
        return x
    mean, variance = tf.unstack(unit.cumulants(x, 2))
    moved = mean - tf.stop_gradient(mean)
    return x - tf.math.divide_no_nan(moved, tf.stop_gradient(variance))
