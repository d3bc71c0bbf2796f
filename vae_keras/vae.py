"""The variational autoencoder as a Keras model: any encoder, decoder, objective and backend."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from operator import itemgetter
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from rbm_tf.shared.checked_fit import CheckedFit
from rbm_tf.shared.checkpoints import WholeFiles
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.mean_over_batch import MeanOverBatch
from rbm_tf.shared.seeds import integer_seed
from rbm_tf.shared.types import ArrayLike, Tensor
from vae_keras.layers import GaussianKL, GaussianSampling
from vae_keras.layers.inputs import at_least_float32, wide_dtype
from vae_keras.likelihoods import BernoulliNegativeLogLikelihood
from vae_keras.objectives import ELBO
from vae_keras.objectives.draws import PosteriorDraws
from vae_keras.optimizers import FusedAdam
from vae_keras.shared.checks import check_networks, check_shape, checked_array
from vae_keras.shared.compiled import compiled
from vae_keras.shared.repeated import repeated

_BLOCK = 2**23  # pixels that log_weights decodes at once
_PARTS = ("encoder", "decoder", "likelihood", "objective")


@keras.saving.register_keras_serializable(package="vae_keras")
class VAE(CheckedFit, WholeFiles, keras.Model):
    """A variational autoencoder with posterior q(z|x) = N(mean, diag(exp(log_var))), prior N(0, I).

    `fit(x)` minimises the variational free energy -ELBO = -E_q[ln p(x|z)] + KL(q(z|x) || p(z)), one
    sample of z per example and the KL in closed form (B14, B15, B32), or another objective. The two
    terms appear in the log as `reconstruction` and `kl`. It comes compiled with `FusedAdam()`;
    `compile(optimizer)` changes that and takes no loss. Called on x it reconstructs: the decoder's
    mean at the posterior mean.

    At temperature T the ELBO's loss is <E> - T S: the noise of z is scaled by sqrt(T), and `kl` is
    1/2 sum_j [mean_j^2 + T (sigma_j^2 - 1 - ln sigma_j^2)]. At T = 0 a deterministic autoencoder
    with the penalty |z|^2 / 2 on its codes remains (B32).

    Under `tf.distribute` every replica draws the same noise for its share of the batch; under
    `keras.distribution` on JAX the noise is that of one device.

    Args:
        encoder: model that maps x to (mean, log_var), both (batch, latent_dim).
        decoder: model that maps z (batch, latent_dim) to the likelihood's parameters, such as
            logits, in the shape of x.
        likelihood: a `NegativeLogLikelihood`; the default is `BernoulliNegativeLogLikelihood()`.
        objective: a layer of `vae_keras.objectives`; the default is `ELBO()`.
        temperature: the factor T of the entropy in the loss, 0 or above.
        seed: integer that fixes the noise in training.

    Call arguments:
        x: data, (batch, ..) as the encoder takes them.

    Output: the mean of p(x|z) at the posterior mean, the shape of x.

    Raises:
        ValueError: if encoder and decoder do not fit together, or the temperature is not 1 and the
            objective is not the ELBO.

    Reference: Kingma and Welling (2014), Auto-encoding variational Bayes.

    Example:
        >>> vae = VAE(dense_encoder((8, 8), latent_dim=2), dense_decoder((8, 8), latent_dim=2))
        >>> history = vae.fit(ops.zeros((100, 8, 8)), epochs=2, verbose=0)
        >>> tuple(vae.generate(5, seed=0).shape)
        (5, 8, 8)
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        *,
        likelihood: keras.losses.Loss | None = None,
        objective: keras.layers.Layer | None = None,
        temperature: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.unrolled_steps_per_execution = 4  # Keras's loop costs as much as a tenth of a step
        self.encoder, self.decoder = encoder, decoder
        self.likelihood = likelihood or BernoulliNegativeLogLikelihood()
        self.objective = objective or ELBO()
        self.temperature, self.seed = temperature, integer_seed(seed)
        if temperature != 1 and not isinstance(self.objective, ELBO):
            raise ValueError(
                f"A temperature of {temperature} needs the objective ELBO; importance weights "
                "belong to temperature 1."
            )
        self.sampling = GaussianSampling(temperature=temperature, seed=seed, dtype="float32")
        other = None if self.seed is None else self.seed + 1
        self._evaluation_sampling = GaussianSampling(
            temperature=temperature, seed=other, dtype="float32"
        )
        self.kl = GaussianKL(temperature=temperature, dtype="float32", autocast=False)
        self._mean_over_batch = MeanOverBatch(name="mean")
        self._reconstruction_tracker = keras.metrics.Mean(name="reconstruction")
        self._kl_tracker = keras.metrics.Mean(name="kl")
        zeros, self.latent_dim = check_networks(encoder, decoder, self._decoder_input)
        self._data_shape = tree.flatten(zeros)[0].shape[1:]
        self(zeros)  # builds the model
        spec = keras.KerasTensor
        x = tree.map_structure(lambda a: spec((None, *a.shape[1:]), "float32"), zeros)
        pair = [spec((None, self.latent_dim), wide_dtype(a)) for a in encoder(zeros)]
        inputs = *pair, spec((None, None, self.latent_dim), pair[0].dtype), x
        self._log_weights_of = compiled(lambda *a: self._at(*a).log_weights, *inputs)
        self._log_likelihood_of = compiled(lambda *a: self._at(*a).log_likelihood, *inputs)
        self.compile(optimizer=FusedAdam())
        self.optimizer.build(self.trainable_variables)  # so that an untrained model saves whole

    def build(self, input_shape: Any) -> None:
        """Record the input shape; encoder and decoder are built already."""

    def call(self, x: Any) -> Tensor:
        z = self.encoder(x)[0]
        return self.likelihood.mean(self.decoder(self._decoder_input(z, x)))

    def _decoder_input(self, z, x):
        return z

    def _data_part(self, x):
        return x

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Tensor | None = None,
        training: bool = True,
    ) -> Tensor:
        """The mean of the objective over the batch, a scalar in nats."""
        draws = self.draws(x, training=training)
        loss = self.objective.call(draws)
        self._reconstruction_tracker.update_state(draws.reconstruction, sample_weight)
        self._kl_tracker.update_state(draws.kl, sample_weight)
        return self._with_added_losses(self._mean_over_batch(loss, loss, sample_weight))

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """The mean loss of data, as `keras.Model.evaluate`, always with the same noise.

        Validation during `fit` goes through here too: epochs differ by the weights alone, and
        training draws as it would without validation.
        """
        self._evaluation_sampling.restart()
        return super().evaluate(*args, **kwargs)

    def _check(self, x):
        check_shape(x, self._data_shape, "x")
        self.likelihood.check_data(x)

    def _order(self, num, index):
        seed, position = ops.convert_to_numpy(self.sampling.seed_generator.state).tolist()
        steps = int(ops.convert_to_numpy(self.optimizer.iterations))  # moves on without noise too
        key = [seed, position, steps] if index is None else [seed, index]
        return np.random.default_rng(key).permutation(num)

    def draws(self, x: Tensor, *, training: bool = False) -> PosteriorDraws:
        """Draws of z by the sampling layer, as many as the objective takes, with their densities.

        They are what the objective is made of; gradients pass through them.

        Args:
            x: data, tensors (batch, ..).
            training: whether networks and the sampling layer work as in training.

        Returns:
            `PosteriorDraws`.

        Example:
            >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
            >>> tuple(vae.draws(ops.zeros((3, 64))).z.shape)
            (1, 3, 2)
        """
        mean, log_var = (at_least_float32(a) for a in self.encoder(x, training=training))
        shape = (self.objective.num_samples, 1, 1)
        sampling = self.sampling if training else self._evaluation_sampling
        # z and noise: (num_samples, batch, latent_dim)
        z, noise = sampling.draw(ops.tile(mean[None], shape), ops.tile(log_var[None], shape))
        xs = repeated(x, self.objective.num_samples)
        at = partial(self._log_likelihood, x=xs, training=training)
        return PosteriorDraws(mean, log_var, z, noise, at, self.kl)

    def _log_likelihood(self, z, x, training=False):
        """ln p(x|z), (num_samples, batch), for z (.., latent_dim) and x as many times in a row."""
        num_samples = ops.shape(z)[0]
        z = ops.reshape(z, (-1, self.latent_dim))  # (num_samples * batch, latent_dim)
        parameters = self.decoder(self._decoder_input(z, x), training=training)
        loss = ops.cast(self.likelihood.call(self._data_part(x), parameters), z.dtype)
        return -ops.reshape(loss, (num_samples, -1))  # (num_samples, batch)

    def encode(self, x: ArrayLike) -> tuple[Tensor, Tensor]:
        """The posterior of the latent variables.

        Args:
            x: data, (batch, ..).

        Returns:
            mean and log_var of q(z|x), both (batch, latent_dim).
        """
        return self.encoder(self._checked(x))

    def decode(self, z: ArrayLike) -> Tensor:
        """The mean of p(x|z).

        Args:
            z: latent variables, (batch, latent_dim).

        Returns:
            (batch, ..) in the shape of the data.
        """
        return self.likelihood.mean(self.decoder(z))

    def reconstruct(self, x: ArrayLike) -> Tensor:
        """The mean of p(x|z) at the posterior mean.

        Args:
            x: data, (batch, ..).

        Returns:
            The shape of x.
        """
        return self(self._checked(x))

    def generate(self, num_samples: int, *, seed: int | None = None) -> Tensor:
        """Means of p(x|z) for z drawn from the prior.

        Args:
            num_samples: the number of examples to draw.
            seed: integer that fixes the draws; the same seed gives the same examples.

        Returns:
            (num_samples, ..) in the shape of the data.

        Raises:
            ValueError: if num_samples is below 1.
        """
        check_counts(num_samples=num_samples)
        return self.decode(
            keras.random.normal((num_samples, self.latent_dim), seed=integer_seed(seed))
        )

    def sample(self, num_samples: int, *, seed: int | None = None) -> tuple[Tensor, Tensor]:
        """Data from the model, with what they came from: z ~ p(z) and x ~ p(x|z).

        Given x, that z is an exact draw from the posterior p(z|x).

        Args:
            num_samples: the number of examples to draw.
            seed: integer that fixes the draws; the same seed gives the same examples.

        Returns:
            x (num_samples, ..) in the shape of the data, and z (num_samples, latent_dim).

        Raises:
            ValueError: if num_samples is below 1.
        """
        check_counts(num_samples=num_samples)
        return self._sample(num_samples, seed, self.decoder)

    def _sample(self, num_samples, seed, decoder):
        generator = keras.random.SeedGenerator(integer_seed(seed))
        z = keras.random.normal((num_samples, self.latent_dim), seed=generator)
        return self.likelihood.sample(decoder(z), generator), z

    def log_weights(self, x: ArrayLike, num_samples: int, *, seed: int | None = None) -> Tensor:
        """Log importance weights ln w = ln p(x|z) + ln p(z) - ln q(z|x) with z ~ q(z|x).

        <w> = p(x): every estimate in `vae_keras.evidence` is a function of these numbers alone
        (B18, B25). The weights are computed in blocks; the result alone is held in memory. At a
        temperature T, q is N(mean, T diag(exp(log_var))), as in training.

        Args:
            x: data, (batch, ..). Arrays are checked, tensors are taken as they are.
            num_samples: the number of draws of z for each example.
            seed: integer that fixes the draws; the same seed gives the same weights.

        Returns:
            (num_samples, batch), float32, or float64 if the encoder computes in it, nats.

        Raises:
            ValueError: if num_samples is below 1, x does not fit the encoder and the likelihood, or
                the temperature is 0.

        Example:
            >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
            >>> tuple(vae.log_weights(ops.zeros((3, 64)), num_samples=10, seed=0).shape)
            (10, 3)
        """
        blocks = self._blocks_of_noise(x, num_samples, seed)
        return ops.concatenate([self._log_weights_of(*block) for block in blocks])

    def elbo(self, x: ArrayLike, *, num_samples: int = 1, seed: int | None = None) -> Tensor:
        """<ln p(x|z)>_q - KL(q(z|x) || p(z)) of each example, the KL in closed form (B14).

        Args:
            x: data, (batch, ..). Arrays are checked, tensors are taken as they are.
            num_samples: the number of draws of z that the first term averages.
            seed: integer that fixes the draws; the same seed gives the same value.

        Returns:
            (batch,), float32, or float64 if the encoder computes in it, nats.

        Raises:
            ValueError: as for `log_weights`.

        Example:
            >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
            >>> tuple(vae.elbo(ops.zeros((3, 64)), num_samples=10, seed=0).shape)
            (3,)
        """
        parts = []
        for block in self._blocks_of_noise(x, num_samples, seed):
            parts.append(self._log_likelihood_of(*block))
        return ops.mean(ops.concatenate(parts), axis=0) - GaussianKL(autocast=False)(block[:2])

    def blocks_of_draws(
        self, x: ArrayLike, num_samples: int, *, seed: int | None = None
    ) -> Iterator[PosteriorDraws]:
        """The draws whose log-weights `log_weights` returns, in blocks of bounded memory.

        Args:
            x: data, (batch, ..). Arrays are checked, tensors are taken as they are.
            num_samples: the number of draws of z for each example.
            seed: integer that fixes the draws; the same seed gives the same ones.

        Yields:
            `PosteriorDraws`, of num_samples draws in all.

        Raises:
            ValueError: as for `log_weights`.

        Example:
            >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
            >>> (block,) = vae.blocks_of_draws(ops.zeros((3, 64)), 10, seed=0)
            >>> tuple(block.log_weights.shape)
            (10, 3)
        """
        for block in self._blocks_of_noise(x, num_samples, seed):
            yield self._at(*block)

    def _blocks_of_noise(self, x, num_samples, seed):
        """Yield mean, log_var, the noise of a block of samples, and x for each of them."""
        check_counts(num_samples=num_samples)
        if not self.temperature:
            raise ValueError("A deterministic autoencoder, of temperature 0, has no log-weights.")
        x = self._checked(x)
        mean, log_var = (at_least_float32(a) for a in self.encoder(x))
        log_var = log_var + math.log(self.temperature)
        generator = keras.random.SeedGenerator(integer_seed(seed))
        size = max(1, _BLOCK // max(1, math.prod(self._data_part(x).shape)))
        xs = repeated(x, min(size, num_samples))
        for start in range(0, num_samples, size):
            shape = (min(size, num_samples - start), *mean.shape)  # (size, batch, latent_dim)
            noise = keras.random.normal(shape, dtype=mean.dtype, seed=generator)
            rows = itemgetter(slice(shape[0] * shape[1]))
            yield mean, log_var, noise, tree.map_structure(rows, xs)

    def _at(self, mean, log_var, noise, x):
        """The draws that the noise makes."""
        z = mean + ops.exp(0.5 * log_var) * noise
        return PosteriorDraws(mean, log_var, z, noise, partial(self._log_likelihood, x=x), self.kl)

    def _checked(self, x):
        values = checked_array(x, self._data_shape, "x")
        if not ops.is_tensor(x):  # a tensor may be symbolic
            self.likelihood.check_data(values)
        return values

    def get_config(self) -> dict[str, Any]:
        parts = {name: getattr(self, name) for name in _PARTS}
        serialized = {k: keras.saving.serialize_keras_object(v) for k, v in parts.items()}
        own = {"temperature": self.temperature, "seed": self.seed}
        return {**super().get_config(), **serialized, **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VAE:
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in _PARTS}
        return cls(**{**config, **parts})
