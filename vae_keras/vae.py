"""The variational autoencoder as a Keras model: any networks, parts, objective and backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from rbm_tf.shared.checked_fit import CheckedFit
from rbm_tf.shared.checkpoints import WholeFiles
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.mean_over_batch import MeanOverBatch
from rbm_tf.shared.seeds import integer_seed
from rbm_tf.shared.types import Tensor
from vae_keras.objectives import ELBO, check_objective
from vae_keras.optimizers import FusedAdam
from vae_keras.parts import Bernoulli, Draws, Gaussian, Latents, Part
from vae_keras.parts.inputs import as_generator
from vae_keras.shared.checks import (
    check_networks,
    check_shape,
    checked_array,
    shapes_of_data,
    zeros_of,
)
from vae_keras.shared.random_layer import RandomLayer
from vae_keras.shared.repeated import repeated

# Networks first: a part that holds one of them, as Vamp does, finds it again in a file.
_OBJECTS = ("encoder", "decoder", "likelihood", "objective", "posterior", "prior", "prior_network")


@keras.saving.register_keras_serializable(package="vae_keras")
class VAE(CheckedFit, WholeFiles, keras.Model):
    """A variational autoencoder: posterior q(z|x), prior p(z), likelihood p(x|z), each any part.

    By default they are N(mean, diag(exp(log_var))), N(0, I) and Bernoulli pixels. `fit(x)`
    minimises the variational free energy -ELBO = -E_q[ln p(x|z)] + KL(q(z|x) || p(z)), one sample
    of z per example and the KL in closed form if it has one (B14, B15, B32), or another objective.
    The two terms appear in the log as `reconstruction` and `kl`. It comes compiled with
    `FusedAdam()`; `compile(optimizer)` changes that and takes no loss. Called on x it reconstructs:
    the decoder's mean at the posterior mean.

    A conditional model has networks that name their inputs (`keras.Input(.., name="y")`): x is then
    a dict of arrays, of which the likelihood scores the target, and ln p(x|y) takes the place of
    ln p(x) everywhere. `fit(x, y)` is `fit({"x": x, "y": y})` where there is one condition.

    At temperature T the ELBO's loss is <E> - T S: the noise of z is scaled by sqrt(T), and `kl` is
    1/2 sum_j [mean_j^2 + T (sigma_j^2 - 1 - ln sigma_j^2)]. At T = 0 a deterministic autoencoder
    with the penalty |z|^2 / 2 on its codes remains (B32).

    Under `tf.distribute` every replica draws the same noise for its share of the batch; under
    `keras.distribution` on JAX the noise is that of one device.

    Args:
        encoder: model that maps x to the statistics of the posterior, by default the pair
            (mean, log_var), both (batch, latent_dim).
        decoder: model that maps z to the statistics of the likelihood, such as logits in the shape
            of x.
        likelihood: the part p(x|z); the default is `Bernoulli()`.
        objective: a layer of `vae_keras.objectives`; the default is `ELBO()`.
        temperature: the factor T of the entropy in the loss, 0 or above, of the default posterior.
        seed: integer that fixes the noise in training.
        posterior: the part q(z|x); the default is `Gaussian()`.
        prior: the part p(z); the default is the standard member of the posterior's family.
        prior_network: model that maps conditions to the statistics of the prior, p(z|y).
        target: the name of the entry of x that the likelihood scores, where x is a dict.

    Call arguments:
        x: data, (batch, ..) as the encoder takes them, or a dict of such.

    Output: the mean of p(x|z) at the posterior mean, the shape of x.

    Raises:
        ValueError: if networks and parts do not fit together, or the objective has no right
            gradient with the posterior.

    Reference: Kingma and Welling (2014), Auto-encoding variational Bayes; Sohn, Lee and Yan (2015),
    Learning structured output representation (conditions).

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
        likelihood: Part | None = None,
        objective: keras.layers.Layer | None = None,
        temperature: float = 1.0,
        seed: int | None = None,
        posterior: Part | None = None,
        prior: Part | None = None,
        prior_network: Callable[..., Any] | None = None,
        target: str = "x",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.unrolled_steps_per_execution = 4  # Keras's loop costs as much as a tenth of a step
        if posterior is not None and temperature != 1:
            raise ValueError(
                f"temperature={temperature} is that of the default posterior: give it to yours, as "
                "Gaussian(temperature=..)."
            )
        self.encoder, self.decoder, self.prior_network = encoder, decoder, prior_network
        self.posterior = posterior or Gaussian(temperature=temperature)
        self.prior, self.likelihood = prior, likelihood or Bernoulli()
        self.objective, self.target = objective or ELBO(), target
        self.seed = integer_seed(seed)
        self.latents = Latents(
            encoder, decoder, self.posterior, prior, self.likelihood, prior_network, target
        )
        self._check_objective()
        self.noise = RandomLayer(seed)
        self._evaluation_noise = RandomLayer(None if self.seed is None else self.seed + 1)
        self._mean_over_batch = MeanOverBatch(name="mean")
        self._reconstruction_tracker = keras.metrics.Mean(name="reconstruction")
        self._kl_tracker = keras.metrics.Mean(name="kl")
        self._data_shapes = shapes_of_data(self.latents)
        self._statistics_of_zeros, self._event_of_z = check_networks(self.latents, self._zeros())
        self(self._zeros())  # builds the model
        self.compile(optimizer=FusedAdam())
        self.optimizer.build(self.trainable_variables)  # so that an untrained model saves whole

    def _check_objective(self):
        if self.temperature != 1 and getattr(self.objective, "needs_density", True):
            raise ValueError(
                f"A temperature of {self.temperature} needs the objective ELBO; importance weights "
                "belong to temperature 1."
            )
        check_objective(self.objective, self.latents)

    @property
    def temperature(self) -> float:
        """The factor T of the entropy in the loss."""
        return self.posterior.temperature if isinstance(self.posterior, Gaussian) else 1.0

    @property
    def latent_dim(self) -> int:
        """The number of latent variables, where z is one vector.

        Raises:
            AttributeError: where it is several, or of another shape.
        """
        event = self._event_of_z
        if not isinstance(event, tuple) or len(event) != 1:
            raise AttributeError(f"z has the shapes {event}: there is no latent_dim.")
        return event[0]

    def build(self, input_shape: Any) -> None:
        """Record the input shape; encoder and decoder are built already."""

    def _zeros(self):
        zeros = zeros_of(self._data_shapes)
        return zeros if self._takes_dict else zeros[self.target]

    @property
    def _takes_dict(self):
        return len(self._data_shapes) > 1

    def _named(self, x):
        """x as the latents take it: of several inputs a dict by name."""
        if self._takes_dict and not isinstance(x, Mapping):
            return dict(zip(self._data_shapes, x, strict=True))
        return x

    def call(self, x: Any) -> Tensor:
        x = self._named(x)
        return self.likelihood.mean(self._decoded_at_mean(x))

    def _decoded_at_mean(self, x):
        exact = self.latents.exact
        return exact.decoded(exact.posterior.mean(exact.encoded(x)), x)

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
        self._evaluation_noise.restart()
        return super().evaluate(*args, **kwargs)

    def _inputs(self, x, y):
        if not self._takes_dict:
            return super()._inputs(x, y)
        names = list(self._data_shapes)
        if y is not None and len(names) == 2 and not isinstance(x, Mapping):
            x = (x, y)
        if isinstance(x, Mapping) and set(names) <= set(x):
            x = [x[name] for name in names]
        if not isinstance(x, (tuple, list)) or len(x) != len(names):
            raise ValueError(
                f"This model takes {', '.join(map(repr, names))}: give x as a dict with these "
                "keys, or as a tuple in this order."
            )
        return tuple(x)

    def _check(self, *inputs):
        for (name, shape), a in zip(self._data_shapes.items(), inputs, strict=True):
            check_shape(a, shape, name)
            self._check_values(name, a)

    def _check_values(self, name, a):
        if name == self.target:
            self.likelihood.check_value(a)
        elif not np.all(np.isfinite(a)):
            raise ValueError(f"{name} must be finite: remove or replace NaN and infinite values.")

    def _checked(self, x, names=None):
        """x as float32 tensors by name, checked; what is no array already is taken as it is."""
        names = list(self._data_shapes) if names is None else names
        alone = not self._takes_dict and not isinstance(x, Mapping)
        given = {self.target: x} if alone else x
        if not isinstance(given, Mapping):
            given = dict(zip(names, self._inputs(x, None), strict=True))
        if missing := set(names) - set(given):
            raise ValueError(f"x lacks {', '.join(map(repr, missing))} of {names}.")
        found = {}
        for name in names:
            found[name] = checked_array(given[name], self._data_shapes[name], name)
            if not ops.is_tensor(given[name]):  # a tensor may be symbolic
                self._check_values(name, ops.convert_to_numpy(found[name]))
        if len({a.shape[0] for a in found.values()}) > 1:
            raise ValueError(f"{' and '.join(names)} must be of one length.")
        return found[self.target] if alone else found

    def _order(self, num, index):
        seed, position = ops.convert_to_numpy(self.noise.seed_generator.state).tolist()
        steps = int(ops.convert_to_numpy(self.optimizer.iterations))  # moves on without noise too
        key = [seed, position, steps] if index is None else [seed, index]
        return np.random.default_rng(key).permutation(num)

    def draws(self, x: Any, *, training: bool = False) -> Draws:
        """Draws of z from the posterior, as many as the objective takes, with their densities.

        They are what the objective is made of; gradients pass through them.

        Args:
            x: data, tensors (batch, ..).
            training: whether networks and noise are those of training.

        Returns:
            `vae_keras.parts.Draws`.

        Example:
            >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
            >>> tuple(vae.draws(ops.zeros((3, 64))).z.shape)
            (1, 3, 2)
        """
        seed = (self.noise if training else self._evaluation_noise).seed_generator
        num_samples = self.objective.num_samples
        return self.latents.draws(self._named(x), num_samples, seed=seed, training=training)

    def encode(self, x: Any) -> Any:
        """The statistics of the posterior, such as (mean, log_var).

        Args:
            x: data, (batch, ..), or a dict of such.

        Returns:
            Nested tensors, each (batch, ..), by default mean and log_var, (batch, latent_dim).
        """
        return self.latents.encoded(self._checked(x))

    def decode(self, z: Any, conditions: Mapping[str, Any] | None = None) -> Tensor:
        """The mean of p(x|z).

        Args:
            z: latent variables as the decoder takes them, (batch, ..).
            conditions: by name what else the decoder takes, each (batch, ..).

        Returns:
            (batch, ..) in the shape of the data.
        """
        return self.likelihood.mean(self.latents.decoded(z, self._conditions(conditions)))

    def _conditions(self, conditions):
        names = [name for name in self._data_shapes if name != self.target]
        return self._checked(conditions or {}, names)

    def reconstruct(self, x: Any) -> Tensor:
        """The mean of p(x|z) at the posterior mean.

        Args:
            x: data, (batch, ..), or a dict of such.

        Returns:
            The shape of the data.
        """
        return self(self._checked(x))

    def generate(
        self,
        num_samples: int | None = None,
        *,
        conditions: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """Means of p(x|z) for z drawn from the prior.

        Args:
            num_samples: the number of examples to draw; None for one to each condition.
            conditions: by name what else the decoder and the prior take, each (num_samples, ..).
            seed: integer that fixes the draws; the same seed gives the same examples.

        Returns:
            (num_samples, ..) in the shape of the data.

        Raises:
            ValueError: if num_samples is below 1, or is not that of the conditions.
        """
        return self.likelihood.mean(self._generated(num_samples, conditions, seed)[0])

    def sample(
        self,
        num_samples: int | None = None,
        *,
        conditions: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> tuple[Tensor, Any]:
        """Data from the model, with what they came from: z ~ p(z) and x ~ p(x|z).

        Given x, that z is an exact draw from the posterior p(z|x).

        Args:
            num_samples: the number of examples to draw; None for one to each condition.
            conditions: by name what else the decoder and the prior take, each (num_samples, ..).
            seed: integer that fixes the draws; the same seed gives the same examples.

        Returns:
            x (num_samples, ..) in the shape of the data, and z, by default
            (num_samples, latent_dim).

        Raises:
            ValueError: if num_samples is below 1, or is not that of the conditions.
        """
        statistics, z, generator, num_samples = self._generated(num_samples, conditions, seed)
        noise = self.likelihood.noise(statistics, num_samples, generator)
        return self.likelihood.draw(statistics, noise)[0], z

    def _generated(self, num_samples, conditions, seed):
        """The likelihood's statistics at z from the prior, z, the seed's generator, how many."""
        given = self._conditions(conditions)
        lengths = {a.shape[0] for a in given.values()}
        num_samples = next(iter(lengths), None) if num_samples is None else num_samples
        check_counts(num_samples=num_samples)
        if lengths and lengths != {num_samples}:
            raise ValueError(f"num_samples is {num_samples}, but there are {lengths} conditions.")
        exact, generator = self.latents.exact, as_generator(seed)
        like = repeated(self._statistics_of_zeros, num_samples)
        statistics = exact.prior_statistics(given, like)
        prior = exact.prior_part
        z = prior.draw(statistics, prior.noise(statistics, num_samples, generator))[0]
        return exact.decoded(exact.posterior.emit(z), given), z, generator, num_samples

    def log_weights(self, x: Any, num_samples: int, *, seed: int | None = None) -> Tensor:
        """Log importance weights ln w = ln p(x|z) + ln p(z) - ln q(z|x) with z ~ q(z|x).

        <w> = p(x): every estimate in `vae_keras.evidence` is a function of these numbers alone
        (B18, B25). The weights are computed in blocks; the result alone is held in memory. At a
        temperature T, q is N(mean, T diag(exp(log_var))), as in training; relaxed latents are
        evaluated as the discrete ones that they stand for.

        Args:
            x: data, (batch, ..), or a dict of such. Arrays are checked, tensors are taken as they
                are.
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
        return self.latents.exact.log_weights(self._checked(x), num_samples, seed=seed)

    def elbo(self, x: Any, *, num_samples: int = 1, seed: int | None = None) -> Tensor:
        """<ln p(x|z)>_q - KL(q(z|x) || p(z)) of each example (B14).

        The KL is in closed form if the pair has one, and the temperature is 1.

        Args:
            x: data, (batch, ..), or a dict of such. Arrays are checked, tensors are taken as they
                are.
            num_samples: the number of draws of z that are averaged.
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
        return self.latents.exact.elbo(self._checked(x), num_samples=num_samples, seed=seed)

    def blocks_of_draws(
        self, x: Any, num_samples: int, *, seed: int | None = None
    ) -> Iterator[Draws]:
        """The draws whose log-weights `log_weights` returns, in blocks of bounded memory.

        Args:
            x: data, (batch, ..), or a dict of such. Arrays are checked, tensors are taken as they
                are.
            num_samples: the number of draws of z for each example.
            seed: integer that fixes the draws; the same seed gives the same ones.

        Yields:
            `vae_keras.parts.Draws`, of num_samples draws in all.

        Raises:
            ValueError: as for `log_weights`.

        Example:
            >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
            >>> (block,) = vae.blocks_of_draws(ops.zeros((3, 64)), 10, seed=0)
            >>> tuple(block.log_weights.shape)
            (10, 3)
        """
        yield from self.latents.exact.blocks_of_draws(self._checked(x), num_samples, seed=seed)

    def get_config(self) -> dict[str, Any]:
        parts = {name: getattr(self, name) for name in _OBJECTS}
        serialized = {k: keras.saving.serialize_keras_object(v) for k, v in parts.items()}
        return {**super().get_config(), **serialized, "seed": self.seed, "target": self.target}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VAE:
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in _OBJECTS}
        return cls(**{**config, **parts})
