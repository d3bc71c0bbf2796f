"""Networks get what they ask for: inputs by name, not by their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from vae_keras.shared.checks import inputs_of


def call_by_name(
    network: Callable[..., Any],
    given: Mapping[str, Any],
    *,
    as_dict: bool = False,
    training: bool | None = None,
) -> Any:
    """Call a network on those of several tensors that it names.

    A functional model names its inputs by the keys of a dict, or by the names of `keras.Input`.
    Keras itself would flatten a dict in alphabetical order, and match by place. Any other callable
    is given the one tensor that there is, or the dict of several.

    Args:
        network: a Keras model or layer, or a function.
        given: the tensors by name.
        as_dict: whether a function is given the dict also where there is one tensor alone.
        training: what Keras networks are told; None tells them nothing.

    Returns:
        What the network returns.

    Raises:
        ValueError: if the network asks for a name that is not given.

    Example:
        >>> z, a = keras.Input((2,), name="z"), keras.Input((1,), name="a")
        >>> model = keras.Model({"z": z, "a": a}, keras.layers.Concatenate()((z, a)))
        >>> given = {"z": ops.ones((1, 2)), "x": ops.ones((1, 5)), "a": ops.zeros((1, 1))}
        >>> print(ops.convert_to_numpy(call_by_name(model, given)))
        [[1. 1. 0.]]
    """
    is_layer = isinstance(network, keras.layers.Layer)
    options = {} if training is None or not is_layer else {"training": training}
    if as_dict and not is_layer:
        return network(dict(given))
    return network(_asked(network, given), **options)


def _asked(network, given):
    inputs = inputs_of(network)
    alone = next(iter(given.values())) if len(given) == 1 else dict(given)
    if inputs is None:
        return alone
    if isinstance(inputs, Mapping):
        return {name: _named(name, given, inputs) for name in inputs}
    if isinstance(inputs, (list, tuple)):
        names = [tensor.name for tensor in inputs]
        return [_named(name, given, names) for name in names]
    if inputs.name in given:
        return given[inputs.name]
    return alone if len(given) == 1 else _named(inputs.name, given, [inputs.name])


def _named(name, given, asked):
    if name not in given:
        raise ValueError(
            f"A network asks for {', '.join(map(repr, asked))}, but there are "
            f"{', '.join(map(repr, given)) or 'no tensors'}: name its inputs so, by "
            "keras.Input(.., name='z') and keras.Model({'z': z, ..}, outputs)."
        )
    return given[name]
