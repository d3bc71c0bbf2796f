"""Layers of several kinds of units, side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike
from rbm_tf.units.structure import Kind
from rbm_tf.units.unit import Unit, state_numbers


@keras.saving.register_keras_serializable(package="rbm_tf")
class Mixed(Unit):
    """A layer whose columns are shared out to layers of one kind each, in their order.

    One vector of states and one kernel: pixels and a label, or data of several types.

    Args:
        units: sequence of units, such as [Binary(784), Potts(1, 10)].

    Raises:
        ValueError: if there are none, or one is no unit.

    Example:
        >>> Mixed([Binary(2), Potts(1, 3)]).mean([0.0, 0.0, 1.0, 1.0, 1.0]).numpy()
        array([0.5       , 0.5       , 0.33333334, 0.33333334, 0.33333334], dtype=float32)
    """

    def __init__(self, units: Iterable[Unit]) -> None:
        self.units = list(units)
        if not self.units or not all(isinstance(unit, Unit) for unit in self.units):
            raise ValueError(f"units must be a sequence of one unit or more; got {units!r}.")
        super().__init__(sum(unit.num for unit in self.units))

    @property
    def parameters(self) -> dict[str, ArrayLike]:
        """Those of all parts, each name after the number of its part: 0_log_precision."""
        parts = enumerate(self.units)
        return {f"{i}_{key}": value for i, unit in parts for key, value in unit.parameters.items()}

    @parameters.setter
    def parameters(self, _: Any) -> None:
        """They live in the parts."""

    def __tf_flatten__(self) -> tuple[Any, tuple[Any, ...]]:
        return Kind(self, "units"), tuple(self.units)

    @classmethod
    def __tf_unflatten__(cls, kind: Any, components: tuple[Any, ...]) -> Self:
        return cls(components)

    @property
    def scale_parameters(self) -> tuple[str, ...]:  # type: ignore[override]
        parts = enumerate(self.units)
        return tuple(f"{i}_{key}" for i, unit in parts for key in unit.scale_parameters)

    @property
    def size(self) -> int:
        return sum(unit.size for unit in self.units)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[override]
        ends = [[np.zeros(unit.size) + end for end in unit.bounds] for unit in self.units]
        low, high = zip(*ends, strict=True)
        return np.concatenate(low), np.concatenate(high)

    @property
    def unit_of_column(self) -> np.ndarray:
        firsts = itertools.accumulate((unit.num for unit in self.units), initial=0)
        pairs = zip(self.units, firsts, strict=False)
        return np.concatenate([unit.unit_of_column + first for unit, first in pairs])

    def take(self, indices: ArrayLike) -> Unit:
        chosen, parts = self._chosen(indices), []
        firsts = np.cumsum([0, *(unit.num for unit in self.units)])
        part_of = np.searchsorted(firsts, chosen, side="right") - 1
        for part, run in itertools.groupby(zip(part_of, chosen, strict=True), lambda pair: pair[0]):
            parts.append(self.units[part].take([index - firsts[part] for _, index in run]))
        return parts[0] if len(parts) == 1 else Mixed(parts)

    def cgf(self, x: ArrayLike) -> tf.Tensor:
        return self._side_by_side(lambda unit, x: unit.cgf(x), x)

    def cumulants(self, x: ArrayLike, max_order: int) -> tf.Tensor:
        return self._side_by_side(lambda unit, x: unit.cumulants(x, max_order), x)

    def mean(self, x: ArrayLike) -> tf.Tensor:
        return self._side_by_side(lambda unit, x: unit.mean(x), x)

    def energy(self, t: ArrayLike) -> tf.Tensor:
        return self._side_by_side(lambda unit, t: unit.energy(t), t)

    def sample(self, x: ArrayLike, *, seed: Any) -> tf.Tensor:
        seeds = iter(tf.unstack(tf.random.split(as_seed(seed), len(self.units))))
        return self._side_by_side(lambda unit, x: unit.sample(x, seed=next(seeds)), x)

    def states(self) -> None:
        """None: the parts differ; `layer_states` has them all."""

    @property
    def num_layer_states(self) -> int | None:
        numbers = [unit.num_layer_states for unit in self.units]
        known = [number for number in numbers if number is not None]
        return math.prod(known) if len(known) == len(numbers) else None

    def layer_states(
        self, *, first: int | tf.Tensor = 0, num_states: int | tf.Tensor | None = None
    ) -> tf.Tensor:
        if self.num_layer_states is None:
            raise ValueError(f"{self!r} have infinitely many states.")
        total = self.num_layer_states if num_states is None else num_states
        numbers, rows = state_numbers(first, total), []
        for unit in self.units:
            num = unit.num_layer_states
            rows.append(tf.gather(unit.layer_states(), numbers % num))
            numbers = numbers // num
        return tf.concat(rows, -1)

    def cumulants_along(self, x: tf.Tensor, direction: tf.Tensor, max_order: int) -> tf.Tensor:
        return self._side_by_side(
            lambda unit, x, w: unit.cumulants_along(x, w, max_order), x, direction
        )

    def conjugate_field(self, m: ArrayLike) -> tf.Tensor:
        return self._side_by_side(lambda unit, m: unit.conjugate_field(m), m)

    def cgf_conjugate(self, m: ArrayLike) -> tf.Tensor:
        return self._side_by_side(lambda unit, m: unit.cgf_conjugate(m), m)

    def cgf_conjugate_at(self, x: ArrayLike) -> tf.Tensor:
        return self._side_by_side(lambda unit, x: unit.cgf_conjugate_at(x), x)

    def initial_bias(self, mean: ArrayLike, *, count: ArrayLike) -> tf.Tensor:
        ends = np.cumsum([unit.size for unit in self.units])[:-1]
        counts = iter(np.split(np.broadcast_to(count, self.size), ends))
        return self._side_by_side(
            lambda unit, mean: unit.initial_bias(mean, count=next(counts)), mean
        )

    def sample_of_mean(self, mean: ArrayLike, *, seed: Any) -> tf.Tensor:
        seeds = iter(tf.unstack(tf.random.split(as_seed(seed), len(self.units))))
        return self._side_by_side(
            lambda unit, mean: unit.sample_of_mean(mean, seed=next(seeds)), mean
        )

    def inside(self, mean: ArrayLike) -> np.ndarray:
        ends = np.cumsum([unit.size for unit in self.units])[:-1]
        parts = zip(self.units, np.split(np.asarray(mean, float), ends), strict=True)
        return np.concatenate([unit.inside(part) for unit, part in parts])

    def cgf_gain(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        def gain(unit, x, y):
            return unit.cgf_gain(x, y)[..., None]

        return tf.reduce_sum(self._side_by_side(gain, x, y), -1)

    def between(self, other: Unit, beta: float | tf.Tensor) -> Self:
        if not isinstance(other, Mixed):
            raise ValueError(f"Mixed units go to Mixed units; got {other!r}.")
        pairs = zip(self.units, other.units, strict=True)
        return type(self)([unit.between(part, beta) for unit, part in pairs])

    def padded(self, num: int) -> Self:
        if num == self.num:
            return self
        raise ValueError(
            f"Hidden layers of several kinds must have equal sizes; got {self.num} units for {num}."
        )

    def least_precision(self) -> tf.Tensor:
        parts = [tf.cast(unit.least_precision(), tf.float64) for unit in self.units]
        return tf.concat(parts, -1)

    def standard_scale(self, variance: ArrayLike) -> tf.Tensor:
        return self._side_by_side(lambda unit, part: unit.standard_scale(part), variance)

    def redundant_part(self, x: tf.Tensor) -> tf.Tensor | None:
        parts = tf.split(x, [unit.size for unit in self.units], -1)
        found = [unit.redundant_part(part) for unit, part in zip(self.units, parts, strict=True)]
        if all(part is None for part in found):
            return None
        pairs = zip(found, parts, strict=True)
        return tf.concat([tf.zeros_like(x) if part is None else part for part, x in pairs], -1)

    def add_precision(self, added: ArrayLike) -> Mixed:
        parts = tf.split(added, [unit.num for unit in self.units], -1)
        pairs = zip(self.units, parts, strict=True)
        return Mixed([unit.add_precision(part) for unit, part in pairs])

    def check(self, t: Any, *, name: str = "x", means: bool = False) -> np.ndarray:
        t = super().check(t, name=name, means=True)
        first = 0
        for unit in self.units:
            part = t[:, first : first + unit.size]
            unit.check(part, name=f"{name}, the {unit.size} columns from {first}", means=means)
            first += unit.size
        return t

    def with_parameters(self, **parameters: ArrayLike) -> Self:
        parts: list[dict[str, ArrayLike]] = [{} for _ in self.units]
        for key, value in parameters.items():
            if key not in self.parameters:
                return super().with_parameters(**parameters)  # which says what there is
            index, name = key.split("_", 1)
            parts[int(index)][name] = value
        pairs = zip(self.units, parts, strict=True)
        return type(self)([unit.with_parameters(**part) for unit, part in pairs])

    def get_config(self) -> dict[str, Any]:
        return {"units": [keras.saving.serialize_keras_object(unit) for unit in self.units]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls([keras.saving.deserialize_keras_object(unit) for unit in config["units"]])

    def __repr__(self) -> str:
        return f"Mixed({self.units})"

    def _unit_sums(self, x: tf.Tensor) -> tf.Tensor:
        return self._side_by_side(lambda unit, x: unit._unit_sums(x), x)

    def _is_mean(self, t):
        return np.ones(t.shape, bool)  # the parts know

    def _support(self):
        return "the supports of their parts"

    def _side_by_side(self, function: Callable[..., Any], *xs: ArrayLike) -> tf.Tensor:
        sizes = [unit.size for unit in self.units]
        parts = (tf.split(self.fields(x), sizes, -1) for x in xs)
        rows = zip(self.units, *parts, strict=True)
        return tf.concat([function(*row) for row in rows], -1)
