"""The conditional variational autoencoder, p(x|z, y): the VAE with a condition y beside x and z."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from rbm_tf.shared.seeds import integer_seed
from rbm_tf.shared.types import ArrayLike, Tensor
from vae_keras.shared.checks import check_shape, checked_array, input_shapes
from vae_keras.vae import VAE


@keras.saving.register_keras_serializable(package="vae_keras")
class ConditionalVAE(VAE):
    """A VAE of x given y: posterior q(z|x, y), likelihood p(x|z, y), prior N(0, I).

    `fit(x, y)` minimises -ELBO of ln p(x|y), or another objective. Everything else is as in `VAE`,
    with y after x. A data set yields `(x, y)`, `(x, y, sample_weight)` or a dict by the names of
    the encoder's inputs, and `predict((x, y))` reconstructs.

    Args:
        encoder: model that maps (x, y) to (mean, log_var), both (batch, latent_dim).
        decoder: model that maps (z, y) to the likelihood's parameters, such as logits, in the shape
            of x.
        **kwargs: likelihood, objective, temperature and seed, as `VAE` takes them.

    Call arguments:
        x: pair (x, y) of data and conditions, each (batch, ..).

    Output: the mean of p(x|z, y) at the posterior mean, the shape of the data.

    Raises:
        ValueError: if encoder and decoder do not fit together, or do not take a condition.

    Reference: Sohn, Lee and Yan (2015), Learning structured output representation using deep
    conditional generative models; B14.

    Example:
        >>> x, y, z = keras.Input((64,)), keras.Input((10,)), keras.Input((2,))
        >>> x_and_y, z_and_y = (keras.layers.Concatenate()((a, y)) for a in (x, z))
        >>> encoder = keras.Model((x, y), dense_encoder((74,), latent_dim=2)(x_and_y))
        >>> decoder = keras.Model((z, y), dense_decoder((64,), latent_dim=12)(z_and_y))
        >>> vae = ConditionalVAE(encoder, decoder)
        >>> history = vae.fit(np.zeros((100, 64)), np.eye(10)[np.arange(100) % 10], verbose=0)
        >>> tuple(vae.generate(np.eye(10), seed=0).shape)
        (10, 64)
    """

    def __init__(self, encoder: keras.Model, decoder: keras.Model, **kwargs: Any) -> None:
        for model, name, first in ((encoder, "encoder", "x"), (decoder, "decoder", "z")):
            if len(input_shapes(model, name)) != 2:
                raise ValueError(
                    f"The {name} of a conditional VAE must take two inputs, {first} and the "
                    f"condition y: build it as keras.Model(({first}, y), ..)."
                )
        super().__init__(encoder, decoder, **kwargs)

    def _decoder_input(self, z, inputs):
        return z, inputs[1]

    def _data_part(self, inputs):
        return inputs[0]

    def _checked(self, inputs):
        x, y = super()._checked(inputs[0]), self._checked_condition(inputs[1])
        if x.shape[0] != y.shape[0]:
            raise ValueError(f"x and y must be of one length; got {x.shape[0]} and {y.shape[0]}.")
        return x, y

    def _checked_condition(self, y):
        values = checked_array(y, self._condition_shape, "y")
        if not ops.is_tensor(y):  # a tensor may be symbolic
            self._check_condition(ops.convert_to_numpy(values))
        return values

    def _check_condition(self, y):
        check_shape(y, self._condition_shape, "y")
        if not np.all(np.isfinite(y)):
            raise ValueError("y must be finite: remove or replace NaN and infinite values.")

    @property
    def _condition_shape(self):
        return input_shapes(self.encoder, "encoder")[1]

    def _inputs(self, x, y):
        """x and y from `fit(x, y)`, or both from x: a pair, or a dict by the encoder's names."""
        names = [tensor.name for tensor in self.encoder.inputs]
        if isinstance(x, dict):
            x, y = x.get(names[0]), x.get(names[1], y)
        pair = x if y is None else (x, y)
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or any(a is None for a in pair):
            raise ValueError(
                "A conditional VAE takes data x and conditions y: fit(x, y), a data set of (x, y) "
                f"or ((x, y),), or a dict with the keys {', '.join(names)}."
            )
        return tuple(pair)

    def _check(self, x, y):
        super()._check(x)
        self._check_condition(y)

    def encode(self, x: ArrayLike, y: ArrayLike) -> tuple[Tensor, Tensor]:
        """The posterior of the latent variables.

        Args:
            x: data, (batch, ..).
            y: conditions, (batch, ..).

        Returns:
            mean and log_var of q(z|x, y), both (batch, latent_dim).
        """
        return super().encode((x, y))

    def decode(self, z: ArrayLike, y: ArrayLike) -> Tensor:
        """The mean of p(x|z, y).

        Args:
            z: latent variables, (batch, latent_dim).
            y: conditions, (batch, ..).

        Returns:
            (batch, ..) in the shape of the data.
        """
        return self.likelihood.mean(self.decoder((z, self._checked_condition(y))))

    def reconstruct(self, x: ArrayLike, y: ArrayLike) -> Tensor:
        """The mean of p(x|z, y) at the posterior mean.

        Args:
            x: data, (batch, ..).
            y: conditions, (batch, ..).

        Returns:
            The shape of x.
        """
        return super().reconstruct((x, y))

    def generate(self, y: ArrayLike, *, seed: int | None = None) -> Tensor:
        """Means of p(x|z, y) for z drawn from the prior, one for each condition.

        Args:
            y: conditions, (num_samples, ..), one for each example to draw.
            seed: integer that fixes the draws; the same seed gives the same examples.

        Returns:
            (num_samples, ..) in the shape of the data.
        """
        y = self._checked_condition(y)
        return self.decode(
            keras.random.normal((y.shape[0], self.latent_dim), seed=integer_seed(seed)), y
        )

    def sample(self, y: ArrayLike, *, seed: int | None = None) -> tuple[Tensor, Tensor]:
        """Data from the model, one for each condition: z ~ p(z) and x ~ p(x|z, y).

        Args:
            y: conditions, (num_samples, ..), one for each example to draw.
            seed: integer that fixes the draws; the same seed gives the same examples.

        Returns:
            x (num_samples, ..) in the shape of the data, and z (num_samples, latent_dim).
        """
        y = self._checked_condition(y)
        return self._sample(y.shape[0], seed, lambda z: self.decoder((z, y)))

    def log_weights(
        self, x: ArrayLike, y: ArrayLike, num_samples: int, *, seed: int | None = None
    ) -> Tensor:
        """ln w = ln p(x|z, y) + ln p(z) - ln q(z|x, y) with z ~ q(z|x, y); <w> = p(x|y).

        Args:
            x: data, (batch, ..).
            y: conditions, (batch, ..).
            num_samples: the number of draws of z for each example.
            seed: integer that fixes the draws; the same seed gives the same weights.

        Returns:
            (num_samples, batch), float32, nats.
        """
        return super().log_weights((x, y), num_samples, seed=seed)

    def elbo(
        self, x: ArrayLike, y: ArrayLike, *, num_samples: int = 1, seed: int | None = None
    ) -> Tensor:
        """The ELBO of ln p(x|y) of each example, with the KL in closed form.

        Args:
            x: data, (batch, ..).
            y: conditions, (batch, ..).
            num_samples: the number of draws of z that the first term averages.
            seed: integer that fixes the draws; the same seed gives the same value.

        Returns:
            (batch,), float32, nats.
        """
        return super().elbo((x, y), num_samples=num_samples, seed=seed)
