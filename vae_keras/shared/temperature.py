"""The temperature of relaxed variables, which training lowers."""

from __future__ import annotations

import math
from typing import Any

import keras


def add_temperature(layer: keras.layers.Layer, temperature: float, *, remedy: str) -> Any:
    """A scalar weight `temperature` of a layer that draws relaxed variables.

    Anneal it with `WeightSchedule`. It is not trained, and stays as wide as weights are stored.

    Args:
        layer: the layer that gets the weight.
        temperature: its initial value, above 0.
        remedy: what to do at temperature 0, the end of the error message.

    Returns:
        The weight, a `keras.Variable`.

    Raises:
        ValueError: if temperature is not above 0.

    Example:
        >>> layer = keras.layers.Layer()
        >>> print(float(add_temperature(layer, 0.25, remedy="Take the mean.")))
        0.25
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be above 0 and finite; got {temperature}. {remedy}")
    begin = keras.initializers.Constant(temperature)
    return layer.add_weight(
        name="temperature", shape=(), initializer=begin, trainable=False, autocast=False
    )
