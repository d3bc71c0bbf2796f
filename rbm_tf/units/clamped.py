"""Units of which some are held at given states."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from rbm_tf.shared.types import ArrayLike
from rbm_tf.units.structure import Kind
from rbm_tf.units.unit import Unit


class Clamped(Unit):
    """Units of another kind, those held at given states whose columns are not NaN.

    A unit at the state t has Gamma(x) = x t - U(t), the mean t and no variance; the others are what
    they were. With rows of states, of which each holds units of its own, fields need as many rows.
    A machine of such visible units is the RBM given what is observed: its chains keep the states,
    and its ln Z is that of all that is left. A layer of them cannot be enumerated, nor trained.

    Args:
        unit: the units.
        values: states, (.., size), NaN in all columns of a unit that is free.

    Raises:
        ValueError: if values do not have unit.size columns.

    Example:
        >>> unit = Clamped(Gaussian(2), [3.0, np.nan])
        >>> unit.mean([1.0, 1.0]).numpy(), unit.cgf([1.0, 1.0]).numpy().round(3)
        (array([3., 1.], dtype=float32), array([-1.5  ,  1.419], dtype=float32))
    """

    def __init__(self, unit: Unit, values: ArrayLike) -> None:
        super().__init__(unit.num)
        self.unit = unit
        self.parameters = {"values": unit.fields(values)}

    @property
    def size(self) -> int:
        return self.unit.size

    @property
    def unit_of_column(self) -> np.ndarray:
        return self.unit.unit_of_column

    @property
    def free(self) -> tf.Tensor:
        """Whether each column belongs to a unit that is free, (.., size)."""
        return tf.math.is_nan(self.parameters["values"])

    def take(self, indices: ArrayLike) -> Unit:
        chosen = self._chosen(indices)
        columns = np.concatenate([np.flatnonzero(self.unit_of_column == i) for i in chosen])
        return Clamped(
            self.unit.take(chosen), tf.gather(self.parameters["values"], columns, axis=-1)
        )

    def cgf(self, x: ArrayLike) -> tf.Tensor:
        x = self.fields(x)
        states = tf.where(self.free, tf.zeros_like(x), self.parameter("values", x))
        held = self._unit_sums(x * states) - self.unit.energy(states)
        return tf.where(self._free_units(), self.unit.cgf(x), held)

    def mean(self, x: ArrayLike) -> tf.Tensor:
        return self._put(self.unit.mean(x))

    def cumulants(self, x: ArrayLike, max_order: int) -> tf.Tensor:
        kappa = self.unit.cumulants(x, max_order)
        zero = tf.zeros_like(kappa[1:])
        return tf.concat([self._put(kappa[:1]), tf.where(self.free, kappa[1:], zero)], 0)

    def cumulants_along(self, x: tf.Tensor, direction: tf.Tensor, max_order: int) -> tf.Tensor:
        kappa = self.unit.cumulants_along(x, direction, max_order)
        mean = self._unit_sums(self.mean(x) * direction)
        later = tf.where(self._free_units(), kappa[1:], tf.zeros_like(kappa[1:]))
        return tf.concat([mean[tf.newaxis], later], 0)

    def energy(self, t: ArrayLike) -> tf.Tensor:
        return self.unit.energy(t)

    def sample(self, x: ArrayLike, *, seed: Any) -> tf.Tensor:
        return self._put(self.unit.sample(x, seed=seed))

    def check(self, t: Any, *, name: str = "x", means: bool = False) -> np.ndarray:
        return self.unit.check(t, name=name, means=means)

    def __tf_flatten__(self) -> tuple[Any, tuple[Any, ...]]:
        return Kind(self, "unit"), (self.unit, self.parameters["values"])

    @classmethod
    def __tf_unflatten__(cls, kind: Any, components: tuple[Any, ...]) -> Clamped:
        clamped = super().__tf_unflatten__(kind, components[1:])
        clamped.unit = components[0]
        return clamped

    def __repr__(self) -> str:
        return f"Clamped({self.unit!r})"

    def _put(self, states):
        """The states with those of the units that are held in their places."""
        return tf.where(self.free, states, self.parameter("values", states))

    def _free_units(self):
        firsts = np.unique(self.unit_of_column, return_index=True)[1]
        return tf.gather(self.free, firsts, axis=-1)

    def _unit_sums(self, x: tf.Tensor) -> tf.Tensor:
        return self.unit._unit_sums(x)
