"""A posterior beyond mean field: a Gaussian sample moved by a normalising flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.layers.affine_coupling import AffineCoupling
from vae_keras.layers.inputs import at_least_float32, common_mask, common_shape
from vae_keras.parts.inputs import float_dtype, total, widened
from vae_keras.shared.random_layer import RandomLayer


@keras.saving.register_keras_serializable(package="vae_keras")
class FlowPosterior(RandomLayer):
    """Draws z from a Gaussian moved by a flow, and gives its KL against N(0, I) at that sample.

    z_0 = mean + exp(0.5 log_var) eps goes through coupling layers that alternate the halves, and
    kl = ln q(z|x) - ln p(z) with ln q(z|x) = ln q(z_0|x) - sum ln |det|: an estimate from one
    sample per example, whose mean is KL(q(z|x) || N(0, I)). It starts as the mean-field
    Gaussian (B29) and can represent correlations, which that cannot. The flow is the same for
    every x.

    Args:
        num_layers: number of coupling layers, at least 1.
        num_hidden: number of units in the hidden layer of each.
        seed: integer that fixes the draws and the initial weights.

    Call arguments:
        inputs: pair (mean, log_var) of equal shapes, (batch, .., dim) with dim of 2 or more; the
            same flow moves all vectors of an example.
        mask: Keras mask of the inputs; what it hides adds nothing to kl.

    Output: z, (batch, .., dim), and kl, (batch,), nats, float32 or wider; kl may be negative.

    Raises:
        ValueError: if num_layers or num_hidden is below 1, or the input is not such a pair.

    Reference: Rezende and Mohamed (2015), Variational inference with normalizing flows, equation
    15; Dinh, Sohl-Dickstein and Bengio (2017).

    Example:
        >>> z, kl = FlowPosterior(seed=0)((ops.zeros((3, 2)), ops.zeros((3, 2))))
        >>> print(ops.convert_to_numpy(kl))  # the flow starts as the identity
        [0. 0. 0.]
    """

    def __init__(
        self, num_layers: int = 4, *, num_hidden: int = 64, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed, **kwargs)
        self.supports_masking = True
        check_counts(num_layers=num_layers)
        self.num_layers, self.num_hidden = num_layers, num_hidden
        self.couplings = [
            AffineCoupling(
                num_hidden,
                flip=index % 2 == 1,
                seed=None if seed is None else seed + index + 1,
                dtype=self.variable_dtype,
            )
            for index in range(num_layers)
        ]

    def build(self, input_shape: Shapes) -> None:
        shape = self.compute_output_shape(input_shape)[0]
        for coupling in self.couplings:
            coupling.build(shape)

    def call(self, inputs: tuple[Tensor, Tensor], mask: Any = None) -> tuple[Tensor, Tensor]:
        mean, log_var = (at_least_float32(x) for x in inputs)
        eps = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.seed_generator)
        z = mean + ops.exp(0.5 * log_var) * eps  # (batch, .., dim)
        log_det = ops.zeros_like(z[..., 0])  # (batch, ..)
        for coupling in self.couplings:
            z, step = coupling(z)
            log_det = log_det + step
        kl = 0.5 * ops.sum(ops.square(z) - ops.square(eps) - log_var, axis=-1) - log_det
        mask = common_mask(mask)
        if mask is not None:
            kl = ops.where(widened(mask, kl), kl, 0.0)
        return ops.cast(z, self.compute_dtype), total(kl)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> tuple[Any, None]:
        return common_mask(previous_mask), None

    def compute_output_shape(self, input_shape: Shapes) -> tuple[Shape, Shape]:
        takes = f"{type(self).__name__} takes a pair (mean, log_var)"
        shape = common_shape(input_shape, counts=(2,), takes=takes)
        return shape, shape[:1]

    def compute_output_spec(
        self, inputs: Sequence[keras.KerasTensor], mask: Any = None
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        z_shape, kl_shape = self.compute_output_shape([x.shape for x in inputs])
        z = keras.KerasTensor(z_shape, self.compute_dtype)
        return z, keras.KerasTensor(kl_shape, float_dtype(inputs))

    def get_config(self) -> dict[str, Any]:
        own = {"num_layers": self.num_layers, "num_hidden": self.num_hidden}
        return {**super().get_config(), **own}
