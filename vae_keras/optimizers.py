"""Optimizers that cost less time than Keras's own and do the same."""

from __future__ import annotations

import keras

from rbm_tf.shared.types import Tensor


@keras.saving.register_keras_serializable(package="vae_keras")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with one pass over memory for each variable, on TensorFlow.

    Keras writes Adam's update as a dozen operations, each of which reads and writes whole arrays:
    up to a quarter of a step of a small network with small batches. TensorFlow's kernel does them
    together. Arguments, state and values are those of Keras's class, up to rounding. Other
    backends, sparse gradients and `amsgrad` take Keras's update.

    Reference: Kingma and Ba (2015), Adam: a method for stochastic optimization.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(FusedAdam(1e-3), "mse")
        >>> history = model.fit(ops.ones((8, 3)), ops.ones((8, 1)), verbose=0)
    """

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        if keras.backend.backend() != "tensorflow" or self.amsgrad:
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        if isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable, learning_rate)
        index = self._get_variable_index(variable)
        rate, step, gradient = (
            tf.cast(a, variable.dtype) for a in (learning_rate, self.iterations + 1, gradient)
        )
        return tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
