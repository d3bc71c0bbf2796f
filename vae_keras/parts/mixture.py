"""Mixtures of a part, with weights from the statistics, or the posterior of pseudo-inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import keras
from keras import ops, tree

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts.inputs import as_generator, check_event, float_dtype, gumbel, num_rows, wide
from vae_keras.parts.of_part import OfPart
from vae_keras.parts.part import Part


@keras.saving.register_keras_serializable(package="vae_keras")
class Mixture(OfPart):
    """p(value) = sum_m softmax(logits)_m p_m(value), with components of one family.

    A draw chooses a component, and its ln p is the sum over all of them. The choice has no
    gradient, so that gradients through a draw miss the logits': an objective of fixed draws trains
    a mixture as posterior. As a prior it needs none. In `Own` give it a `spread`: components that
    begin alike stay alike.

    Args:
        part: the family of the components.
        num_components: how many, 1 or more.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: logits, (rows, num_components), and the part's, (rows, num_components, ..).

    Output: a draw as networks take it, (rows, ..), and its log-probability, (rows,), nats.

    Raises:
        ValueError: if num_components is below 1, or the logits have another shape.

    Example:
        >>> prior = Own(Mixture(Gaussian(), 10), (2,), spread=1.0, seed=0)
        >>> tuple(prior.log_prob(None, ops.zeros((5, 2))).shape)
        (5,)
    """

    has_path = False

    def __init__(
        self, part: Part, num_components: int = 10, *, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(part, seed=seed, **kwargs)
        check_counts(num_components=num_components)
        self.num_components = num_components
        self.space, self.has_mean, self.has_density = part.space, part.has_mean, part.has_density

    @property
    def num_values(self) -> Any:
        return self.part.num_values

    def noise(self, statistics: Any, rows: Any, seed: Any) -> tuple[Tensor, Any]:
        logits, components = statistics
        seed, first = as_generator(seed), tree.map_structure(lambda s: s[:, 0], components)
        choice = gumbel((rows, self.num_components), float_dtype(logits), seed)
        return choice, self.part.noise(first, rows, seed)

    def draw(self, statistics: Any, noise: Any) -> tuple[Any, Tensor]:
        logits, components = statistics
        index = ops.argmax(logits + noise[0], axis=-1)  # (rows,)

        def chosen(s):
            place = ops.reshape(index, (-1, *(1,) * (len(s.shape) - 1)))
            return ops.take_along_axis(s, place, axis=1)[:, 0]

        value, from_noise = self.part.draw(tree.map_structure(chosen, components), noise[1])
        is_chosen = ops.one_hot(index, self.num_components, dtype="bool")
        each = ops.where(is_chosen, from_noise[:, None], self._each(components, value))
        return value, _log_average(logits, each)

    def log_prob(self, statistics: Any, value: Any) -> Tensor:
        logits, components = statistics
        check_event("Mixture's logits", logits, (self.num_components,))
        return _log_average(logits, self._each(components, value))

    def _each(self, components, value):
        """ln p of every component, (rows, num_components)."""
        many = tree.map_structure(lambda v: ops.repeat(v, self.num_components, axis=0), value)
        return self._by_component(self.part.log_prob(_folded(components), many))

    def _by_component(self, x):
        return ops.reshape(x, (-1, self.num_components, *x.shape[1:]))

    def mean(self, statistics: Any) -> Any:
        logits, components = statistics
        weights = ops.softmax(logits, axis=-1)

        def average(mean):
            means = self._by_component(mean)
            missing = (1,) * (len(means.shape) - 2)
            return ops.sum(ops.reshape(weights, (-1, self.num_components, *missing)) * means, 1)

        return tree.map_structure(average, self.part.mean(_folded(components)))

    def emit(self, value: Any) -> Any:
        return self.part.emit(value)

    def exactly(self) -> Part:
        exact = self.part.exactly()
        return self if exact is self.part else Mixture(exact, self.num_components)

    def shapes(self, event: Shape) -> Shapes:
        num = self.num_components
        inner = tree.map_shape_structure(lambda shape: (num, *shape), self.part.shapes(event))
        return (num,), inner

    def standard(self) -> Part:
        return self.part.standard()

    def standard_statistics(self, statistics: Any) -> Any:
        return self.part.standard_statistics(tree.map_structure(lambda s: s[:, 0], statistics[1]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_components": self.num_components}


@keras.saving.register_keras_serializable(package="vae_keras")
class Vamp(Mixture):
    """The prior (1/M) sum_m q(z | u_m): the posterior of pseudo-inputs u_m, which are weights.

    The encoder is the posterior's own, so that the prior follows it. A file of the VAE keeps that
    the two are one, and so do its copies by `keras.models.clone_model` and `from_config`. Begin
    the pseudo-inputs at data: `vamp.pseudo_inputs.assign(x[:num_components])`.

    Args:
        part: the family of the posterior.
        encoder: the Keras model that maps x to its statistics.
        event: the shape of one x.
        num_components: the number M of pseudo-inputs, 1 or more.
        seed: integer that fixes where they begin, uniform on [0, 1].

    Call arguments:
        statistics: None, to the methods; it has statistics of its own.

    Raises:
        ValueError: if num_components is below 1, or there are statistics.

    Reference: Tomczak and Welling (2018), VAE with a VampPrior, equation 9.

    Example:
        >>> encoder = dense_encoder((8,), latent_dim=2)
        >>> prior = Vamp(Gaussian(), encoder, (8,), num_components=3)
        >>> tuple(prior.log_prob(None, ops.zeros((5, 2))).shape)
        (5,)
    """

    is_unconditional = True

    def __init__(
        self,
        part: Part,
        encoder: Callable[..., Any],
        event: Shape,
        *,
        num_components: int = 10,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(part, num_components, seed=seed, **kwargs)
        self.encoder, self.event = encoder, tuple(event)
        begin = keras.initializers.RandomUniform(0.0, 1.0, seed=self.seed)
        self.pseudo_inputs = self.add_weight(
            name="pseudo_inputs", shape=(num_components, *self.event), initializer=begin
        )

    def resolve(self, statistics: Any, rows: Any) -> Any:
        if statistics is not None:
            raise ValueError(
                "Vamp has the statistics of its pseudo-inputs, and takes None; got "
                f"{type(statistics).__name__}."
            )
        found = wide(self.encoder(ops.convert_to_tensor(self.pseudo_inputs)))

        def in_rows(s):  # (num_components, ..) -> (rows, num_components, ..)
            return ops.broadcast_to(s[None], (rows, *s.shape))

        components = tree.map_structure(in_rows, found)
        first = tree.flatten(components)[0]
        return ops.zeros((rows, self.num_components), first.dtype), components

    def log_prob(self, statistics: Any, value: Any) -> Tensor:
        if statistics is None:
            statistics = self.resolve(None, num_rows(value))
        return super().log_prob(statistics, value)

    def exactly(self) -> Part:
        exact = self.part.exactly()
        if exact is self.part:
            return self
        raise ValueError(
            f"Vamp of {type(self.part).__name__} cannot be evaluated exactly: take the discrete "
            "part from the beginning, or relaxed=True."
        )

    def shapes(self, event: Shape) -> Shapes:
        return None

    def get_config(self) -> dict[str, Any]:
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {**super().get_config(), "encoder": encoder, "event": self.event}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        names = ("part", "encoder")
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in names}
        return cls(**{**config, **parts})


def _folded(components):
    """Components as rows: (rows, num_components, ..) -> (rows * num_components, ..)."""
    return tree.map_structure(lambda s: ops.reshape(s, (-1, *s.shape[2:])), components)


def _log_average(logits, each):
    return ops.logsumexp(ops.log_softmax(logits, axis=-1) + each, axis=-1)
