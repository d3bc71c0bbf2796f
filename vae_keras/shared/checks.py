"""Checks that an encoder and a decoder fit together, and that data fit them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops, tree

from rbm_tf.shared.types import ArrayLike, Shape, Tensor


def input_shapes(model: keras.Model, name: str) -> list[Shape]:
    """The shapes of one example of each input of a model.

    Args:
        model: functional or Sequential `keras.Model`.
        name: what the error message calls the model.

    Returns:
        List of tuples, without the batch axis.

    Raises:
        ValueError: if the model does not know its input shape.

    Example:
        >>> input_shapes(dense_encoder((8, 8), latent_dim=2), "encoder")
        [(8, 8)]
    """
    try:
        shapes = model.input_shape
    except AttributeError as error:
        raise ValueError(
            f"The {name} must know its input shape: make it a functional model, as "
            "vae_keras.networks.dense_encoder does, or call a Sequential one once on data."
        ) from error
    several = shapes and isinstance(shapes[0], (tuple, list))
    return [tuple(shape[1:]) for shape in (shapes if several else [shapes])]


def check_networks(
    encoder: keras.Model, decoder: keras.Model, decoder_input: Callable[[Tensor, Any], Any]
) -> tuple[Any, int]:
    """Call encoder and decoder on zeros, and see that their shapes fit.

    Args:
        encoder: model that maps its inputs, the data first, to (mean, log_var), both
            (batch, latent_dim).
        decoder: model that maps its inputs to the likelihood's parameters, in the data's shape.
        decoder_input: function that makes the decoder's inputs from z and the encoder's inputs.

    Returns:
        The zeros that the encoder was called on, a batch of one, and latent_dim.

    Raises:
        ValueError: if the shapes do not fit, or weights are float16.

    Example:
        >>> encoder, decoder = dense_encoder((8, 8), latent_dim=2), dense_decoder((8, 8), 2)
        >>> zeros, latent_dim = check_networks(encoder, decoder, lambda z, x: z)
        >>> tuple(zeros.shape), latent_dim
        ((1, 8, 8), 2)
    """
    for model in (encoder, decoder):
        if any(weight.dtype == "float16" for weight in model.trainable_weights):
            raise ValueError(
                "Weights in float16 end at 65,504, and their gradients overflow: build the "
                "networks under the policy 'mixed_float16', which keeps weights in float32."
            )
    shapes = input_shapes(encoder, "encoder")
    inputs = tuple(ops.zeros((1, *shape)) for shape in shapes)
    inputs = inputs if len(inputs) > 1 else inputs[0]
    mean = _checked_mean(encoder(inputs))
    given = decoder_input(mean, inputs)
    given_shapes = [tuple(tensor.shape[1:]) for tensor in tree.flatten(given)]
    expected = input_shapes(decoder, "decoder") if hasattr(decoder, "input_shape") else given_shapes
    if expected != given_shapes:
        raise ValueError(
            f"The encoder has {mean.shape[1]} latent variables and gives the decoder inputs of "
            f"shape {given_shapes}, but the decoder takes {expected}: build both with the same "
            "latent_dim."
        )
    output_shape = tuple(decoder(given).shape[1:])
    if output_shape != shapes[0]:
        raise ValueError(
            f"The encoder takes data of shape {shapes[0]}, but the decoder returns "
            f"{output_shape}: give the decoder the data's shape."
        )
    return inputs, mean.shape[1]


def checked_array(x: ArrayLike, shape: Shape, name: str) -> Tensor:
    """The array as a float32 tensor, refused unless its examples have the shape.

    Args:
        x: array or tensor, (batch, *shape).
        shape: the shape that one example must have.
        name: what the error message calls the array.

    Returns:
        Tensor (batch, *shape), float32.

    Raises:
        ValueError: for another shape, or no example.

    Example:
        >>> tuple(checked_array(np.zeros((3, 4)), (4,), "x").shape)
        (3, 4)
    """
    x = ops.convert_to_tensor(x, dtype="float32")
    check_shape(x, shape, name)
    return x


def check_shape(x: Tensor, shape: Shape, name: str) -> None:
    """Refuse an array or tensor whose examples have another shape, or that has none.

    Args:
        x: array or tensor, (batch, *shape).
        shape: the shape that one example must have.
        name: what the error message calls the array.

    Raises:
        ValueError: with what was received.

    Example:
        >>> check_shape(np.zeros((3, 4)), (4,), "x")
    """
    if tuple(x.shape[1:]) != tuple(shape) or not x.shape or x.shape[0] == 0:
        raise ValueError(
            f"{name} must have shape (batch, {', '.join(map(str, shape))}) with a batch of 1 or "
            f"more; got {tuple(x.shape)}."
        )


def _checked_mean(outputs):
    if not isinstance(outputs, (tuple, list)) or len(outputs) != 2:
        raise ValueError("The encoder must return a pair (mean, log_var).")
    mean, log_var = (tuple(x.shape) for x in outputs)
    if mean != log_var or len(mean) != 2:
        raise ValueError(
            "The encoder's mean and log_var must both have shape (batch, latent_dim); got "
            f"{mean} and {log_var}."
        )
    return outputs[0]
