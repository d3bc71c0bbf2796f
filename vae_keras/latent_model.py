"""What can be asked of a model of latent variables: codes, data from the prior, log-weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keras import tree

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Tensor
from vae_keras.parts import Draws, Latents
from vae_keras.parts.inputs import as_generator
from vae_keras.shared.checks import array_or_tensor, checked_array
from vae_keras.shared.named_inputs import NamedInputs
from vae_keras.shared.repeated import repeated


class LatentModel(NamedInputs):
    """The questions that `VAE` answers when it is trained, from its `latents` alone.

    A model that puts it among its bases sets what `NamedInputs` asks for, and `latents`,
    `event_of_z`, the nested shapes of one z as the decoder takes it, and `statistics_of_zeros`, the
    posterior's statistics of one example.

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> isinstance(vae, LatentModel), vae.latent_dim
        (True, 2)
    """

    latents: Latents
    event_of_z: Any
    statistics_of_zeros: Any

    @property
    def latent_dim(self) -> int:
        """The number of latent variables, where z is one vector.

        Raises:
            AttributeError: where it is several, or of another shape.
        """
        event = self.event_of_z
        if not isinstance(event, tuple) or len(event) != 1:
            raise AttributeError(f"z has the shapes {event}: there is no latent_dim.")
        return event[0]

    def encode(self, x: Any) -> Any:
        """The statistics of the posterior, such as (mean, log_var).

        Args:
            x: data, (batch, ..), or a dict of such.

        Returns:
            Nested tensors, each (batch, ..), by default mean and log_var, (batch, latent_dim).
        """
        return self.latents.encoded(self._checked(x))

    def decode(self, z: Any, *, conditions: Mapping[str, Any] | None = None) -> Tensor:
        """The mean of p(x|z).

        Args:
            z: latent variables as the decoder takes them, (batch, ..), nested as `event_of_z`.
            conditions: by name what else the decoder takes, each (batch, ..).

        Returns:
            (batch, ..) in the shape of the data.

        Raises:
            ValueError: if z has another shape, or conditions are not what the model takes, or of
                another length.
        """
        z, given = self._checked_z(z, self.event_of_z), self._conditions(conditions)
        lengths = {a.shape[0] for a in tree.flatten((z, given))}
        if len(lengths) > 1:
            raise ValueError(f"z and conditions must be of one length; got {sorted(lengths)}.")
        return self.likelihood.mean(self.latents.decoded(z, given))

    def _checked_z(self, z, event, name="z"):
        """Latents as tensors, refused in other shapes than those of one z."""
        if isinstance(event, Mapping):
            if not isinstance(z, Mapping) or set(z) != set(event):
                raise ValueError(f"{name} must be a dict with the keys {', '.join(event)}.")
            return {key: self._checked_z(z[key], event[key], key) for key in event}
        if any(None in shape for shape in self.data_shapes.values()):
            event = (None,) * len(event)  # z may have a length that varies, too
        return checked_array(array_or_tensor(z, "float32", name), event, name)

    def reconstruct(self, x: Any) -> Tensor:
        """The mean of p(x|z) at the posterior mean.

        Args:
            x: data, (batch, ..), or a dict of such.

        Returns:
            The shape of the data.
        """
        return self.at_posterior_mean(self._checked(x))

    def at_posterior_mean(self, x: Any) -> Tensor:
        """As `reconstruct`, of tensors that are taken as they are, also symbolic ones."""
        exact = self.latents.exact
        z = exact.posterior.mean(exact.encoded(x))
        return exact.likelihood.mean(exact.decoded(z, x))

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
        like = repeated(self.statistics_of_zeros, num_samples)
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
