"""The Keras loss of models that compute one value per example by themselves."""

from __future__ import annotations

from typing import Any

import keras

from rbm_tf.shared.types import Tensor


class MeanOverBatch(keras.losses.Loss):
    """Averages values per example, with Keras's own sample weights and scaling over replicas.

    The gradient is that of the mean over the batch of all replicas, also if their shares differ.

    Call arguments:
        y_true: anything of the same length; it is not used.
        y_pred: the values, (batch,).

    Output: their mean, a scalar.

    Example:
        >>> float(MeanOverBatch(name="mean")([0.0], [1.0, 3.0]))
        2.0
    """

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> Tensor:
        mean = super().__call__(y_true, y_pred, sample_weight)
        if keras.backend.backend() != "tensorflow":
            return mean
        from rbm_tf.shared.replicas import in_proportion

        return in_proportion(mean, y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return y_pred
