"""The conditional variational autoencoder, p(x|z, y): the VAE with a condition y beside x and z."""

import keras

from vae_keras.checks import checked_array, input_shapes
from vae_keras.vae import VAE


@keras.saving.register_keras_serializable(package="vae_keras")
class ConditionalVAE(VAE):
    """A VAE of x given y: posterior q(z|x, y), likelihood p(x|z, y), prior N(0, I).

    `fit(x, y)` minimises -ELBO of ln p(x|y), or another objective. Everything else is as in `VAE`,
    with y after x. A data set yields `((x, y),)`, and `predict((x, y))` reconstructs.

    Args:
        encoder: model (x, y) -> (mean, log_var), both (batch, latent_dim).
        decoder: model (z, y) -> the likelihood's parameters, logits of x's shape.
        likelihood, objective, temperature, seed: as in `VAE`.

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

    def __init__(self, encoder, decoder, **kwargs):
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
        return checked_array(y, input_shapes(self.encoder, "encoder")[1], "y")

    def fit(self, x=None, y=None, validation_data=None, **kwargs):
        """Train on data x with conditions y, as `VAE.fit`.

        Args:
            x: array (num, ..); or a data set of `((x, y),)`, without y.
            y: array (num, ..).
            validation_data: x and y, or x, y and sample weights; or a data set.
            **kwargs: as for `keras.Model.fit`.

        Returns:
            `keras.callbacks.History`.
        """
        if isinstance(validation_data, tuple):
            x_and_y, weight = validation_data[:2], validation_data[2:]
            validation_data = (x_and_y, None, *weight) if weight else (x_and_y,)
        return super().fit(_pair(x, y), validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, **kwargs):
        """The mean loss of data x with conditions y, or of a data set, as `VAE.evaluate`."""
        return super().evaluate(_pair(x, y), **kwargs)

    def encode(self, x, y):
        """mean and log_var of q(z|x, y), both (batch, latent_dim)."""
        return super().encode((x, y))

    def decode(self, z, y):
        """The mean of p(x|z, y) for latent variables z (batch, latent_dim)."""
        return self.likelihood.mean(self.decoder((z, self._checked_condition(y))))

    def reconstruct(self, x, y):
        """The decoder's mean at the posterior mean, in the shape of x."""
        return super().reconstruct((x, y))

    def generate(self, y, seed=None):
        """Means of p(x|z, y) for z drawn from the prior, one for each condition.

        Args:
            y: conditions, (num_samples, ..).
            seed: integer; the same seed gives the same examples.

        Returns:
            (num_samples, ..) in the shape of the data.
        """
        y = self._checked_condition(y)
        return self.decode(keras.random.normal((y.shape[0], self.latent_dim), seed=seed), y)

    def sample(self, y, seed=None):
        """Data from the model, one for each condition: z ~ p(z) and x ~ p(x|z, y).

        Args:
            y: conditions, (num_samples, ..).
            seed: integer; the same seed gives the same examples.

        Returns:
            x (num_samples, ..) in the shape of the data, and z (num_samples, latent_dim).
        """
        y = self._checked_condition(y)
        return self._sample(y.shape[0], seed, lambda z: self.decoder((z, y)))

    def log_weights(self, x, y, num_samples, seed=None):
        """ln w = ln p(x|z, y) + ln p(z) - ln q(z|x, y) with z ~ q(z|x, y); <w> = p(x|y).

        Args:
            x: data, (batch, ..).
            y: conditions, (batch, ..).
            num_samples: samples of z for each example.
            seed: integer; the same seed gives the same weights.

        Returns:
            (num_samples, batch), float32, nats.
        """
        return super().log_weights((x, y), num_samples, seed)

    def elbo(self, x, y, num_samples=1, seed=None):
        """The ELBO of ln p(x|y) of each example, with the KL in closed form.

        Args:
            x: data, (batch, ..).
            y: conditions, (batch, ..).
            num_samples: samples of z that the first term averages.
            seed: integer; the same seed gives the same value.

        Returns:
            (batch,), float32, nats.
        """
        return super().elbo((x, y), num_samples, seed)


def _pair(x, y):
    return x if y is None else (x, y)
