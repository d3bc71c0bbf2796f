"""How layers of units are compared, changed, cut, saved, and passed into graphs."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import tensorflow as tf

from rbm_tf.shared.types import ArrayLike

if TYPE_CHECKING:
    from rbm_tf.units.unit import Unit

_Layer: Any = object  # a `Unit`, which has this class among its bases


class Structure(_Layer):
    """The part of `Unit` that knows its `num` and its `parameters`.

    Example:
        >>> issubclass(Binary, Structure)
        True
    """

    def with_parameters(self, **parameters: ArrayLike) -> Self:
        """The same units with other parameters.

        Args:
            **parameters: by the names in `parameters`, each (num,) or broadcast to the fields;
                numbers, tensors or tf.Variables, to which gradients then pass.

        Returns:
            `Unit`.

        Raises:
            ValueError: for a name that is not in `parameters`.
        """
        if unknown := sorted(set(parameters) - set(self.parameters)):
            raise ValueError(
                f"{type(self).__name__} has no parameters {', '.join(unknown)}; it has "
                f"{', '.join(self.parameters) or 'none'}."
            )
        other = copy.copy(self)
        other.parameters = {**self.parameters, **parameters}
        return other

    def between(self, other: Unit, beta: float | tf.Tensor) -> Self:
        """The units whose U is (1 - beta) U + beta U of others of the same kind.

        U is linear in its parameters, or in the exponential of those whose name begins with log_.

        Args:
            other: units of the same kind.
            beta: from 0 to 1.

        Returns:
            `Unit`.
        """

        def mixed(name, x, y):
            if name.startswith("log_"):
                return tf.math.log((1 - beta) * tf.exp(x) + beta * tf.exp(y))
            return (1 - beta) * x + beta * y

        pairs = zip(self.parameters.items(), other.parameters.values(), strict=True)
        return self.with_parameters(**{name: mixed(name, x, y) for (name, x), y in pairs})

    def padded(self, num: int) -> Self:
        """The same units and some more, whose parameters are 0, or 1 where these are logarithms.

        Args:
            num: how many there are to be.

        Returns:
            `Unit`.
        """
        if num == self.num:
            return self
        missing = [[0, num - self.num]]
        other = copy.copy(self)
        other.num = num
        other.parameters = {k: tf.pad(value, missing) for k, value in self.parameters.items()}
        return other

    @property
    def unit_of_column(self) -> np.ndarray:
        """The number of the unit that each column belongs to, (size,) integers."""
        return np.repeat(np.arange(self.num), self.size // self.num)

    def take(self, indices: ArrayLike) -> Unit:
        """A layer of some of the units, with their parameters.

        Args:
            indices: the numbers of the units, (num_taken,) integers from 0 to num - 1; a unit of
                `Potts` counts once, whatever its columns.

        Returns:
            `Unit`, in the order of indices.

        Raises:
            ValueError: if there are none, or one is no such integer.

        Example:
            >>> float(Gaussian(3, precision=[1.0, 2.0, 4.0]).take([2]).mean([1.0])[0])
            0.25
        """
        chosen = self._chosen(indices)
        other = copy.copy(self)
        other.num = len(chosen)
        other.parameters = {key: self._some(x, chosen) for key, x in self.parameters.items()}
        return other

    def _chosen(self, indices):
        chosen = np.asarray(indices)
        is_list = chosen.ndim == 1 and chosen.dtype.kind in "iu" and chosen.size
        if not is_list or chosen.min() < 0 or chosen.max() >= self.num:
            raise ValueError(
                f"indices must be a list of one integer or more, from 0 to {self.num - 1}, the "
                f"numbers of units of {self!r}; got {indices!r}."
            )
        return chosen

    def _some(self, parameter, chosen):
        """The values of some units; one that all units share stays."""
        shape = np.shape(parameter)
        if not shape or shape[-1] != self.num:
            return parameter
        is_tensor = tf.is_tensor(parameter) or isinstance(parameter, tf.Variable)
        gather = tf.gather if is_tensor else np.take
        return gather(parameter, chosen, axis=-1)

    @property
    def kind(self) -> Kind:
        """All that units are besides the values of their parameters, to be compared."""
        return self.__tf_flatten__()[0]

    def __tf_flatten__(self) -> tuple[Any, tuple[Any, ...]]:
        """What TensorFlow's structures are made of: the kind, and the parameters as tensors.

        Units thereby pass into a `tf.function`, which is traced once for a kind.
        """
        return Kind(self), tuple(self.parameters.values())

    @classmethod
    def __tf_unflatten__(cls, kind: Any, components: tuple[Any, ...]) -> Self:
        """The units of a kind with other parameters."""
        unit: Any = object.__new__(cls)
        unit.__dict__.update(kind.state, parameters=dict(zip(kind.names, components, strict=True)))
        return unit

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes the same units of: numbers and lists alone."""
        values = {key: np.asarray(value).tolist() for key, value in self.parameters.items()}
        return {"num": self.num, **({"parameters": values} if values else {})}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The units that `get_config` described."""
        config = dict(config)
        parameters = config.pop("parameters", {})
        values = {key: np.asarray(value, "float64") for key, value in parameters.items()}
        return cls(**config).with_parameters(**values)

    def parameter(self, name: str, like: tf.Tensor) -> tf.Tensor:
        """A parameter in the dtype of a tensor."""
        return tf.cast(self.parameters[name], like.dtype)


class Kind:
    """All that units are besides the values of their parameters; kinds that are equal compare so.

    Args:
        unit: the units.
        *parts: the names of attributes that are units, or lists of units.

    Example:
        >>> Kind(Binary(3)) == Kind(Binary(3)), Kind(Binary(3)) == Kind(Binary(4))
        (True, False)
    """

    def __init__(self, unit: Unit, *parts: str) -> None:
        self.unit, self.names = type(unit), tuple(unit.parameters)
        self.dtypes = [getattr(value, "dtype", None) for value in unit.parameters.values()]
        left_out = ("parameters", *parts)
        self.state = {key: value for key, value in vars(unit).items() if key not in left_out}
        units = [vars(unit)[name] for name in parts]
        self.parts = [
            part.__tf_flatten__()[0]
            for value in units
            for part in (value if isinstance(value, list) else [value])
        ]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Kind)
            and (self.unit, self.names, self.parts) == (other.unit, other.names, other.parts)
            and self.dtypes == other.dtypes
            and self.state.keys() == other.state.keys()
            and all(np.array_equal(value, other.state[key]) for key, value in self.state.items())
        )

    def __hash__(self) -> int:
        return hash((self.unit, self.names))
