"""The density of one continuous unit given all others, and whether it is one.

    ln p(t) = a_i t - U(t) + sum_j Gamma_j(b_j + (v W)_j + (t - v_i) W_ij) + constant

Its slope is a_i + sum_j W_ij <h_j> - U'(t), where the means <h_j> are those at v_i = t.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.machine import Machine
from rbm_tf.quadrature import log_integrals
from rbm_tf.shared.types import ArrayLike
from rbm_tf.units import Binary, Unit

_SWEEPS = 10  # towards the two fixed points that all peaks of a density lie between
_DEPTH = 40.0  # nats below the peaks where a tail is cut off
_REACH = 2.0 ** np.arange(-2, 21, 0.5)  # of a tail, in widths of the free unit
_LINE = 2.0 ** np.arange(-6, 21, 0.5)  # on either side of 0, where halves of units have peaks
NUM_POINTS = len(_REACH) + 2 * len(_LINE)  # of a tail, in memory at a time


class UnitDensity(NamedTuple):
    """The density of one continuous unit given all others, another one for each row; float64.

    Example:
        >>> machine = machine_of(RBM(units.Gaussian(2), units.Binary(1)), dtype="float64")
        >>> zero = np.zeros(1), np.zeros((1, 1)), [0]
        >>> density_given_others(machine, *zero).log_density(np.zeros((1, 1))).numpy().round(4)
        array([[0.6931]])
    """

    unit: Unit  # one unit, its parameters (num_rows, 1, 1)
    hidden: Unit
    own: tf.Tensor  # v_i, (num_rows, 1)
    bias: tf.Tensor  # a_i, (num_rows, 1)
    kernel: tf.Tensor  # W_i, (num_rows, 1, num_hidden)
    inputs: tf.Tensor  # b + v W, (num_rows, 1, num_hidden)

    def rows(self, chosen: tf.Tensor) -> UnitDensity:
        own = self.unit, self.own, self.bias, self.kernel, self.inputs
        unit, *tensors = tf.nest.map_structure(lambda x: tf.gather(x, chosen), own)
        return UnitDensity(unit, self.hidden, *tensors)

    def log_density(self, t: tf.Tensor) -> tf.Tensor:
        """ln p(t) without its constant, for points t (num_rows, num_points)."""
        linear = self.bias * t - self.unit.energy(t[..., tf.newaxis])[..., 0]
        return linear + tf.reduce_sum(self.hidden.cgf(self._hidden_input(t)), -1)

    def field(self, t: tf.Tensor) -> tf.Tensor:
        """a_i + sum_j W_ij <h_j> at v_i = t, which grows with t whatever the units."""
        mean = self.hidden.mean(self._hidden_input(t))
        return self.bias + tf.reduce_sum(self.kernel * mean, -1)

    def farthest_fields(self) -> list[tf.Tensor]:
        """What `field` can be: where hidden units have no bound, with their mean as it is."""
        mean = self.hidden.mean(self.inputs)
        bounds = [tf.where(np.isfinite(end), end + 0 * mean, mean) for end in self.hidden.bounds]
        low, high = (self.kernel * bound for bound in bounds)
        fields = tf.minimum(low, high), tf.maximum(low, high)
        return [self.bias + tf.reduce_sum(field, -1) for field in fields]

    def _hidden_input(self, t):
        return self.inputs + (t - self.own)[..., tf.newaxis] * self.kernel


def density_given_others(
    part: Machine, own: tf.Tensor, inputs: tf.Tensor, unit: np.ndarray
) -> UnitDensity:
    """The densities of visible units of one kind, in the place of each a value that it has.

    Args:
        part: the `Machine` of these units, float64.
        own: v_i, (num_rows,).
        inputs: b + v W, (num_rows, num_hidden).
        unit: the numbers i, (num_rows,).

    Returns:
        `UnitDensity`.

    Example:
        >>> machine = machine_of(RBM(units.Gaussian(2), units.Binary(1)), dtype="float64")
        >>> zero = np.zeros(1), np.zeros((1, 1)), [1]
        >>> density_given_others(machine, *zero).own.shape
        TensorShape([1, 1])
    """
    own, inputs = tf.convert_to_tensor(own), tf.convert_to_tensor(inputs)
    parameters = {
        name: tf.gather(value, unit, axis=-1)[:, tf.newaxis, tf.newaxis]
        for name, value in part.visible.parameters.items()
    }
    return UnitDensity(
        part.visible.take([0]).with_parameters(**parameters),
        part.hidden,
        own[:, tf.newaxis],
        tf.gather(part.visible_bias, unit)[:, tf.newaxis],
        tf.gather(part.kernel, unit)[:, tf.newaxis],
        inputs[:, tf.newaxis],
    )


def log_integral(density: UnitDensity, bounds: tuple[ArrayLike, ArrayLike]) -> np.ndarray:
    """ln int p(t) dt of each row, with p as `log_density` has it.

    Args:
        density: the `UnitDensity`.
        bounds: of the unit.

    Returns:
        (num_rows,), float64, nats.

    Raises:
        ValueError: if a density does not fall off.

    Example:
        >>> machine = machine_of(RBM(units.Gaussian(2), units.Binary(1)), dtype="float64")
        >>> density = density_given_others(machine, np.zeros(1), np.zeros((1, 1)), [0])
        >>> log_integral(density, machine.visible.bounds).round(1)  # ln 2 + ln(2 pi) / 2
        array([1.6])
    """
    fields = density.farthest_fields()
    for _ in range(_SWEEPS):
        ends = [density.unit.mean(field[..., tf.newaxis])[..., 0] for field in fields]
        fields = [density.field(end) for end in ends]
    level = tf.maximum(*(density.log_density(end) for end in ends)) - _DEPTH
    widths = [tf.sqrt(density.unit.variance(field[..., tf.newaxis]))[..., 0] for field in fields]
    low, high = (
        _tail(density, _outwards(end.numpy(), sign, sign * width * _REACH), level, bounds)
        for end, width, sign in zip(ends, widths, (-1, 1), strict=True)
    )
    return log_integrals(
        lambda rows, t: density.rows(rows).log_density(t),
        low,
        high,
        num_numbers=density.hidden.size,
    )


def _outwards(end, sign, reach):
    """The points of a tail, and those on the line beyond its end, on the way out."""
    line = np.broadcast_to(np.concatenate([-_LINE, _LINE]), (len(end), 2 * len(_LINE)))
    beyond = np.where(sign * (line - end) > 0, line, end)
    return sign * np.sort(sign * np.concatenate([end + reach, beyond], 1), 1)


def _tail(density, t, level, bounds):
    """The first of the points t, on the way out, from which on the density is below a level."""
    inside = np.clip(t, *bounds)
    outside = (t < bounds[0]) | (t > bounds[1])
    above = ~(outside | (density.log_density(inside) < level).numpy())
    if above[:, -1].any():
        raise ValueError(
            "A unit has no density given all others, since exp(-F_c) does not fall off: its "
            "precision is too small for its weights, or one of these is not finite. Make the "
            "kernel smaller."
        )
    last = above.shape[1] - 1 - np.argmax(above[:, ::-1], 1)
    first = np.where(above.any(1), last + 1, 0)
    return np.take_along_axis(inside, first[:, np.newaxis], 1)[:, 0]


def by_kind(machine: Machine) -> list[Machine]:
    """A machine for the visible units of each kind, of which `Mixed` layers have several.

    Args:
        machine: the `Machine`.

    Returns:
        One `Machine` for each kind, in the order of the columns.

    Example:
        >>> layer = units.Mixed([units.Gaussian(2), units.Binary(3)])
        >>> [part.visible for part in by_kind(machine_of(RBM(layer, units.Binary(1))))]
        [Gaussian(2), Binary(3)]
    """
    kinds = getattr(machine.visible, "units", [machine.visible])
    sizes = [kind.size for kind in kinds]
    rows = zip(
        tf.split(machine.kernel, sizes), tf.split(machine.visible_bias, sizes), kinds, strict=True
    )
    return [
        Machine(kernel, bias, machine.hidden_bias, kind, machine.hidden)
        for kernel, bias, kind in rows
    ]


def is_continuous(part: Machine) -> bool:
    """Whether exp(Gamma(x)) of visible units of one kind is the integral of exp(x t - U(t)).

    It is not for units with a list of states that has no end, such as counts: there it is a sum.

    Args:
        part: a `Machine`, float64, of which the visible units and their biases x count.

    Returns:
        True if ln of the integral is Gamma(x) to 1e-6 nats for each unit.

    Raises:
        ValueError: if the integral does not exist.

    Example:
        >>> is_continuous(machine_of(RBM(units.ReLU(3), units.Gaussian(2)), dtype="float64"))
        True
    """
    visible, zeros = part.visible, tf.zeros((part.visible.num, 1), tf.float64)
    free = Machine(zeros, part.visible_bias, zeros[0], visible, Binary(1))
    density = density_given_others(free, zeros[:, 0], zeros, np.arange(visible.num))
    found = log_integral(density, visible.bounds) - np.log(2)
    return np.allclose(found, visible.cgf(part.visible_bias), rtol=1e-12, atol=1e-6)
