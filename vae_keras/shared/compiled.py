"""Functions of tensors that TensorFlow runs as one graph or one kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as one TensorFlow graph for any numbers of rows; elsewhere the function itself.

    A graph runs its operations without Python in between. JAX would freeze the values that the
    variables have when it compiles, so there, as on PyTorch, nothing is compiled.

    Args:
        function: maps nested tensors, each (rows, ..), to nested tensors, without side effects.

    Returns:
        A function with the same values.

    Example:
        >>> square = compiled(ops.square)
        >>> float(square(ops.ones((5,)))[0])
        1.0
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    graphs: dict[str, Callable[..., Any]] = {}  # by the shapes of a row

    def run(*inputs):
        spec = keras.tree.map_structure(
            lambda x: tf.TensorSpec((None, *x.shape[1:]), x.dtype), inputs
        )
        key = str(spec)
        if key not in graphs:
            graphs[key] = tf.function(
                function, input_signature=spec, jit_compile=False, autograph=False
            )
        return graphs[key](*inputs)

    return run


def fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as one XLA kernel on TensorFlow, which reads its inputs once.

    A kernel is compiled, in a tenth of a second, for every shape of the inputs. On JAX, where
    Keras compiles whole steps, and on PyTorch it is the function itself.

    Args:
        function: maps tensors and Python constants to tensors, without side effects.

    Returns:
        A function with the same values.

    Example:
        >>> float(fused(ops.square)(ops.ones((5,)))[0])
        1.0
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, jit_compile=True, reduce_retracing=True, autograph=False)
