"""A latent-variable model of networks and parts: its draws and their log-weights."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any

import numpy as np
from keras import ops, tree

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import ArrayLike, Tensor
from vae_keras.parts.bernoulli import Bernoulli
from vae_keras.parts.draws import Draws
from vae_keras.parts.gaussian import Gaussian
from vae_keras.parts.given import check_outputs, check_part_given
from vae_keras.parts.inputs import (
    as_generator,
    check_range,
    float_dtype,
    is_floating,
    num_rows,
    wide,
)
from vae_keras.parts.names import call_by_name
from vae_keras.parts.part import Part
from vae_keras.shared.checks import array_or_tensor
from vae_keras.shared.compiled import compiled
from vae_keras.shared.nested_data import mapped, num_examples
from vae_keras.shared.repeated import repeated

_BLOCK = 2**23  # entries of x that log_weights decodes at once


@dataclasses.dataclass(frozen=True, eq=False)
class Latents:
    """p(x, z) = p(x|z) p(z) and q(z|x): networks that give statistics, and parts that read them.

    x is a tensor, or a dict of tensors with conditions. Encoder, decoder and prior network are
    given by name what they ask for: the encoder x's entries; the decoder the latents, "z" or the
    names of a `Chain`, and x's other entries; the prior network these other entries alone.

    Args:
        encoder: maps x to the statistics of the posterior.
        decoder: maps z, as its part emits it, to the statistics of the likelihood.
        posterior: the part q(z|x).
        prior: the part p(z); None is the standard member of the posterior's family, such as
            N(0, I).
        likelihood: the part p(x|z).
        prior_network: maps conditions to the statistics of the prior, p(z|y).
        target: the name of the entry of x that the likelihood scores, where x is a dict.

    Raises:
        ValueError: if a part is none, there is a prior network and no prior, or a network ends in
            the activation that a part applies itself.

    Example:
        >>> latents = Latents(lambda x: (x, 0 * x), lambda z: z, likelihood=Gaussian(scale=1.0))
        >>> tuple(latents.log_weights(ops.zeros((3, 2)), 10, seed=0).shape)
        (10, 3)
    """

    encoder: Callable[..., Any]
    decoder: Callable[..., Any]
    posterior: Part = dataclasses.field(default_factory=Gaussian)
    prior: Part | None = None
    likelihood: Part = dataclasses.field(default_factory=Bernoulli)
    prior_network: Callable[..., Any] | None = None
    target: str = "x"

    def __post_init__(self) -> None:
        for name in ("posterior", "likelihood", *(() if self.prior is None else ("prior",))):
            check_part_given(getattr(self, name), name)
        if self.prior is None and self.prior_network is not None:
            raise ValueError(
                "A prior network gives statistics to a prior: pass the part that reads them, such "
                "as prior=Gaussian()."
            )
        check_outputs(self.encoder, self.posterior)
        check_outputs(self.decoder, self.likelihood)
        check_outputs(self.prior_network, self.prior)
        _ = self.prior_part  # now: a layer may not be made while a step is traced

    @functools.cached_property
    def prior_part(self) -> Part:
        """The prior, also where it is left out."""
        return self.posterior.standard() if self.prior is None else self.prior

    @functools.cached_property
    def exact(self) -> Latents:
        """The model that evaluation takes, with discrete parts in place of relaxed ones."""
        return dataclasses.replace(
            self,
            posterior=self.posterior.exactly(),
            prior=None if self.prior is None else self.prior.exactly(),
            likelihood=self.likelihood.exactly(),
        )

    def taken(self, x: Any) -> Any:
        """Data as tensors: the one door by which they come to the latents.

        Arrays are checked, tensors are taken as they are. Floats become float32.

        Args:
            x: data, nested: array-like, tables, sparse matrices or tensors, each (batch, ..).

        Returns:
            The same structure of tensors.

        Raises:
            ValueError: if x holds no numbers, comes in batches, is empty, or is none of what the
                likelihood knows; if conditions are not finite.

        Example:
            >>> Latents(lambda x: (x, 0 * x), lambda z: z).taken([[0.0, 2.0]])
            Traceback (most recent call last):
            ...
            ValueError: Data of Bernoulli must lie in [0, 1], without NaN: divide 8-bit ...
        """
        x = mapped(lambda a: array_or_tensor(a, None, "x"), x)
        if arrays := [a for a in tree.flatten(x) if isinstance(a, np.ndarray)]:
            num_examples(arrays)
            target = self.scored_part(x)
            if any(isinstance(a, np.ndarray) for a in tree.flatten(target)):
                self.likelihood.check_value(target)
            for name, value in self._conditions(x).items():
                for a in tree.flatten(value):  # tensors are taken as they are
                    if isinstance(a, np.ndarray):
                        check_range(name, a, remedy="remove or replace NaN and infinite values")
        return tree.map_structure(_as_tensor, x)

    def draws(
        self,
        x: Any,
        num_samples: int,
        *,
        seed: Any = None,
        noise: Any = None,
        training: bool | None = None,
    ) -> Draws:
        """Draws of z for each example, with their densities.

        Args:
            x: data, nested arrays or tensors (batch, ..).
            num_samples: the number of draws for each example.
            seed: integer, None, or a `keras.random.SeedGenerator`.
            noise: the posterior's noise, (num_samples * batch, ..), in place of the seed's.
            training: whether networks work as in training; None tells them nothing.

        Returns:
            `Draws`.

        Raises:
            ValueError: if num_samples is below 1.
        """
        check_counts(num_samples=num_samples)
        x = self.taken(x)
        statistics = self.encoded(x, training=training)
        if noise is None:
            rows = num_samples * num_rows(x)
            noise = self.posterior.noise(statistics, rows, as_generator(seed))
        return self._drawn(x, statistics, noise, num_samples, training=training)

    def log_weights(self, x: Any, num_samples: int, *, seed: int | None = None) -> Tensor:
        """ln w = ln p(x|z) + ln p(z) - ln q(z|x) with z ~ q(z|x), in blocks of bounded memory.

        Args:
            x: data, nested arrays or tensors (batch, ..).
            num_samples: the number of draws for each example.
            seed: integer that fixes the draws; the same seed gives the same weights.

        Returns:
            (num_samples, batch), float32 or wider, nats.

        Raises:
            ValueError: if num_samples is below 1, or the posterior has no density.
        """
        self.check_density()
        blocks = self._blocks_of_noise(x, num_samples, seed)
        return ops.concatenate([self._log_weights_of(*block) for block in blocks])

    def elbo(self, x: Any, *, num_samples: int = 1, seed: int | None = None) -> Tensor:
        """<ln p(x|z)>_q - KL(q(z|x) || p(z)) of each example, the KL in closed form if it has one.

        Args:
            x: data, nested arrays or tensors (batch, ..).
            num_samples: the number of draws for each example.
            seed: integer that fixes the draws, those of `log_weights`.

        Returns:
            (batch,), float32 or wider, nats.

        Raises:
            ValueError: as for `log_weights`.
        """
        self.check_density()
        total, num = 0.0, 0
        for block in self._blocks_of_noise(x, num_samples, seed):
            sums, rows = self._sum_of_elbos(*block), num_rows(block[3])  # noise may have fewer
            total, num = total + sums, num + rows
        return total * (ops.shape(total)[0] / num)

    def renew(self) -> None:
        """Let the parts bring up to date what they keep of their weights; evaluation begins so."""
        for part in (self.posterior, self.prior_part, self.likelihood):
            for layer in part._flatten_layers():
                if isinstance(layer, Part):
                    layer.renew()

    def check_density(self) -> None:
        """Refuse a posterior without a density.

        Raises:
            ValueError: if its temperature is 0.
        """
        if not self.posterior.has_density:
            raise ValueError(
                "A posterior of temperature 0 has no density, and so no log-weights and no ELBO: "
                "take an objective of the KL, such as ELBO(), or a temperature above 0."
            )

    @functools.cached_property
    def _log_weights_of(self):
        return compiled(lambda *block: self._of_block(*block).log_weights)

    @functools.cached_property
    def _sum_of_elbos(self):
        def summed(*block):
            draws = self._of_block(*block)
            num = ops.cast(draws.num_samples, draws.log_q.dtype)
            return ops.sum(draws.log_likelihood, axis=0) - num * draws.kl_of_density

        return compiled(summed)

    def blocks_of_draws(
        self, x: Any, num_samples: int, *, seed: int | None = None
    ) -> Iterator[Draws]:
        """The draws of `log_weights`, block by block; the noise depends on the blocks' size.

        Args:
            x: data, nested arrays or tensors (batch, ..).
            num_samples: the number of draws for each example.
            seed: integer that fixes the draws.

        Yields:
            `Draws`, of num_samples draws in all.

        Raises:
            ValueError: if num_samples is below 1.
        """
        for block in self._blocks_of_noise(x, num_samples, seed):
            yield self._of_block(*block)

    def _blocks_of_noise(self, x, num_samples, seed):
        """Yield x, the posterior's statistics, a block of its noise, and x for each row of it."""
        check_counts(num_samples=num_samples)
        self.renew()
        x = self.taken(x)
        statistics, generator, batch = self.encoded(x), as_generator(seed), num_rows(x)
        target = tree.flatten(self.scored_part(x))
        size = max(1, _BLOCK // max(1, sum(math.prod(a.shape) for a in target)))
        xs = repeated(x, min(size, num_samples))
        for start in range(0, num_samples, size):
            rows = min(size, num_samples - start) * batch
            noise = self.posterior.noise(statistics, rows, generator)
            yield x, statistics, noise, tree.map_structure(itemgetter(slice(rows)), xs)

    def _of_block(self, x, statistics, noise, xs):
        return self._drawn(x, statistics, noise, num_rows(xs) // num_rows(x), rows=xs)

    def _drawn(self, x, statistics, noise, num_samples, **options):
        """The draws that the noise makes."""
        value, log_q = self.posterior.draw(repeated(statistics, num_samples), noise)
        return Draws(self, x, statistics, value, log_q, num_samples, noise=noise, **options)

    def encoded(self, x: Any, *, training: bool | None = None) -> Any:
        """The statistics of the posterior, (batch, ..).

        Args:
            x: data, nested tensors (batch, ..).
            training: what the network is told.
        """
        given = x if isinstance(x, Mapping) else {self.target: x}
        statistics = wide(call_by_name(self.encoder, given, training=training))
        return self.posterior.resolve(statistics, num_rows(x))

    def prior_statistics(self, x: Any, statistics: Any, *, training: bool | None = None) -> Any:
        """The statistics of the prior, (batch, ..).

        Args:
            x: data, nested tensors (batch, ..).
            statistics: those of the posterior, in whose shapes the default prior is.
            training: what the network is told.
        """
        if self.prior is None:
            return self.posterior.standard_statistics(statistics)
        found = None
        if self.prior_network is not None:
            conditions = self._conditions(x)
            found = wide(call_by_name(self.prior_network, conditions, training=training))
        return self.prior.resolve(found, num_rows((statistics, x)))

    def decoded(self, z: Any, x: Any, *, training: bool | None = None) -> Any:
        """The statistics of the likelihood, (rows, ..).

        Args:
            z: latents as their part emits them, (rows, ..).
            x: data, of which the decoder may ask for conditions, (rows, ..).
            training: what the network is told.
        """
        several = isinstance(z, Mapping)
        given = {**(z if several else {"z": z}), **self._conditions(x)}
        found = call_by_name(self.decoder, given, as_dict=several, training=training)
        statistics = wide(found)
        return self.likelihood.resolve(statistics, num_rows(z))

    def scored(self, statistics: Any, x: Any) -> Tensor:
        """ln p(x | statistics) of the target, (rows,), nats.

        Args:
            statistics: of the likelihood, (rows, ..).
            x: data, (rows, ..).

        Raises:
            ValueError: if the likelihood returns anything but one number a row.
        """
        dtype = float_dtype(statistics)
        target = tree.map_structure(
            lambda a: ops.cast(a, dtype) if is_floating(a) else a, self.scored_part(x)
        )
        log_prob = self.likelihood.log_prob(statistics, target)
        if len(log_prob.shape) != 1:
            raise ValueError(
                f"log_prob of {type(self.likelihood).__name__} must have shape (rows,); got "
                f"{tuple(log_prob.shape)}: sum over the entries of x."
            )
        return log_prob

    def _conditions(self, x):
        if not isinstance(x, Mapping):
            return {}
        return {name: value for name, value in x.items() if name != self.target}

    def scored_part(self, x: Any) -> Any:
        """The entry of x that the likelihood scores.

        Args:
            x: data, nested tensors.

        Raises:
            ValueError: if there is no entry of the target's name.
        """
        if not isinstance(x, Mapping):
            return x
        if self.target not in x:
            raise ValueError(
                f"target is {self.target!r}, but x has {', '.join(map(repr, x))}: name the entry "
                "that the likelihood scores."
            )
        return x[self.target]


def _as_tensor(x: ArrayLike) -> Tensor:
    x = ops.convert_to_tensor(x)
    return ops.cast(x, "float32") if is_floating(x) else x
