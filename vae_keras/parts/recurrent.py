"""A part for every step of a sequence, whose statistics follow from the steps before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import keras
from keras import ops, tree

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Shape, Tensor
from vae_keras.parts.inputs import as_generator, float_dtype, num_rows, present, total, wide
from vae_keras.parts.part import Part
from vae_keras.parts.rules import kl_terms


@keras.saving.register_keras_serializable(package="vae_keras")
class Recurrent(Part):
    """p(values) = prod_t p(value_t | values before it): latent sequences, and text by the word.

    `cell(given, states)` returns the statistics of a step and the new states. `given` is a dict
    with "previous", the value of the step before as its part emits it (zeros at first), and
    "statistics", the step's slice of the statistics where there are any. States begin as
    `cell.get_initial_state(rows)`, or None where it has no such method. Steps are the second axis.

    Args:
        part: the part of one step.
        cell: a Keras layer, or a registered function.
        num_steps: the number of steps, 1 or more.
        event: the shape of one step's value as the part emits it.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: nested tensors, each (rows, num_steps, ..), or None to the methods.

    Output: a sequence as networks take it, (rows, num_steps, ..), and its log-probability, (rows,).

    Raises:
        ValueError: if num_steps is below 1.

    Reference: Chung, Kastner, Dinh, Goel, Courville and Bengio (2015), A recurrent latent variable
    model for sequential data; Krishnan, Shalit and Sontag (2017), Structured inference networks.

    Example:
        >>> def walk(given, states):
        ...     return given["previous"], states
        >>> part = Recurrent(Gaussian(scale=1.0), walk, num_steps=3, event=(1,))
        >>> log_p = part.log_prob(None, ops.array([[[1.0], [2.0], [3.0]]]))
        >>> print(round(float(log_p[0]), 4))  # -3/2 (1 + ln(2 pi))
        -4.2568
    """

    def __init__(
        self,
        part: Part,
        cell: Callable[..., Any],
        num_steps: int,
        event: Shape,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        check_counts(num_steps=num_steps)
        self.part, self.cell, self.num_steps, self.event = part, cell, num_steps, tuple(event)
        self.space, self.has_path, self.has_density = part.space, part.has_path, part.has_density
        self.has_mean = False  # `mean` follows the means of the steps before

    @property
    def num_values(self) -> Any:
        return self.part.num_values

    def resolve(self, statistics: Any, rows: Any) -> Any:
        return present(statistics)

    def _along(self, statistics, rows, following):
        """Yield the statistics of each step; following(t) is the emitted value of step t."""
        begin = getattr(self.cell, "get_initial_state", None)
        states = None if begin is None else begin(rows)
        dtype = float_dtype(statistics) if tree.flatten(statistics) else "float32"
        previous = ops.zeros((rows, *self.event), dtype)
        for t in range(self.num_steps):
            given = {"previous": previous}
            if tree.flatten(statistics):
                given["statistics"] = tree.map_structure(lambda s, t=t: s[:, t], statistics)
            found, states = self.cell(given, states)
            yield self.part.resolve(wide(found), rows)
            previous = following(t)

    def _of_value(self, statistics, value):
        """Yield the statistics and the value of each step of a sequence."""
        steps = [tree.map_structure(lambda v, t=t: v[:, t], value) for t in range(self.num_steps)]
        along = self._along(
            present(statistics), num_rows(value), lambda t: self.part.emit(steps[t])
        )
        yield from zip(along, steps, strict=True)

    def noise(self, statistics: Any, rows: Any, seed: Any) -> Any:
        one = tree.map_structure(lambda s: s[:1], present(statistics))
        first = next(self._along(one, 1, lambda t: None))
        noise = self.part.noise(first, rows * self.num_steps, as_generator(seed))
        return tree.map_structure(
            lambda n: ops.reshape(n, (-1, self.num_steps, *n.shape[1:])), noise
        )

    def draw(self, statistics: Any, noise: Any) -> tuple[Any, Tensor]:
        values: list[Any] = []
        log_probs, rows = [], num_rows(noise)
        along = self._along(present(statistics), rows, lambda t: self.part.emit(values[t]))
        for t, found in enumerate(along):
            value, log_prob = self.part.draw(found, tree.map_structure(lambda n: n[:, t], noise))  # noqa: B023
            values.append(value)
            log_probs.append(log_prob)
        return _stacked(values), sum(log_probs[1:], log_probs[0])

    def log_prob(self, statistics: Any, value: Any) -> Tensor:
        return total(self.terms(statistics, value))

    def terms(self, statistics: Any, value: Any) -> Tensor:
        """ln p of each step, (rows, num_steps)."""
        steps = self._of_value(statistics, value)
        return ops.stack([self.part.log_prob(found, step) for found, step in steps], axis=1)

    def divergence(
        self, statistics: Any, prior: Part, prior_statistics: Any, value: Any, log_prob: Tensor
    ) -> Tensor:
        """KL(this || prior) from a draw by steps, (rows, num_steps)."""
        other = prior.family()
        if not isinstance(other, Recurrent) or other.num_steps != self.num_steps:
            return super().divergence(statistics, prior, prior_statistics, value, log_prob)
        levels, p = [], other.part
        theirs = other._of_value(prior_statistics, value)
        for (q_found, step), (p_found, _) in zip(
            self._of_value(statistics, value), theirs, strict=True
        ):
            terms = kl_terms(self.part, q_found, p, p_found)
            if terms is None:
                ratio = self.part.log_prob(q_found, step) - p.log_prob(p_found, step)
            levels.append(ratio if terms is None else total(terms))
        return ops.stack(levels, axis=1)

    def mean(self, statistics: Any) -> Any:
        rows = num_rows(statistics) if tree.flatten(present(statistics)) else 1
        means: list[Any] = []
        for found in self._along(present(statistics), rows, lambda t: means[t]):
            means.append(self.part.mean(found))
        return _stacked(means)

    def emit(self, value: Any) -> Any:
        flat = tree.map_structure(lambda v: ops.reshape(v, (-1, *v.shape[2:])), value)
        return tree.map_structure(
            lambda v: ops.reshape(v, (-1, self.num_steps, *v.shape[1:])), self.part.emit(flat)
        )

    def exactly(self) -> Part:
        exact = self.part.exactly()
        if exact is self.part:
            return self
        return Recurrent(exact, self.cell, self.num_steps, self.event)

    def standard(self) -> Part:
        raise ValueError(
            "A recurrent posterior has no default prior: pass prior=Recurrent(..) of as many steps."
        )

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        own = {"part": serialize(self.part), "cell": serialize(self.cell)}
        return {**super().get_config(), **own, "num_steps": self.num_steps, "event": self.event}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        deserialize = keras.saving.deserialize_keras_object
        own = {name: deserialize(config[name]) for name in ("part", "cell")}
        return cls(**{**config, **own})


def _stacked(steps):
    return tree.map_structure(lambda *each: ops.stack(each, axis=1), *steps)
