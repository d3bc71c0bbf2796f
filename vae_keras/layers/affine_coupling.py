"""The affine coupling layer: an invertible network with a triangular Jacobian."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.seeds import seed_of_keras
from rbm_tf.shared.types import ArrayLike, Shape, Tensor
from vae_keras.layers.inputs import at_least_float32, is_one_shape
from vae_keras.parts.coupling import Coupling
from vae_keras.parts.inputs import float_dtype


@keras.saving.register_keras_serializable(package="vae_keras")
class AffineCoupling(keras.layers.Layer):
    """Maps z to (z', ln |det dz'/dz|): one half of z scales and shifts the other half.

    z'_a = z_a and z'_b = z_b exp(s(z_a)) + t(z_a), so that ln |det dz'/dz| = sum s(z_a). s lies in
    (-1, 1), s and t come from a network with one hidden layer, and the layer starts as the
    identity. `inverse` undoes it exactly. Stack layers with flip on every other one.

    Args:
        num_hidden: number of units in the hidden layer, with relu.
        flip: whether to move the first half given the second, in place of the second given the
            first.
        seed: integer that fixes the initial weights.

    Call arguments:
        z: points to map, (batch, .., dim) with dim of 2 or more; of an odd dim the first half is
            the smaller one.

    Output: z', (batch, .., dim), and ln |det dz'/dz| of each point, (batch, ..), nats; both
        float32 or wider.

    Raises:
        ValueError: if num_hidden is below 1, or z is not such points.

    Reference: Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using real NVP,
    equations 7 and 8.

    Example:
        >>> layer = AffineCoupling(seed=0)
        >>> moved, log_det = layer(ops.ones((1, 4)))
        >>> print(ops.convert_to_numpy(moved), float(log_det[0]))
        [[1. 1. 1. 1.]] 0.0
    """

    def __init__(
        self, num_hidden: int = 64, *, flip: bool = False, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        check_counts(num_hidden=num_hidden)
        self.num_hidden, self.flip, self.seed = num_hidden, flip, seed_of_keras(seed)

    def build(self, input_shape: Shape) -> None:
        self._step = Coupling(
            _checked_dim(input_shape),
            flip=self.flip,
            num_hidden=self.num_hidden,
            seed=self.seed,
            dtype=self.variable_dtype,
        )

    def call(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self._in_rows(self._step, z)

    def inverse(self, z: ArrayLike) -> tuple[Tensor, Tensor]:
        """The z that `call` maps to this one, and ln |det| of the inverse map.

        Args:
            z: points that `call` returned, (batch, .., dim).

        Returns:
            The points that it was given, (batch, .., dim), and minus the ln |det| of `call` there,
            (batch, ..), nats.

        Raises:
            ValueError: if the layer has no weights yet.

        Example:
            >>> layer = AffineCoupling()
            >>> back, log_det = layer.inverse(layer(ops.ones((1, 2)))[0])
            >>> print(ops.convert_to_numpy(back))
            [[1. 1.]]
        """
        if not self.built:
            raise ValueError("The layer has no weights yet: call it, or build it, before inverse.")
        return self._in_rows(self._step.inverse, ops.convert_to_tensor(z))

    def _in_rows(self, step, z):
        shape = ops.shape(z)
        moved, log_det = step(ops.reshape(at_least_float32(z), (-1, shape[-1])))
        return ops.reshape(moved, shape), ops.reshape(log_det, shape[:-1])

    def compute_mask(self, z: Any, previous_mask: Any) -> tuple[Any, Any]:
        return previous_mask, None

    def compute_output_shape(self, input_shape: Shape) -> tuple[Shape, Shape]:
        _checked_dim(input_shape)
        return input_shape, input_shape[:-1]

    def compute_output_spec(self, z: keras.KerasTensor) -> tuple[keras.KerasTensor, ...]:
        shapes = self.compute_output_shape(z.shape)
        return tuple(keras.KerasTensor(shape, float_dtype(z)) for shape in shapes)

    def get_config(self) -> dict[str, Any]:
        own = {"num_hidden": self.num_hidden, "flip": self.flip, "seed": self.seed}
        return {**super().get_config(), **own}


def _checked_dim(shape):
    if not is_one_shape(shape) or len(shape) < 2 or shape[-1] is None or shape[-1] < 2:
        raise ValueError(
            f"AffineCoupling takes z of shape (batch, .., dim) with dim 2 or more; got {shape}."
        )
    return shape[-1]
