"""What the relaxed sampling layers have in common: a temperature that can be annealed."""

from __future__ import annotations

from typing import Any

from rbm_tf.shared.types import Shape
from vae_keras.shared.random_layer import RandomLayer
from vae_keras.shared.temperature import add_temperature


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
        remedy = "For the mean, without a draw, call the layer with deterministic=True."
        self.temperature = add_temperature(self, temperature, remedy=remedy)
        self._initial_temperature = temperature

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self._initial_temperature}
