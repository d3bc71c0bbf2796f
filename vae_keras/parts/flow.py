"""A part moved by invertible networks: normalising flows, with a context or without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import keras

from rbm_tf.shared.saving import as_one, sharing
from rbm_tf.shared.seeds import seed_of_keras
from rbm_tf.shared.types import Tensor
from vae_keras.parts.part import Part


class FlowStep(keras.layers.Layer):
    """An invertible map of vectors: `call` and `inverse`, each with its ln |det|.

    Both take (z, context), where context is None or (rows, context_dim), and return the moved
    points (rows, dim) and the ln |det| of their own map, (rows,). A step of your own writes the
    two; weights are made in `__init__`, in float32.

    Args:
        seed: integer that fixes the initial weights.

    Example:
        >>> class Shift(FlowStep):
        ...     def call(self, z, context=None):
        ...         return z + 1, ops.zeros_like(z[:, 0])
        ...
        ...     def inverse(self, z, context=None):
        ...         return z - 1, ops.zeros_like(z[:, 0])
        >>> pair = ops.zeros((1, 2)), ops.zeros((1, 2))
        >>> float(Flow(Gaussian(), [Shift()]).log_prob(pair, ops.ones((1, 2)))[0])  # -ln(2 pi)
        -1.8378770351409912
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.seed = seed_of_keras(seed)
        self.built = type(self).build is keras.layers.Layer.build

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The points that `call` maps to these, and the ln |det| of the inverse map.

        Args:
            z: points that `call` returned, (rows, dim).
            context: what `call` was given.

        Returns:
            (rows, dim), and (rows,), nats.
        """
        raise NotImplementedError(f"{type(self).__name__} does not write inverse.")

    def add_weight(self, *args: Any, **kwargs: Any) -> keras.Variable:
        """Keras's, in float32 at least, and read as such under mixed precision."""
        dtype = "float64" if self.variable_dtype == "float64" else "float32"
        return super().add_weight(*args, **{"dtype": dtype, **kwargs, "autocast": False})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="vae_keras")
class Flow(Part):
    """A draw of a part, moved by steps one after another; it begins as the part itself.

    ln p(value) = ln p_part(z) - sum of the steps' ln |det| on the way from z to the value. A draw
    gives ln p on its way; at any other value the steps are inverted. As a posterior with a context
    it can follow each x; as a prior, in `Own`, it is learned.

    Args:
        part: the part that is moved, of vectors (rows, dim).
        steps: one `FlowStep` or more, in the order of a draw.
        context: whether the statistics are a pair (the part's, the context (rows, context_dim)).
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: those of the part, or the pair.

    Output: a draw, (rows, dim), and its log-density, (rows,), nats.

    Raises:
        ValueError: if there is no step, or the part is discrete.

    Reference: Rezende and Mohamed (2015), Variational inference with normalizing flows.

    Example:
        >>> flow = Flow(Gaussian(), [Coupling(2), Coupling(2, flip=True)])
        >>> pair = ops.zeros((5, 2)), ops.zeros((5, 2))
        >>> float(flow.log_prob(pair, ops.zeros((5, 2)))[0])  # -ln(2 pi)
        -1.8378770351409912
    """

    has_mean = False  # `mean` is where the steps move that of the part

    def __init__(
        self,
        part: Part,
        steps: Sequence[FlowStep],
        *,
        context: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        if not steps or part.space != "real":
            raise ValueError(
                "Flow takes a part of real vectors and one step or more; got "
                f"{type(part).__name__} and {len(steps)} steps."
            )
        self.part, self.steps, self.context = part, list(steps), context
        self.has_path, self.has_density = part.has_path, part.has_density

    def _split(self, statistics):
        return statistics if self.context else (statistics, None)

    def noise(self, statistics: Any, rows: Any, seed: Any) -> Any:
        return self.part.noise(self._split(statistics)[0], rows, seed)

    def draw(self, statistics: Any, noise: Any) -> tuple[Tensor, Tensor]:
        base, context = self._split(statistics)
        value, log_prob = self.part.draw(base, noise)
        for step in self.steps:
            value, log_det = step(value, context)
            log_prob = log_prob - log_det
        return value, log_prob

    def log_prob(self, statistics: Any, value: Tensor) -> Tensor:
        base, context = self._split(statistics)
        log_dets = []
        for step in reversed(self.steps):
            value, log_det = step.inverse(value, context)
            log_dets.append(log_det)
        return self.part.log_prob(base, value) + sum(log_dets[1:], log_dets[0])

    def mean(self, statistics: Any) -> Tensor:
        base, context = self._split(statistics)
        value = self.part.mean(base)
        for step in self.steps:
            value = step(value, context)[0]
        return value

    def shapes(self, event: Any) -> Any:
        shapes = self.part.shapes(event)
        if not self.context:
            return shapes
        dims = [getattr(step, "context_dim", 0) for step in self.steps]
        return shapes, (max(dims),)

    def standard(self) -> Part:
        return self.part.standard()

    def standard_statistics(self, statistics: Any) -> Any:
        return self.part.standard_statistics(self._split(statistics)[0])

    @as_one
    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        own = {"part": serialize(self.part), "steps": [serialize(step) for step in self.steps]}
        return {**super().get_config(), **own, "context": self.context}

    @classmethod
    @sharing()
    def from_config(cls, config: dict[str, Any]) -> Self:
        deserialize = keras.saving.deserialize_keras_object
        steps = [deserialize(step) for step in config["steps"]]
        return cls(**{**config, "part": deserialize(config["part"]), "steps": steps})
