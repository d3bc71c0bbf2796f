"""The variational autoencoder as a Keras model: any networks, parts, objective and backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from rbm_tf.shared.checkpoints import WholeFiles
from rbm_tf.shared.mean_over_batch import MeanOverBatch
from rbm_tf.shared.saving import as_one, import_named, sharing
from rbm_tf.shared.seeds import LIMIT, seed_of_keras
from rbm_tf.shared.types import Tensor
from vae_keras.latent_model import LatentModel
from vae_keras.objectives import ELBO, check_objective
from vae_keras.optimizers import FusedAdam
from vae_keras.parts import Bernoulli, Draws, Gaussian, Latents, Part
from vae_keras.rbm_prior import FollowRBM, RBMPrior
from vae_keras.shared.checks import check_networks, integer_inputs, shapes_of_data
from vae_keras.shared.random_layer import RandomLayer

# Networks first: a part that holds one of them, as Vamp does, finds it again in a file.
_OBJECTS = ("encoder", "decoder", "likelihood", "objective", "posterior", "prior", "prior_network")


@keras.saving.register_keras_serializable(package="vae_keras")
class VAE(LatentModel, WholeFiles, keras.Model):
    """A variational autoencoder: posterior q(z|x), prior p(z), likelihood p(x|z), each any part.

    By default they are N(mean, diag(exp(log_var))), N(0, I) and Bernoulli pixels. `fit(x)`
    minimises the variational free energy -ELBO = -E_q[ln p(x|z)] + KL(q(z|x) || p(z)), one sample
    of z per example and the KL in closed form if it has one (B14, B15, B32), or another objective.
    The two terms appear in the log as `reconstruction` and `kl`. With sample weights these are
    weighted means, sums over the weights' sum, whereas `loss` is the weighted sum over the number
    of examples, as in all of Keras: it is the sum of the two if the mean weight is 1.

    It comes compiled with `FusedAdam()`; `compile(optimizer)` changes that and takes no loss.
    Called on x it reconstructs: the decoder's mean at the posterior mean.

    A conditional model has networks that name their inputs (`keras.Input(.., name="y")`): x is then
    a dict of arrays, of which the likelihood scores the target, and ln p(x|y) takes the place of
    ln p(x) everywhere. `fit(x, y)` is `fit({"x": x, "y": y})` where there is one condition.

    At temperature T the ELBO's loss is <E> - T S: the noise of z is scaled by sqrt(T), and `kl` is
    1/2 sum_j [mean_j^2 + T (sigma_j^2 - 1 - ln sigma_j^2)]. At T = 0 a deterministic autoencoder
    with the penalty |z|^2 / 2 on its codes remains (B32).

    Under `tf.distribute` every replica draws the same noise for its share of the batch; under
    `keras.distribution` on JAX the noise is that of one device.

    `fit` adds `FollowRBM` for each large `RBMPrior` that no such callback follows.

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
        self.posterior = posterior or Gaussian(temperature=temperature, seed=seed)
        self.prior, self.likelihood = prior, likelihood or Bernoulli(seed=seed)
        self.objective, self.target = objective or ELBO(), target
        self.seed = seed_of_keras(seed)
        self.latents = Latents(
            encoder, decoder, self.posterior, prior, self.likelihood, prior_network, target
        )
        self._check_objective()
        self.noise = RandomLayer(seed)
        self._evaluation_noise = RandomLayer(None if self.seed is None else (self.seed + 1) % LIMIT)
        self._mean_over_batch = MeanOverBatch(name="mean")
        self._reconstruction_tracker = keras.metrics.Mean(name="reconstruction")
        self._kl_tracker = keras.metrics.Mean(name="kl")
        self.data_shapes = shapes_of_data(self.latents)
        self.data_dtypes = integer_inputs(self.latents)
        zeros = self._zeros()
        self.statistics_of_zeros, self.event_of_z = check_networks(self.latents, zeros)
        self(zeros)  # builds the model
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

    def build(self, input_shape: Any) -> None:
        """Record the input shape; encoder and decoder are built already."""

    def call(self, x: Any) -> Tensor:
        return self.at_posterior_mean(self._named(x))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Tensor | None = None,
        training: bool = True,
    ) -> Tensor:
        """The mean of the objective over the batch, a scalar in nats."""
        draws = dataclasses.replace(self.draws(x, training=training), weights=sample_weight)
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
        self.latents.renew()
        return super().evaluate(*args, **kwargs)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """The loss of arrays, as `keras.Model.test_on_batch`."""
        self.latents.renew()
        return super().test_on_batch(*args, **kwargs)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """One step of training on arrays, as `keras.Model.train_on_batch`."""
        result = super().train_on_batch(*args, **kwargs)
        for follower in self._followers([]):
            follower.on_train_batch_end(0)
        return result

    def _followers(self, callbacks):
        """The `FollowRBM` of each large prior: those given, and new ones for the others."""
        priors = [layer for layer in self._flatten_layers() if isinstance(layer, RBMPrior)]
        given = [callback for callback in callbacks if isinstance(callback, FollowRBM)]
        if any(all(f.prior is not p for p in priors) for f in given):
            raise ValueError(
                "FollowRBM was given an RBMPrior that is not in this model, as the one from before "
                "load_model is not: leave it out, fit adds its own, or take FollowRBM(vae.prior)."
            )
        alone = (p for p in priors if all(f.prior is not p for f in given) and not p.is_exact)
        return given + [FollowRBM(prior) for prior in alone]

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

    @as_one
    def get_config(self) -> dict[str, Any]:
        parts = {name: getattr(self, name) for name in _OBJECTS}
        serialized = {k: keras.saving.serialize_keras_object(v) for k, v in parts.items()}
        return {**super().get_config(), **serialized, "seed": self.seed, "target": self.target}

    @classmethod
    @sharing()
    def from_config(cls, config: dict[str, Any]) -> VAE:
        import_named(config)  # its parts may be of modules that nothing has asked for
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in _OBJECTS}
        return cls(**{**config, **parts})
