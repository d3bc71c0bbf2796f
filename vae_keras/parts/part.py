"""What a part is: a conditional density p(value | statistics), as a Keras layer without a role."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops, tree

from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts.inputs import check_range, is_floating, num_rows, total, wide
from vae_keras.parts.rules import kl_terms
from vae_keras.shared.random_layer import RandomLayer


class Part(RandomLayer):
    """A conditional density p(value | statistics); posterior, prior and likelihood are uses of it.

    Statistics, values and noise are nested tensors of rows, (rows, ..), and log-probabilities are
    (rows,), in nats: a part never sees how many draws there are for an example. Networks give the
    statistics, and the part alone interprets them. Each family is its standard member at
    statistics zero: N(0, I), Bernoulli of 1/2, the uniform categorical.

    A part of your own writes `noise`, `draw`, `terms` (or `log_prob`), `mean` and `shapes`; below
    it is the Laplace distribution. Weights are made in `__init__`, because a part that is used
    through its methods is never built. `check_part` tests the whole.

    Args:
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: nested tensors, each (rows, ..).

    Output: a draw as networks take it, (rows, ..), and its log-probability, (rows,), nats,
        float32 or wider.

    Raises:
        ValueError: if seed is no integer.

    Example:
        >>> @keras.saving.register_keras_serializable(package="example")
        ... class Laplace(Part):
        ...     def shapes(self, event):
        ...         return event, event
        ...
        ...     def noise(self, statistics, rows, seed):
        ...         shape = (rows, *statistics[0].shape[1:])
        ...         u = keras.random.uniform(shape, minval=-0.5, maxval=0.5, seed=seed)
        ...         return -ops.sign(u) * ops.log1p(-2 * ops.abs(u))
        ...
        ...     def draw(self, statistics, noise):
        ...         median, log_scale = statistics
        ...         terms = -ops.abs(noise) - log_scale - math.log(2)
        ...         return median + ops.exp(log_scale) * noise, total(terms)
        ...
        ...     def terms(self, statistics, value):
        ...         median, log_scale = statistics
        ...         return -ops.abs(value - median) * ops.exp(-log_scale) - log_scale - math.log(2)
        ...
        ...     def mean(self, statistics):
        ...         return statistics[0]
        >>> check_part(Laplace())
        >>> float(Laplace().log_prob((ops.zeros((1, 1)), ops.zeros((1, 1))), ops.ones((1, 1)))[0])
        -1.6931471824645996
    """

    space = "real"  # or "discrete", where log_prob is that of a probability
    has_path = True  # whether gradients pass through a draw to the statistics, and are right
    has_density = True  # whether a draw has a log-probability
    has_mean = True  # whether `mean` is the expected value, and no other point that stands for it
    is_unconditional = False  # whether its statistics are its own
    is_factorized = False  # whether `terms` are densities of entries that are independent
    own_activation: str | None = None  # that of its logits, which networks leave out
    is_standard = False  # whether it is the standard member whatever it is given

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, autocast=False, **kwargs)
        self.built = type(self).build is keras.layers.Layer.build  # methods never build it

    @property
    def num_values(self) -> Any:
        """How many values an entry has, 0 .. num_values - 1; None if not finitely many.

        Of nested values it is nested alike. Sums over all states need it.
        """
        return None

    def noise(self, statistics: Any, rows: Any, seed: Any) -> Any:
        """Standard randomness of a draw for each row, which depends on no parameter.

        Args:
            statistics: nested tensors, each (rows, ..), of which shapes and types alone matter;
                they may have another number of rows.
            rows: how many.
            seed: integer, None, or a `keras.random.SeedGenerator`.

        Returns:
            Nested tensors, each (rows, ..).
        """
        raise self._lacks("noise")

    def draw(self, statistics: Any, noise: Any) -> tuple[Any, Tensor]:
        """The value that the noise makes, and its log-probability, computed from the noise.

        Recovering the noise from the value would lose digits wherever the value is large and the
        density narrow. Gradients pass through both if `has_path`.

        Args:
            statistics: nested tensors, each (rows, ..).
            noise: what `noise` returned.

        Returns:
            The value, (rows, ..), and its log-probability, (rows,), nats.
        """
        raise self._lacks("draw")

    def log_prob(self, statistics: Any, value: Any) -> Tensor:
        """ln p(value | statistics) at any value, (rows,), nats: the sum of the `terms`."""
        if type(self).terms is Part.terms:
            raise self._lacks("terms or log_prob")
        return total(self.terms(statistics, value))

    def log_prob_of_draw(self, statistics: Any, value: Any, noise: Any) -> Tensor:
        """ln p at a draw whose noise is known, (rows,), nats, for the sake of its gradients.

        Here it is `log_prob`. A part overrides it if the noise gives digits that a value has lost.

        Args:
            statistics: nested tensors, each (rows, ..).
            value: what `draw` made of the noise, with other gradients perhaps.
            noise: what `noise` returned.
        """
        return self.log_prob(statistics, value)

    def terms(self, statistics: Any, value: Any) -> Tensor:
        """ln p of each entry of the value, (rows, ..); (rows, 1) where it has no such sum."""
        if type(self).log_prob is Part.log_prob:
            raise self._lacks("terms or log_prob")
        return self.log_prob(statistics, value)[:, None]

    def log_mass(self, statistics: Any, low: Tensor, high: Tensor) -> Tensor:
        """ln P(low < value < high) of each entry, (rows, ..), nats, for `Levels`.

        Args:
            statistics: nested tensors, each (rows, ..).
            low: the lower ends of intervals, (rows, ..), -inf for none.
            high: the upper ends, the same shape, inf for none.
        """
        raise self._lacks("log_mass")

    def check_value(self, value: Any) -> None:
        """Refuse data that the density does not know; here those that are not finite.

        Args:
            value: nested arrays or eager tensors, (rows, ..).

        Raises:
            ValueError: with what they must be, and what to do.
        """
        for entry in tree.flatten(value):
            check_range(self, entry, remedy="remove or replace NaN and infinite values")

    def mean(self, statistics: Any) -> Any:
        """The expected value, or what stands for it, as networks take it: the shape of `emit`."""
        raise self._lacks("mean")

    def emit(self, value: Any) -> Any:
        """What networks are given for a value: sigmoid, one-hot, (cos, sin); here the value."""
        return value

    def exactly(self) -> Part:
        """The part that evaluation takes: a relaxed one returns the discrete one it stands for."""
        return self

    def renew(self) -> None:
        """Bring up to date what the part keeps of its weights, before a model is evaluated."""

    def family(self) -> Part:
        """The part that reads the resolved statistics, by whose class a rule of the KL is found."""
        return self

    def resolve(self, statistics: Any, rows: Any) -> Any:
        """The statistics of each row; an unconditional part, given None, has its own.

        Args:
            statistics: nested tensors, each (rows, ..), or None.
            rows: how many there are to be.

        Raises:
            ValueError: if the part needs statistics and there are none.
        """
        if statistics is None:
            raise ValueError(
                f"{type(self).__name__} needs statistics for its rows; got None. A part with "
                "weights of its own in their place is Own(part, event)."
            )
        return statistics

    def shapes(self, event: Shape) -> Shapes:
        """The shapes of the statistics, without their rows, of values of a shape.

        Args:
            event: shape of one value.

        Returns:
            Nested tuples of integers.
        """
        raise self._lacks("shapes")

    def standard(self) -> Part:
        """The family of the default prior where this part is the posterior."""
        return self.family()

    def standard_statistics(self, statistics: Any) -> Any:
        """The statistics of the default prior, zeros (rows, ..), from those of this part."""
        return tree.map_structure(ops.zeros_like, statistics)

    def divergence(
        self, statistics: Any, prior: Part, prior_statistics: Any, value: Any, log_prob: Tensor
    ) -> Tensor:
        """KL(this || prior) from a draw, as terms (rows, ..): the mean of their sums is the KL.

        The closed form if the pair has one (`kl_terms`), and else ln q - ln p at the draw.

        Args:
            statistics: of this part, resolved.
            prior: the other part.
            prior_statistics: of the prior, resolved.
            value: a draw of this part, (rows, ..).
            log_prob: its log-probability, (rows,).

        Raises:
            ValueError: if there is neither a closed form nor a density.
        """
        terms = kl_terms(self, statistics, prior, prior_statistics)
        if terms is not None:
            return terms
        if not self.has_density:
            raise ValueError(
                f"{type(self).__name__} has no density at temperature 0, and no closed form of the "
                f"KL against {type(prior).__name__}: leave the prior out, or take a temperature "
                "above 0."
            )
        return (log_prob - prior.log_prob(prior_statistics, value))[:, None]

    def call(self, statistics: Any) -> tuple[Any, Tensor]:
        given = None if self.is_unconditional else wide(statistics)
        statistics = self.resolve(given, num_rows(statistics))
        noise = self.noise(statistics, num_rows(statistics), self.seed_generator)
        value, log_prob = self.draw(statistics, noise)
        return tree.map_structure(self._narrow, self.emit(value)), log_prob

    def add_weight(self, *args: Any, **kwargs: Any) -> keras.Variable:
        """Keras's, in float32 at least, and read as such by methods under mixed precision."""
        dtype = "float64" if self.variable_dtype == "float64" else "float32"
        return super().add_weight(*args, **{"dtype": dtype, **kwargs, "autocast": False})

    def _narrow(self, x):
        return ops.cast(x, self.compute_dtype) if is_floating(x) else x

    def _lacks(self, method):
        return NotImplementedError(f"{type(self).__name__} does not write {method}.")
