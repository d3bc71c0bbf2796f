"""Slips in what a model is given: a class in place of a part, an activation in place of logits."""

from __future__ import annotations

from typing import Any

import keras
from keras import tree

from vae_keras.parts.part import Part

_SHAPING = keras.layers.Reshape, keras.layers.Flatten, keras.layers.Permute


def check_part_given(part: Any, name: str) -> None:
    """Refuse what is no part, such as its class or its name.

    Args:
        part: what was given.
        name: its role, for the message.

    Raises:
        ValueError: with what to give.

    Example:
        >>> check_part_given(Gaussian(), "prior")
        >>> check_part_given(Gaussian, "prior")
        Traceback (most recent call last):
        ...
        ValueError: The prior must be a part, such as Gaussian() or Bernoulli(); got the class
        Gaussian: call it.
    """
    if isinstance(part, Part):
        return
    is_class = isinstance(part, type) and issubclass(part, Part)
    got = f"the class {part.__name__}: call it" if is_class else repr(part)
    raise ValueError(f"The {name} must be a part, such as Gaussian() or Bernoulli(); got {got}.")


def check_outputs(network: Any, part: Part | None) -> None:
    """Refuse a network that ends in the activation which the part applies to logits itself.

    Of a sigmoid's output as logit, the probability is never below 1/2.

    Args:
        network: a Keras model, or anything else, which is taken as it is.
        part: the part that reads what it returns.

    Raises:
        ValueError: if a functional or Sequential model ends so.

    Example:
        >>> decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(8, "sigmoid")])
        >>> check_outputs(decoder, Gaussian(scale=1.0))
        >>> check_outputs(decoder, Bernoulli())
        Traceback (most recent call last):
        ...
        ValueError: Bernoulli takes logits, but the network ends in a sigmoid: leave the activation
        out, as in Dense(units).
    """
    squashing = part.own_activation if part is not None else None
    if squashing is None or not isinstance(network, keras.Model):
        return
    try:
        outputs = tree.flatten(network.outputs)
    except (AttributeError, ValueError):  # a subclassed model, or one that was never built
        return
    if any(_activation(tensor) == squashing for tensor in outputs):
        raise ValueError(
            f"{type(part).__name__} takes logits, but the network ends in a {squashing}: leave the "
            "activation out, as in Dense(units)."
        )


def _activation(tensor):
    """The name of the activation that made a symbolic tensor, if it is one; shapes aside."""
    layer, node, index = tensor._keras_history
    name = getattr(getattr(layer, "activation", layer), "__name__", type(layer).__name__.lower())
    is_linear = isinstance(layer, keras.layers.Activation) and name == "linear"
    if is_linear or isinstance(layer, _SHAPING):
        return _activation(layer._inbound_nodes[node].input_tensors[0])
    if isinstance(layer, keras.Model):
        return _activation(tree.flatten(layer.outputs)[index]) if layer.outputs else None
    return name
