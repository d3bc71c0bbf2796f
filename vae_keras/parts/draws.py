"""Draws of latent variables with their densities: all that an objective is made of."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any

import keras
from keras import ops, tree

from rbm_tf.shared.types import Tensor
from vae_keras.parts.gaussian import Gaussian
from vae_keras.parts.inputs import change_of, is_floating, total, widened
from vae_keras.parts.rules import kl_terms
from vae_keras.shared.repeated import repeated

if TYPE_CHECKING:
    from vae_keras.parts.latents import Latents


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """A batch's draws z ~ q(z|x) of `Latents`, whose densities are computed when first asked for.

    Gradients pass through the draws. `fixed` and `along_path` are the same draws with other
    gradients, which is all that an objective changes. ln q is that of the noise in all three:
    found again from a value of 300 with a variance of e^-24 it would be wrong by 20 nats.

    Args:
        latents: the model's networks and parts.
        x: data, nested tensors (batch, ..).
        statistics: of the posterior, (batch, ..).
        value: z, (num_samples * batch, ..), all examples for the first draw, then for the next.
        log_q: ln q(z|x), (num_samples * batch,), nats.
        num_samples: the number of draws for each example.
        training: whether networks work as in training; None tells them nothing.
        rows: x for each draw, (num_samples * batch, ..), if it is at hand.
        noise: what the draws were made of, (num_samples * batch, ..), if it is known.
        weights: how much each example counts, (batch,), 0 or above; None if all count alike.

    Example:
        >>> latents = Latents(lambda x: (x, 0 * x), lambda z: z)
        >>> draws = latents.draws(ops.ones((4, 2)), 3, seed=0)
        >>> tuple(draws.log_weights.shape), tuple(draws.kl.shape)
        ((3, 4), (4,))
        >>> float(draws.kl[0])
        1.0
    """

    latents: Latents
    x: Any
    statistics: Any
    value: Any
    log_q: Tensor
    num_samples: int
    training: bool | None = None
    rows: Any = None
    noise: Any = None
    weights: Tensor | None = None

    def fixed(self) -> Draws:
        """The same draws for gradients at fixed z: ln q moves with the statistics, z does not.

        So score-function objectives take them, also where a draw has no path.
        """
        stop = ops.stop_gradient
        value = tree.map_structure(stop, self.value)
        change = change_of(self._log_q_at(self._rows(self.statistics), value))
        return dataclasses.replace(self, value=value, log_q=stop(self.log_q) + change)

    def along_path(self, scale: Tensor) -> Draws:
        """The same draws for gradients through z alone, times a scale; q itself is held fixed.

        Its statistics are, and its weights, such as those of a flow.

        Args:
            scale: the factor of each draw's gradient, (num_samples, batch).

        Raises:
            ValueError: if draws of the posterior have no gradient.
        """
        q, stop = self.latents.posterior, ops.stop_gradient
        if not q.has_path:
            raise ValueError(
                f"Draws of {type(q).__name__} have no gradient, or a wrong one: take an objective "
                "of fixed draws, such as ThermodynamicObjective, or a posterior with a path, such "
                "as RelaxedBernoulli."
            )
        factor = ops.reshape(scale, (-1,))
        value = tree.map_structure(
            lambda a: stop(a) + widened(factor, a) * change_of(a) if is_floating(a) else a,
            self.value,
        )
        statistics = tree.map_structure(stop, self._rows(self.statistics))
        # All of them: in a scope, Keras reads those left out as they are stored.
        with keras.StatelessScope([(v, stop(v.value)) for v in q.variables]):
            change = change_of(self._log_q_at(statistics, value))
        return dataclasses.replace(self, value=value, log_q=stop(self.log_q) + change)

    def _log_q_at(self, statistics, value):
        q = self.latents.posterior
        if self.noise is None:
            return q.log_prob(statistics, value)
        return q.log_prob_of_draw(statistics, value, self.noise)

    @functools.cached_property
    def log_likelihood(self) -> Tensor:
        """ln p(x|z), (num_samples, batch), nats."""
        xs = self._rows(self.x) if self.rows is None else self.rows
        z = self.latents.posterior.emit(self.value)
        statistics = self.latents.decoded(z, xs, training=self.training)
        return self._by_sample(self.latents.scored(statistics, xs))

    @functools.cached_property
    def prior_statistics(self) -> Any:
        """The statistics of the prior, (batch, ..)."""
        return self.latents.prior_statistics(self.x, self.statistics, training=self.training)

    @functools.cached_property
    def log_prior(self) -> Tensor:
        """ln p(z), (num_samples, batch), nats."""
        prior = self.latents.prior_part
        return self._by_sample(prior.log_prob(self._rows(self.prior_statistics), self.value))

    @functools.cached_property
    def log_posterior(self) -> Tensor:
        """ln q(z|x), (num_samples, batch), nats."""
        self.latents.check_density()
        return self._by_sample(self.log_q)

    @functools.cached_property
    def log_joint(self) -> Tensor:
        """ln p(x, z) = ln p(x|z) + ln p(z), (num_samples, batch), nats."""
        return self.log_likelihood + self.log_prior

    @functools.cached_property
    def log_weights(self) -> Tensor:
        """ln w = ln p(x, z) - ln q(z|x), (num_samples, batch), nats."""
        return self.log_joint - self.log_posterior

    @functools.cached_property
    def reconstruction(self) -> Tensor:
        """-ln p(x|z) averaged over the draws, (batch,), nats."""
        return -ops.mean(self.log_likelihood, axis=0)

    @functools.cached_property
    def kl_terms(self) -> Tensor:
        """The terms of KL(q(z|x) || p(z)), (batch, num_terms), nats: what free bits act on.

        In closed form if there is one; a hierarchy has a term for each level, averaged over draws;
        else the one term ln q - ln p, averaged over draws.
        """
        q, p = self.latents.posterior, self.latents.prior_part
        pair = self.statistics, p, self.prior_statistics
        standard = self.latents.prior is None or p.is_standard
        terms = kl_terms(q, *pair, is_standard=standard)
        if terms is not None:
            return ops.reshape(terms, (ops.shape(terms)[0], -1))  # (batch, num_terms)
        rows = self._rows(self.statistics), p, self._rows(self.prior_statistics)
        terms = q.divergence(*rows, self.value, self.log_q)  # (num_samples * batch, ..)
        batch = ops.shape(self.log_q)[0] // self.num_samples
        return ops.mean(ops.reshape(terms, (self.num_samples, batch, -1)), axis=0)

    @functools.cached_property
    def kl(self) -> Tensor:
        """KL(q(z|x) || p(z)), the sum of `kl_terms`, (batch,), nats.

        At a temperature other than 1 it is energy minus temperature times entropy instead.
        """
        return ops.sum(self.kl_terms, axis=-1)

    @functools.cached_property
    def kl_of_density(self) -> Tensor:
        """KL(q(z|x) || p(z)) of the density, which at a temperature is wider, (batch,), nats."""
        q, p = self.latents.posterior, self.latents.prior_part
        if not isinstance(q, Gaussian) or q.temperature == 1:
            return self.kl
        mean, log_var = q.moments(self.statistics)
        wider = mean, log_var + math.log(q.temperature)
        return total(kl_terms(p, wider, p, self.prior_statistics))

    @functools.cached_property
    def shares_of_others(self) -> Tensor:
        """The share of each example among those that are not n, (batch of n, batch), by weight.

        A row sums to 1, or to 0 where no other example counts.
        """
        dtype, batch = self.log_q.dtype, ops.shape(self.log_q)[0] // self.num_samples
        weights = 1 if self.weights is None else ops.cast(self.weights, dtype)
        index = ops.arange(batch)
        others = weights * ops.cast(index[:, None] != index, dtype)
        total = ops.sum(others, axis=-1, keepdims=True)
        return others / ops.where(total > 0, total, 1)

    @property
    def z(self) -> Any:
        """The draws with an axis of their own, (num_samples, batch, ..)."""

        def by_sample(value):
            batch = ops.shape(value)[0] // self.num_samples
            return ops.reshape(value, (-1, batch, *value.shape[1:]))

        return tree.map_structure(by_sample, self.value)

    def _rows(self, tensors):
        return repeated(tensors, self.num_samples)

    def _by_sample(self, log_prob):
        log_prob = ops.cast(log_prob, self.log_q.dtype)  # networks may compute in another type
        return ops.reshape(log_prob, (self.num_samples, -1))
