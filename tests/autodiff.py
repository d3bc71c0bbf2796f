"""Derivatives by the automatic differentiation of whichever backend Keras runs on."""

import keras
import numpy as np
from keras import ops


def jacobian(function, x):
    """The derivative of each entry of function(x) by each entry of x, as a numpy array."""
    x = ops.convert_to_tensor(x)
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.jacobian(y, x).numpy()
    if backend == "jax":
        import jax

        return np.asarray(jax.jacobian(function)(x))
    import torch

    return torch.autograd.functional.jacobian(function, x).detach().cpu().numpy()
