"""Parts drawn one after another, each given those before it: hierarchies, and products."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import keras
from keras import ops, tree

from rbm_tf.shared.saving import as_one, sharing
from rbm_tf.shared.types import Shapes, Tensor
from vae_keras.parts.inputs import as_generator, num_rows, present, total, wide
from vae_keras.parts.names import call_by_name
from vae_keras.parts.part import Part
from vae_keras.parts.rules import kl_terms


@keras.saving.register_keras_serializable(package="vae_keras")
class Chain(Part):
    """p(values) = prod_l p_l(value_l | values before it, statistics), values by name.

    A network gives the statistics of its part from what it asks for by name: values that are drawn
    already, as their parts emit them, and the statistics of the whole, as "statistics" or, where
    they are a dict, by their keys. A part without a network takes the entry of its own name, or
    the statistics whole where they are no dict; without any of these it has its own. A function is
    given a dict. With no networks a chain is a product of independent parts.

    Posterior and prior are chains of the same names, in any order: q may draw z1 and then z2, p z2
    and then z1. The KL is summed by levels, in closed form where p's level stands under nothing
    that q draws later. In one and the same order the sum varies less than ln q - ln p does.

    Args:
        parts: for each name its part, in the order of the draws.
        networks: for some of the names a Keras model or layer, or a registered function.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: nested tensors, each (rows, ..), or a dict of them.

    Output: for each name a draw as networks take it, (rows, ..), and the log-probability of all,
        (rows,), nats.

    Raises:
        ValueError: if there is no part, or a network of another name.

    Reference: Sonderby, Raiko, Maaloe, Sonderby and Winther (2016), Ladder variational
    autoencoders.

    Example:
        >>> part = Gaussian(scale=1.0)
        >>> walk = Chain({"a": Own(part, (1,)), "b": part}, {"b": lambda given: 2 * given["a"]})
        >>> values = {"a": ops.ones((1, 1)), "b": ops.full((1, 1), 2.0)}
        >>> print(round(float(walk.log_prob(None, values)[0]), 4))  # -1/2 - ln(2 pi)
        -2.3379
    """

    def __init__(
        self,
        parts: Mapping[str, Part],
        networks: Mapping[str, Callable[..., Any]] | None = None,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        networks = networks or {}
        if not parts or set(networks) - set(parts):
            raise ValueError(
                f"Chain takes one part or more, and networks of their names; got parts "
                f"{list(parts)} and networks {list(networks)}."
            )
        self.names, self.parts = list(parts), list(parts.values())
        self.networks = [networks.get(name) for name in self.names]
        each = self.parts
        self.space = "real" if all(p.space == "real" for p in each) else "discrete"
        self.has_path = all(p.has_path for p in each)
        self.has_density = all(p.has_density for p in each)
        self.has_mean = not networks and all(p.has_mean for p in each)

    @property
    def num_values(self) -> dict[str, Any]:
        return {name: part.num_values for name, part, _ in self._levels()}

    def _levels(self):
        return zip(self.names, self.parts, self.networks, strict=True)

    def _statistics(self, name, part, network, statistics, context, rows):
        """The statistics of one part, given the values drawn so far."""
        by_name = isinstance(statistics, Mapping)
        if network is None:
            return part.resolve(statistics.get(name) if by_name else statistics, rows)
        given = statistics if by_name else {"statistics": statistics}
        found = call_by_name(network, {**given, **context}, as_dict=True)
        return part.resolve(wide(found), rows)

    def _along(self, statistics, value):
        """Yield for each level its name, part and statistics, given the values before it."""
        context: dict[str, Any] = {}
        for name, part, network in self._levels():
            found = self._statistics(
                name, part, network, statistics, context, num_rows(value[name])
            )
            yield name, part, found
            context[name] = part.emit(value[name])

    def resolve(self, statistics: Any, rows: Any) -> Any:
        return present(statistics)

    def noise(self, statistics: Any, rows: Any, seed: Any) -> dict[str, Any]:
        """Noise of each level; one row is drawn along, for the shapes that networks give."""
        one, seed = tree.map_structure(lambda s: s[:1], present(statistics)), as_generator(seed)
        noise: dict[str, Any] = {}
        context: dict[str, Any] = {}
        for name, part, network in self._levels():
            found = self._statistics(name, part, network, one, context, 1)
            noise[name] = part.noise(found, rows, seed)
            first = tree.map_structure(lambda n: n[:1], noise[name])
            context[name] = part.emit(part.draw(found, first)[0])
        return noise

    def draw(self, statistics: Any, noise: Any) -> tuple[dict[str, Any], Tensor]:
        value: dict[str, Any] = {}
        context: dict[str, Any] = {}
        log_probs, statistics = [], present(statistics)
        for name, part, network in self._levels():
            rows = num_rows(noise[name])
            found = self._statistics(name, part, network, statistics, context, rows)
            value[name], log_prob = part.draw(found, noise[name])
            context[name] = part.emit(value[name])
            log_probs.append(log_prob)
        return value, sum(log_probs[1:], log_probs[0])

    def log_prob(self, statistics: Any, value: Any) -> Tensor:
        return total(self.terms(statistics, value))

    def terms(self, statistics: Any, value: Any) -> Tensor:
        """ln p of each level, (rows, num_levels)."""
        statistics = present(statistics)
        levels = self._along(statistics, value)
        return ops.stack([part.log_prob(s, value[name]) for name, part, s in levels], axis=1)

    def divergence(
        self, statistics: Any, prior: Part, prior_statistics: Any, value: Any, log_prob: Tensor
    ) -> Tensor:
        """KL(this || prior) from a draw by levels, (rows, num_levels)."""
        other = prior.family()
        if not isinstance(other, Chain) or set(other.names) != set(self.names):
            return super().divergence(statistics, prior, prior_statistics, value, log_prob)
        theirs = {name: (p, s) for name, p, s in other._along(prior_statistics, value)}
        levels, drawn = [], set[str]()
        for name, part, found in self._along(statistics, value):
            p, p_statistics = theirs[name]
            under = other.names[: other.names.index(name)]
            terms = kl_terms(part, found, p, p_statistics) if drawn.issuperset(under) else None
            if terms is None:
                ratio = part.log_prob(found, value[name]) - p.log_prob(p_statistics, value[name])
            levels.append(ratio if terms is None else total(terms))
            drawn.add(name)
        return ops.stack(levels, axis=1)

    def mean(self, statistics: Any) -> dict[str, Any]:
        """The mean of each level at the means of those before it."""
        means: dict[str, Any] = {}
        statistics = present(statistics)
        rows = num_rows(statistics) if tree.flatten(statistics) else 1
        for name, part, network in self._levels():
            found = self._statistics(name, part, network, statistics, means, rows)
            means[name] = part.mean(found)
        return means

    def emit(self, value: Any) -> dict[str, Any]:
        return {name: part.emit(value[name]) for name, part, _ in self._levels()}

    def _named_networks(self):
        pairs = zip(self.names, self.networks, strict=True)
        return {name: network for name, network in pairs if network is not None}

    def exactly(self) -> Part:
        exact = {name: part.exactly() for name, part, _ in self._levels()}
        if all(exact[name] is part for name, part, _ in self._levels()):
            return self
        return Chain(exact, self._named_networks())

    def shapes(self, event: Any) -> Shapes:
        """Of the parts without networks, by name; event is a dict of shapes."""
        levels = self._levels()
        return {name: part.shapes(event[name]) for name, part, net in levels if net is None}

    def standard(self) -> Part:
        return Chain({name: part.standard() for name, part, _ in self._levels()})

    def standard_statistics(self, statistics: Any) -> Any:
        if self._named_networks():
            raise ValueError(
                "A chain with networks has no default prior: pass prior=Chain(..) of equal names."
            )
        each = {name: part for name, part, _ in self._levels()}
        return {name: part.standard_statistics(statistics[name]) for name, part in each.items()}

    @as_one
    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        parts = [[name, serialize(part)] for name, part, _ in self._levels()]
        networks = [[name, serialize(net)] for name, net in self._named_networks().items()]
        return {**super().get_config(), "parts": parts, "networks": networks}

    @classmethod
    @sharing()
    def from_config(cls, config: dict[str, Any]) -> Self:
        deserialize = keras.saving.deserialize_keras_object
        names = ("parts", "networks")
        own = {key: {name: deserialize(x) for name, x in config[key]} for key in names}
        return cls(**{**config, **own})
