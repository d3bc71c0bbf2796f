"""Derivatives by the automatic differentiation of whichever backend Keras runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from rbm_tf.shared.types import Tensor


def gradients(function: Callable[[list[Tensor]], Any], tensors: list[Tensor]) -> list[np.ndarray]:
    """The derivatives of a scalar by each of several tensors, on any backend; 0 without a path.

    Args:
        function: maps a list of tensors to a scalar.
        tensors: the tensors.

    Returns:
        NumPy arrays in the shapes of the tensors.

    Example:
        >>> gradients(lambda tensors: ops.sum(tensors[0] ** 2), [ops.ones((2,))])[0]
        array([2., 2.], dtype=float32)
    """
    tensors = [ops.convert_to_tensor(x) for x in tensors]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(tensors)
        found = tape.gradient(value, tensors, unconnected_gradients="zero")
    elif backend == "jax":
        import jax

        found = jax.grad(function)(tensors)
    else:
        import torch

        tensors = [x.detach().clone().requires_grad_() for x in tensors]
        found = torch.autograd.grad(function(tensors), tensors, allow_unused=True)
        pairs = zip(found, tensors, strict=True)
        found = [torch.zeros_like(x) if g is None else g for g, x in pairs]
    return [ops.convert_to_numpy(x) for x in found]
