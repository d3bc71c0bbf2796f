"""Penalties on the kernel, besides those of `keras.regularizers`."""

from __future__ import annotations

import keras
from keras import ops

from rbm_tf.shared.types import Tensor


@keras.saving.register_keras_serializable(package="rbm_tf")
class SquaredL1(keras.regularizers.Regularizer):
    """factor sum_j (sum_i |W_ij|)^2, which makes the weights of a hidden unit sparse.

    The slope in |W_ij| is 2 factor sum_i |W_ij|: it grows with the unit's weights, so that a strong
    unit is pruned more and no unit is pruned away, as L1 does. Use it as
    `RBM(.., kernel_regularizer=SquaredL1(1e-3))`. `keras.regularizers` has L1 and L2.

    Args:
        factor: what the sum is multiplied by, nats, 0 or more.

    Call arguments:
        x: the kernel, (num_visible, num_hidden).

    Output: scalar, nats.

    Raises:
        ValueError: if factor is below 0.

    Reference: Tubiana, Cocco and Monasson (2019), Learning protein constitutive motifs from
    sequence data, where it is called L1^2.

    Example:
        >>> float(SquaredL1(0.5)(np.array([[1.0, 0.0], [-2.0, 1.0]])))  # (3^2 + 1^2)/2
        5.0
    """

    def __init__(self, factor: float) -> None:
        if not factor >= 0:
            raise ValueError(f"factor must be 0 or more; got {factor!r}.")
        self.factor = float(factor)

    def __call__(self, x: Tensor) -> Tensor:
        return self.factor * ops.sum(ops.square(ops.sum(ops.absolute(x), 0)))

    def get_config(self) -> dict[str, float]:
        return {"factor": self.factor}
