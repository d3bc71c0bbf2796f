"""What parts that are made of another one have in common."""

from __future__ import annotations

from typing import Any, Self

import keras

from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts.part import Part


class OfPart(Part):
    """A part made of another, which it is saved with and made of again.

    Args:
        part: the other one, also as the attribute `part`.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Example:
        >>> OfPart(Gaussian()).get_config()["part"]["class_name"]
        'Gaussian'
    """

    def __init__(self, part: Part, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.part = part

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "part": keras.saving.serialize_keras_object(self.part)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        part = keras.saving.deserialize_keras_object(config["part"])
        return cls(**{**config, "part": part})


class SomeTerms(OfPart):
    """A part of whose density some terms are left out; its draws and means are the part's.

    A subclass writes `terms`, and `exactly`.

    Args:
        part: the part.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Example:
        >>> float(SomeTerms(Gaussian(scale=1.0)).mean(3.0))
        3.0
    """

    def __init__(self, part: Part, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(part, seed=seed, **kwargs)
        self.space, self.has_path = part.space, part.has_path
        self.has_density, self.has_mean = part.has_density, part.has_mean
        self.own_activation = part.own_activation

    def noise(self, statistics: Any, rows: Any, seed: Any) -> Any:
        return self.part.noise(statistics, rows, seed)

    def draw(self, statistics: Any, noise: Any) -> tuple[Any, Tensor]:
        return self.part.draw(statistics, noise)

    def mean(self, statistics: Any) -> Any:
        return self.part.mean(statistics)

    def emit(self, value: Any) -> Any:
        return self.part.emit(value)

    def shapes(self, event: Shape) -> Shapes:
        return self.part.shapes(event)
