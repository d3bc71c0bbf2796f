"""A part whose statistics are weights of its own: priors that are standard, or learned."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops, tree

from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts.inputs import num_rows
from vae_keras.parts.of_part import OfPart
from vae_keras.parts.part import Part


@keras.saving.register_keras_serializable(package="vae_keras")
class Own(OfPart):
    """The part at statistics that are weights: p(value) = p(value | weights), the same every row.

    The weights begin at zero, so that `Own(part, event)` begins as the family's standard member:
    `Own(Gaussian(), (2,), trainable=False)` is N(0, I), `Own(Gaussian(), (2,))` a learned Gaussian
    prior, `Own(Bernoulli(), (8,))` a learned prior of bits. The components of a mixture must not
    begin alike: give it a `spread`.

    Args:
        part: the family.
        event: the shape of one value.
        trainable: whether the weights learn.
        spread: the standard deviation of the weights at the beginning, 0 or above.
        seed: integer that fixes them.
        values: the weights, where another `Own` made them, in the order of its statistics.

    Call arguments:
        statistics: None, to the methods; the layer's own call takes any tensor with as many rows.

    Output: a draw as networks take it, (rows, ..), and its log-probability, (rows,), nats.

    Raises:
        ValueError: if spread is negative, or there are statistics.

    Example:
        >>> prior = Own(Gaussian(), (2,), trainable=False)
        >>> float(prior.log_prob(None, ops.zeros((5, 2)))[0])  # -ln(2 pi)
        -1.8378770351409912
    """

    is_unconditional = True

    def __init__(
        self,
        part: Part,
        event: Shape,
        *,
        trainable: bool = True,
        spread: float = 0.0,
        seed: int | None = None,
        values: list[keras.Variable] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(part, seed=seed, trainable=trainable, **kwargs)
        if not 0 <= spread < math.inf:
            raise ValueError(f"spread must be 0 or more and finite; got {spread}.")
        self.event, self.spread = tuple(event), spread
        self.space, self.has_path = part.space, part.has_path
        self.has_density, self.has_mean = part.has_density, part.has_mean
        self.is_factorized = part.is_factorized
        self.is_standard = not trainable and not spread
        self.values = self._weights() if values is None else values

    def _weights(self):
        """A list of the weights: TensorFlow would wrap other structures."""
        random = keras.initializers.RandomNormal(0.0, self.spread, seed=self.seed)
        begin = random if self.spread else "zeros"
        weights: list[keras.Variable] = []

        def add(shape):
            name = f"statistics_{len(weights)}"  # PyTorch's parameters go by their names
            weights.append(self.add_weight(name=name, shape=shape, initializer=begin))

        tree.map_shape_structure(add, self.part.shapes(self.event))
        return weights

    @property
    def num_values(self) -> Any:
        return self.part.num_values

    def resolve(self, statistics: Any, rows: Any) -> Any:
        if statistics is not None:
            raise ValueError(
                f"Own has statistics of its own, and takes None; got {type(statistics).__name__}. "
                f"With statistics from a network take {type(self.part).__name__} itself."
            )
        values = iter(self.values)

        def in_rows(shape):
            value = ops.convert_to_tensor(next(values))
            return ops.broadcast_to(value[None], (rows, *shape))

        return tree.map_shape_structure(in_rows, self.part.shapes(self.event))

    def _resolved(self, statistics, like):
        return self.resolve(None, num_rows(like)) if statistics is None else statistics

    def noise(self, statistics: Any, rows: Any, seed: Any) -> Any:
        return self.part.noise(self._resolved(statistics, self.values), rows, seed)

    def draw(self, statistics: Any, noise: Any) -> tuple[Any, Tensor]:
        return self.part.draw(self._resolved(statistics, noise), noise)

    def log_prob(self, statistics: Any, value: Any) -> Tensor:
        return self.part.log_prob(self._resolved(statistics, value), value)

    def terms(self, statistics: Any, value: Any) -> Tensor:
        return self.part.terms(self._resolved(statistics, value), value)

    def mean(self, statistics: Any) -> Any:
        return self.part.mean(statistics)

    def emit(self, value: Any) -> Any:
        return self.part.emit(value)

    def exactly(self) -> Part:
        exact = self.part.exactly()
        if exact is self.part:
            return self
        return Own(
            exact, self.event, trainable=self.trainable, spread=self.spread, values=self.values
        )

    def family(self) -> Part:
        return self.part.family()

    def shapes(self, event: Shape) -> Shapes:
        return None

    def standard(self) -> Part:
        return self.part.standard()

    def standard_statistics(self, statistics: Any) -> Any:
        return self.part.standard_statistics(statistics)

    def divergence(
        self, statistics: Any, prior: Part, prior_statistics: Any, value: Any, log_prob: Tensor
    ) -> Tensor:
        return self.part.divergence(statistics, prior, prior_statistics, value, log_prob)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "event": self.event, "spread": self.spread}
