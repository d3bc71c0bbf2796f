"""Small dense networks with inputs by name, of which structured models are built."""

from __future__ import annotations

import math
from collections.abc import Mapping

import keras
from keras import layers


def gaussian_network(
    inputs: Mapping[str, int], num_outputs: int, *, hidden_units: int, name: str | None = None
) -> keras.Model:
    """A network of one hidden layer that maps named vectors to the statistics of a Gaussian.

    Args:
        inputs: for each name the length of the vector.
        num_outputs: the number of Gaussian variables.
        hidden_units: the number of units in the hidden layer.
        name: of the model.

    Returns:
        `keras.Model` of a dict of (rows, length), which returns mean and log_var,
        (rows, num_outputs).

    Example:
        >>> network = gaussian_network({"z": 2}, 3, hidden_units=8)
        >>> [tuple(a.shape) for a in network({"z": ops.ones((5, 2))})]
        [(5, 3), (5, 3)]
    """
    given = {key: keras.Input((num,), name=key) for key, num in inputs.items()}
    hidden = layers.Dense(hidden_units, "tanh")(joined(given))
    mean = layers.Dense(num_outputs)(hidden)
    log_var = layers.Dense(num_outputs, kernel_initializer="zeros")(hidden)
    return keras.Model(given, (mean, log_var), name=name)


def joined(given: Mapping[str, keras.KerasTensor]) -> keras.KerasTensor:
    """Vectors side by side.

    Args:
        given: symbolic tensors by name, each (rows, ..).

    Example:
        >>> joined({"a": keras.Input((2,)), "b": keras.Input((3,))}).shape
        (None, 5)
    """
    tensors = list(given.values())
    return layers.Concatenate()(tensors) if len(tensors) > 1 else tensors[0]


def image_decoder(
    inputs: Mapping[str, int], output_shape: tuple[int, ...], *, hidden_units: int
) -> keras.Model:
    """A decoder of one hidden layer that takes named vectors.

    Args:
        inputs: for each name the length of the vector.
        output_shape: the shape of one example.
        hidden_units: the number of units in the hidden layer.

    Returns:
        `keras.Model` of a dict of (rows, length), which returns (rows, *output_shape).

    Example:
        >>> decoder = image_decoder({"z1": 2}, (8, 8), hidden_units=16)
        >>> tuple(decoder({"z1": ops.ones((5, 2))}).shape)
        (5, 8, 8)
    """
    given = {key: keras.Input((num,), name=key) for key, num in inputs.items()}
    hidden = layers.Dense(hidden_units, "tanh")(joined(given))
    pixels = layers.Dense(math.prod(output_shape))(hidden)
    return keras.Model(given, layers.Reshape(tuple(output_shape))(pixels))
