"""The variational autoencoder as a Keras model: any encoder, any decoder, any backend."""

import math

import keras
from keras import ops

from vae_keras.layers import GaussianKL, GaussianSampling
from vae_keras.likelihoods import BernoulliNegativeLogLikelihood

_BLOCK = 2**23  # pixels decoded at once by log_weights


@keras.saving.register_keras_serializable(package="vae_keras")
class VAE(keras.Model):
    """A variational autoencoder with posterior q(z|x) = N(mean, diag(exp(log_var))), prior N(0, I).

    `fit(x)` minimises the variational free energy -ELBO = -E_q[ln p(x|z)] + KL(q(z|x) || p(z)), one
    sample of z per example and the KL in closed form (B14, B15, B32). The two terms appear in the
    log as `reconstruction` and `kl`. It comes compiled with Adam; `compile(optimizer)` changes that
    and takes no loss. Called on x it reconstructs: the decoder's mean at the posterior mean.

    Args:
        encoder: model x -> (mean, log_var), both (batch, latent_dim).
        decoder: model z (batch, latent_dim) -> the likelihood's parameters, logits of x's shape.
        likelihood: loss that gives -ln p(x|z) per example; default
            `BernoulliNegativeLogLikelihood`.
        seed: of the noise in training.

    Raises:
        ValueError: if encoder and decoder do not fit together.

    Reference: Kingma and Welling (2014), Auto-encoding variational Bayes.

    Example:
        >>> vae = VAE(dense_encoder((8, 8), latent_dim=2), dense_decoder((8, 8), latent_dim=2))
        >>> history = vae.fit(ops.zeros((100, 8, 8)), epochs=2, verbose=0)
        >>> tuple(vae.generate(5, seed=0).shape)
        (5, 8, 8)
    """

    def __init__(self, encoder, decoder, likelihood=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder
        self.likelihood = likelihood or BernoulliNegativeLogLikelihood()
        self.seed = seed
        self.sampling = GaussianSampling(seed)
        self.kl = GaussianKL()
        self._mean_over_batch = _MeanOverBatch(name="mean")
        self._reconstruction_tracker = keras.metrics.Mean(name="reconstruction")
        self._kl_tracker = keras.metrics.Mean(name="kl")
        self.latent_dim, self._input_dims = self._check_networks()
        self.compile(optimizer="adam")
        self.optimizer.build(self.trainable_variables)  # so that an untrained model saves whole

    def _check_networks(self):
        """Call the model once on zeros: this builds it, and finds networks that do not fit."""
        try:
            input_dims = tuple(self.encoder.input_shape[1:])
        except AttributeError as error:
            raise ValueError(
                "The encoder must know its input shape: make it a functional model, as "
                "vae_keras.networks.dense_encoder does, or call it once on data."
            ) from error
        outputs = self.encoder(ops.zeros((1, *input_dims)))
        if not isinstance(outputs, (tuple, list)) or len(outputs) != 2:
            raise ValueError("The encoder must return a pair (mean, log_var).")
        mean, log_var = (tuple(x.shape) for x in outputs)
        if mean != log_var or len(mean) != 2:
            raise ValueError(
                "The encoder's mean and log_var must both have shape (batch, latent_dim); got "
                f"{mean} and {log_var}."
            )
        expected = getattr(self.decoder, "input_shape", mean)
        if tuple(expected[1:]) != mean[1:]:
            raise ValueError(
                f"The encoder has {mean[1]} latent variables, but the decoder takes an input of "
                f"shape {tuple(expected)}: build both with the same latent_dim."
            )
        reconstruction = self(ops.zeros((1, *input_dims)))
        if tuple(reconstruction.shape[1:]) != input_dims:
            raise ValueError(
                f"The encoder takes data of shape {input_dims}, but the decoder returns "
                f"{tuple(reconstruction.shape[1:])}: give the decoder the data's shape."
            )
        return mean[1], input_dims

    def build(self, input_shape):
        """Record the input shape; encoder and decoder are built already."""

    def call(self, x):
        return self.likelihood.mean(self.decoder(self.encoder(x)[0]))

    def encode(self, x):
        """The posterior of the latent variables.

        Args:
            x: data, (batch, ..).

        Returns:
            mean and log_var of q(z|x), both (batch, latent_dim).
        """
        return self.encoder(self._checked(x))

    def decode(self, z):
        """The mean of p(x|z) for latent variables z (batch, latent_dim)."""
        return self.likelihood.mean(self.decoder(z))

    def reconstruct(self, x):
        """The decoder's mean at the posterior mean, in the shape of x."""
        return self(self._checked(x))

    def generate(self, num_samples, seed=None):
        """Means of p(x|z) for z drawn from the prior.

        Args:
            num_samples: number of examples.
            seed: integer; the same seed gives the same examples.

        Returns:
            (num_samples, ..) in the shape of the data.
        """
        return self.decode(keras.random.normal((num_samples, self.latent_dim), seed=seed))

    def log_weights(self, x, num_samples, seed=None):
        """Log importance weights ln w = ln p(x|z) + ln p(z) - ln q(z|x) with z ~ q(z|x).

        <w> = p(x): every estimate in `vae_keras.evidence` is a function of these numbers alone
        (B18, B25). The normalisers of prior and posterior cancel. The weights are computed in
        blocks; the result alone is held in memory.

        Args:
            x: data, (batch, ..).
            num_samples: samples of z for each example.
            seed: integer; the same seed gives the same weights.

        Returns:
            (num_samples, batch), float32, nats.

        Raises:
            ValueError: if num_samples is below 1, or x has another shape than the encoder's input.

        Example:
            >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
            >>> tuple(vae.log_weights(ops.zeros((3, 64)), num_samples=10, seed=0).shape)
            (10, 3)
        """
        parts = [
            log_likelihood + 0.5 * ops.sum(ops.square(eps) + log_var - ops.square(z), axis=-1)
            for eps, z, log_var, log_likelihood in self._posterior_samples(x, num_samples, seed)
        ]
        return ops.concatenate(parts)

    def elbo(self, x, num_samples=1, seed=None):
        """The ELBO of each example, <ln p(x|z)>_q - KL(q(z|x) || p(z)), with the KL in closed form.

        Args:
            x: data, (batch, ..).
            num_samples: samples of z that the first term averages.
            seed: integer; the same seed gives the same value.

        Returns:
            (batch,), float32, nats.

        Raises:
            ValueError: if num_samples is below 1, or x has another shape than the encoder's input.

        Reference: B14.

        Example:
            >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
            >>> tuple(vae.elbo(ops.zeros((3, 64)), num_samples=10, seed=0).shape)
            (3,)
        """
        samples = self._posterior_samples(x, num_samples, seed)
        log_likelihood = ops.concatenate([part[-1] for part in samples])
        return ops.mean(log_likelihood, axis=0) - self.kl(self.encode(x))

    def _posterior_samples(self, x, num_samples, seed):
        """Draw z = mean + sigma eps in blocks; yields eps, z, log_var and ln p(x|z)."""
        if num_samples < 1:
            raise ValueError(f"num_samples must be 1 or more; got {num_samples}.")
        x = self._checked(x)
        mean, log_var = (ops.cast(a, "float32") for a in self.encoder(x))
        generator = keras.random.SeedGenerator(seed)
        block = max(1, _BLOCK // max(1, math.prod(x.shape)))
        for start in range(0, num_samples, block):
            shape = (min(block, num_samples - start), *mean.shape)
            eps = keras.random.normal(shape, seed=generator)
            z = mean + ops.exp(0.5 * log_var) * eps  # (block, batch, latent_dim)
            logits = self.decoder(ops.reshape(z, (-1, self.latent_dim)))
            tiled = ops.tile(x, (shape[0],) + (1,) * (len(x.shape) - 1))
            log_likelihood = -ops.reshape(self.likelihood.call(tiled, logits), shape[:2])
            yield eps, z, log_var, log_likelihood

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The mean of -ELBO over the batch."""
        mean, log_var = self.encoder(x, training=training)
        logits = self.decoder(self.sampling((mean, log_var)), training=training)
        reconstruction, kl = self.likelihood.call(x, logits), self.kl((mean, log_var))
        self._reconstruction_tracker.update_state(reconstruction, sample_weight)
        self._kl_tracker.update_state(kl, sample_weight)
        return self._mean_over_batch(kl, reconstruction + kl, sample_weight)

    def _checked(self, x):
        x = ops.convert_to_tensor(x, dtype="float32")
        if tuple(x.shape[1:]) != self._input_dims:
            raise ValueError(
                f"x must have shape (batch, {', '.join(map(str, self._input_dims))}); got "
                f"{tuple(x.shape)}."
            )
        return x

    def get_config(self):
        parts = {"encoder": self.encoder, "decoder": self.decoder, "likelihood": self.likelihood}
        serialized = {k: keras.saving.serialize_keras_object(v) for k, v in parts.items()}
        return {**super().get_config(), **serialized, "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        parts = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in ("encoder", "decoder", "likelihood")
        }
        return cls(**{**config, **parts})


class _MeanOverBatch(keras.losses.Loss):
    """Averages per-example values, with Keras's own sample weights and replica scaling."""

    def call(self, y_true, y_pred):
        return y_pred
