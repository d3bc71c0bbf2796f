"""What the relaxed sampling layers have in common: a temperature that can be annealed."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.types import Shape, Tensor
from vae_keras.shared.random_layer import RandomLayer

_SMALLEST = 1e-37  # ln of it is finite in float32


class RelaxedLayer(RandomLayer):
    """A layer that draws relaxed discrete variables at the temperature of its scalar weight.

    Args:
        temperature: initial value of the weight `temperature`, above 0.
        seed: integer that fixes the sequence of draws; None gives another one every time.

    Raises:
        ValueError: if temperature is not above 0.

    Example:
        >>> print(float(RelaxedLayer(temperature=0.25).temperature))
        0.25
    """

    def __init__(self, temperature: float = 0.5, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.supports_masking = True
        if not 0 < temperature < math.inf:
            raise ValueError(
                f"temperature must be above 0 and finite; got {temperature}. A sample at 0 has no "
                "gradient; for the mean call the layer with deterministic=True."
            )
        self._initial_temperature = temperature
        self.temperature = self.add_weight(
            name="temperature",
            initializer=keras.initializers.Constant(temperature),
            trainable=False,
            autocast=False,
        )

    def uniform(self, like: Tensor) -> Tensor:
        """Uniform random numbers on (0, 1), in the shape and type of a tensor.

        Args:
            like: the tensor, of any shape.

        Example:
            >>> tuple(RelaxedLayer().uniform(ops.zeros((2, 3))).shape)
            (2, 3)
        """
        shape, generator = ops.shape(like), self.seed_generator
        return keras.random.uniform(shape, minval=_SMALLEST, dtype=like.dtype, seed=generator)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self._initial_temperature}
