"""Encoders x -> (mean, log_var) and decoders z -> logits, dense and convolutional."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import keras
from keras import layers

from rbm_tf.shared.types import Tensor


def dense_encoder(
    input_shape: tuple[int, ...],
    latent_dim: int,
    *,
    hidden_units: Sequence[int] = (256,),
    activation: str | Callable[[Tensor], Tensor] = "relu",
) -> keras.Model:
    """A dense encoder.

    Args:
        input_shape: the shape of one example, such as (28, 28) or (784,).
        latent_dim: the number of latent variables.
        hidden_units: the numbers of units in the hidden layers, in order.
        activation: function of the hidden layers, by name or itself.

    Returns:
        A functional `keras.Model`: x (batch, *input_shape) -> (mean, log_var), both
        (batch, latent_dim).

    Example:
        >>> mean, log_var = dense_encoder((28, 28), latent_dim=2)(ops.zeros((5, 28, 28)))
        >>> tuple(mean.shape)
        (5, 2)
    """
    x = keras.Input(input_shape)
    hidden = layers.Flatten()(x)
    for units in hidden_units:
        hidden = layers.Dense(units, activation)(hidden)
    return _encoder(x, hidden, latent_dim)


def dense_decoder(
    output_shape: tuple[int, ...],
    latent_dim: int,
    *,
    hidden_units: Sequence[int] = (256,),
    activation: str | Callable[[Tensor], Tensor] = "relu",
) -> keras.Model:
    """A dense decoder.

    Args:
        output_shape: the shape of one example, such as (28, 28) or (784,).
        latent_dim: the number of latent variables.
        hidden_units: the numbers of units in the hidden layers, in order.
        activation: function of the hidden layers, by name or itself.

    Returns:
        A functional `keras.Model`: z (batch, latent_dim) -> logits (batch, *output_shape).

    Example:
        >>> tuple(dense_decoder((28, 28), latent_dim=2)(ops.zeros((5, 2))).shape)
        (5, 28, 28)
    """
    z = keras.Input((latent_dim,))
    hidden = z
    for units in hidden_units:
        hidden = layers.Dense(units, activation)(hidden)
    logits = layers.Dense(math.prod(output_shape))(hidden)
    return keras.Model(z, layers.Reshape(output_shape)(logits), name="decoder")


def conv_encoder(
    input_shape: tuple[int, ...],
    latent_dim: int,
    *,
    filters: Sequence[int] = (32, 64),
    activation: str | Callable[[Tensor], Tensor] = "relu",
) -> keras.Model:
    """A convolutional encoder; every convolution halves height and width.

    Args:
        input_shape: (height, width) or (height, width, channels), where height and width are
            divisible by 2 ** len(filters).
        latent_dim: the number of latent variables.
        filters: the numbers of filters of the convolutions, in order.
        activation: function of the convolutions, by name or itself.

    Returns:
        A functional `keras.Model`: x (batch, *input_shape) -> (mean, log_var), both
        (batch, latent_dim).

    Raises:
        ValueError: if a size cannot be halved that often.

    Example:
        >>> mean, log_var = conv_encoder((28, 28), latent_dim=2)(ops.zeros((5, 28, 28)))
        >>> tuple(mean.shape)
        (5, 2)
    """
    _smallest_map(input_shape, filters)
    x = keras.Input(input_shape)
    hidden = x if len(input_shape) == 3 else layers.Reshape((*input_shape, 1))(x)
    for count in filters:  # (batch, height, width, channels) -> (.., height / 2, width / 2, count)
        hidden = layers.Conv2D(count, 3, strides=2, padding="same", activation=activation)(hidden)
    return _encoder(x, layers.Flatten()(hidden), latent_dim)


def conv_decoder(
    output_shape: tuple[int, ...],
    latent_dim: int,
    *,
    filters: Sequence[int] = (64, 32),
    activation: str | Callable[[Tensor], Tensor] = "relu",
) -> keras.Model:
    """A decoder of transposed convolutions; each doubles height and width.

    Args:
        output_shape: (height, width) or (height, width, channels), where height and width are
            divisible by 2 ** len(filters).
        latent_dim: the number of latent variables.
        filters: the numbers of filters of the transposed convolutions, in order.
        activation: function of the hidden layers, by name or itself.

    Returns:
        A functional `keras.Model`: z (batch, latent_dim) -> logits (batch, *output_shape).

    Raises:
        ValueError: if a size cannot be halved that often.

    Example:
        >>> tuple(conv_decoder((28, 28), latent_dim=2)(ops.zeros((5, 2))).shape)
        (5, 28, 28)
    """
    height, width = _smallest_map(output_shape, filters)
    channels = output_shape[2] if len(output_shape) == 3 else 1
    z = keras.Input((latent_dim,))
    hidden = layers.Dense(height * width * filters[0], activation)(z)
    hidden = layers.Reshape((height, width, filters[0]))(hidden)
    for count in filters:  # (batch, height, width, channels) -> (.., 2 height, 2 width, count)
        hidden = layers.Conv2DTranspose(count, 3, strides=2, padding="same", activation=activation)(
            hidden
        )
    logits = layers.Conv2D(channels, 3, padding="same")(hidden)
    return keras.Model(z, layers.Reshape(output_shape)(logits), name="decoder")


def _encoder(x, hidden, latent_dim):
    mean = layers.Dense(latent_dim, name="mean")(hidden)
    log_var = layers.Dense(latent_dim, name="log_var")(hidden)
    return keras.Model(x, (mean, log_var), name="encoder")


def _smallest_map(shape, filters):
    factor = 2 ** len(filters)
    if len(shape) not in (2, 3) or shape[0] % factor or shape[1] % factor:
        raise ValueError(
            f"{len(filters)} convolutions halve images {len(filters)} times: the shape must be "
            f"(height, width) or (height, width, channels) with sizes divisible by {factor}; got "
            f"{tuple(shape)}. Pad the images, use fewer filters or a dense network."
        )
    return shape[0] // factor, shape[1] // factor
