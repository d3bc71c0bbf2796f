"""Units with finitely many states: binary, spin, and Potts."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rbm_tf.shared.arrays import visible_states
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.divisors import largest_divisor
from rbm_tf.shared.log_weights import float_tensor
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike
from rbm_tf.units.structure import Kind
from rbm_tf.units.unit import Unit, gumbel


@keras.saving.register_keras_serializable(package="rbm_tf")
class Binary(Unit):
    """Units {0, 1} with U = 0: Gamma(x) = softplus(x), mean sigmoid(x).

    Args:
        num: the number of units.

    Raises:
        ValueError: if num is not an integer of 1 or more.

    Reference: B5.

    Example:
        >>> Binary(1).cumulants([0.0], 4)[:, 0].numpy()  # of a fair coin
        array([ 0.5  ,  0.25 ,  0.   , -0.125], dtype=float32)
    """

    bounds = (0.0, 1.0)

    def cgf(self, x: ArrayLike) -> tf.Tensor:
        return tf.math.softplus(self.fields(x))

    def cgf_gain(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        ratio = (1 + tf.exp(-tf.abs(x))) / (1 + tf.exp(-tf.abs(y)))  # from 1/2 to 2
        by_group = tf.math.log(_products_of_groups(ratio))  # a tenth of the logarithms or fewer
        return tf.reduce_sum(tf.nn.relu(x) - tf.nn.relu(y), -1) + tf.reduce_sum(by_group, -1)

    def each_cumulant(self, x: tf.Tensor) -> Iterator[tf.Tensor]:
        yield from bernoulli_cumulants(tf.sigmoid(x), tf.sigmoid(-x))

    def mean(self, x: ArrayLike) -> tf.Tensor:
        return tf.sigmoid(self.fields(x))

    def sample(self, x: ArrayLike, *, seed: Any) -> tf.Tensor:
        return sample_bernoulli(self.fields(x), as_seed(seed))

    def states(self) -> np.ndarray:
        return np.array([[0.0], [1.0]])

    def initial_bias(self, mean: ArrayLike, *, count: ArrayLike) -> tf.Tensor:
        ones = self.fields(mean) * count
        return tf.math.log(ones + 1) - tf.math.log(count - ones + 1)

    def sample_of_mean(self, mean: ArrayLike, *, seed: Any) -> tf.Tensor:
        mean = self.fields(mean)
        uniform = tf.random.stateless_uniform(tf.shape(mean), as_seed(seed), dtype=mean.dtype)
        return tf.cast(uniform < mean, mean.dtype)

    def check(self, t: Any, *, name: str = "x", means: bool = False) -> np.ndarray:
        return visible_states(t, name, self.num, binary=not means)

    def conjugate_field(self, m: ArrayLike) -> tf.Tensor:
        m = self.fields(m)
        return tf.math.log(m) - tf.math.log1p(-m)

    def cgf_conjugate(self, m: ArrayLike) -> tf.Tensor:
        m = self.fields(m)
        return tf.math.xlogy(m, m) + tf.math.xlog1py(1 - m, -m)

    def cgf_conjugate_at(self, x: ArrayLike) -> tf.Tensor:
        return _minus_entropy(self.fields(x))

    def add_precision(self, added: ArrayLike) -> Unit:
        return _AddedPrecision(self, added, slope=0.5)  # t^2 = t


@keras.saving.register_keras_serializable(package="rbm_tf")
class Spin(Unit):
    """Units {-1, 1} with U = 0: Gamma(x) = ln 2 cosh x, mean tanh(x).

    They are `Binary` units s = (1 + t)/2 in the field 2x: Gamma(x) = softplus(2x) - x.

    Args:
        num: the number of units.

    Raises:
        ValueError: if num is not an integer of 1 or more.

    Example:
        >>> Spin(1).cumulants([0.0], 4)[:, 0].numpy()
        array([ 0.,  1.,  0., -2.], dtype=float32)
    """

    bounds = (-1.0, 1.0)

    def cgf(self, x: ArrayLike) -> tf.Tensor:
        x = self.fields(x)
        return x + tf.math.softplus(-2 * x)

    def cgf_gain(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(x - y, -1) + Binary(self.num).cgf_gain(-2 * x, -2 * y)

    def each_cumulant(self, x: tf.Tensor) -> Iterator[tf.Tensor]:
        yield tf.tanh(x)
        binary = bernoulli_cumulants(tf.sigmoid(2 * x), tf.sigmoid(-2 * x))
        for order, kappa in enumerate(binary, 1):
            if order > 1:
                yield 2.0**order * kappa

    def sample(self, x: ArrayLike, *, seed: Any) -> tf.Tensor:
        return 2 * Binary(self.num).sample(2 * self.fields(x), seed=seed) - 1

    def states(self) -> np.ndarray:
        return np.array([[-1.0], [1.0]])

    def sample_of_mean(self, mean: ArrayLike, *, seed: Any) -> tf.Tensor:
        up = Binary(self.num).sample_of_mean((1 + self.fields(mean)) / 2, seed=seed)
        return 2 * up - 1

    def conjugate_field(self, m: ArrayLike) -> tf.Tensor:
        return tf.math.atanh(self.fields(m))

    def cgf_conjugate(self, m: ArrayLike) -> tf.Tensor:
        return Binary(self.num).cgf_conjugate((1 + self.fields(m)) / 2)

    def cgf_conjugate_at(self, x: ArrayLike) -> tf.Tensor:
        return _minus_entropy(2 * self.fields(x))

    def add_precision(self, added: ArrayLike) -> Unit:
        return _AddedPrecision(self, added, offset=0.5)  # t^2 = 1


@keras.saving.register_keras_serializable(package="rbm_tf")
class Potts(Unit):
    """Units that are in one of q states, one-hot, with U = 0: Gamma(x) = ln sum_a exp(x_a).

    The layer is flat: columns q i to q i + q - 1 are the states of unit i. A cumulant of an entry
    is that of a binary unit with its probability p_a; the covariances of two entries of one unit
    are -p_a p_b. A number added to all fields of a unit changes no probability: conjugate fields
    are those of mean zero.

    Args:
        num: the number of units.
        num_states: q, 2 or more.

    Raises:
        ValueError: if num or num_states is no such integer.

    Example:
        >>> Potts(1, 4).mean([0.0, 0.0, 0.0, 0.0]).numpy()
        array([0.25, 0.25, 0.25, 0.25], dtype=float32)
    """

    bounds = (0.0, 1.0)

    def __init__(self, num: int, num_states: int) -> None:
        super().__init__(num)
        check_counts(2, num_states=num_states)
        self.num_states = operator.index(num_states)

    @property
    def size(self) -> int:
        return self.num * self.num_states

    def cgf(self, x: ArrayLike) -> tf.Tensor:
        return tf.reduce_logsumexp(self._split(self.fields(x)), -1)

    def each_cumulant(self, x: tf.Tensor) -> Iterator[tf.Tensor]:
        p = tf.nn.softmax(self._split(x))
        others = tf.cumsum(p, -1, exclusive=True) + tf.cumsum(p, -1, exclusive=True, reverse=True)
        for kappa in bernoulli_cumulants(p, others):
            yield tf.reshape(kappa, tf.shape(x))

    def cumulants_along(self, x: tf.Tensor, direction: tf.Tensor, max_order: int) -> tf.Tensor:
        p, w = tf.nn.softmax(self._split(x)), self._split(direction)
        mean = tf.reduce_sum(p * w, -1)
        powers = [tf.reduce_sum(p * (w - mean[..., tf.newaxis]) ** n, -1) for n in (2, 3, 4)]
        second, third, fourth = powers
        return tf.stack([mean, second, third, fourth - 3 * second**2][:max_order])

    def energy(self, t: ArrayLike) -> tf.Tensor:
        return tf.zeros_like(self._split(self.fields(t))[..., 0])

    def sample(self, x: ArrayLike, *, seed: Any) -> tf.Tensor:
        x = self.fields(x)
        logits = self._split(x)
        index = tf.argmax(logits + gumbel(tf.shape(logits), seed, x.dtype), -1)
        return tf.reshape(tf.one_hot(index, self.num_states, dtype=x.dtype), tf.shape(x))

    def states(self) -> np.ndarray:
        return np.eye(self.num_states)

    def conjugate_field(self, m: ArrayLike) -> tf.Tensor:
        m = self.fields(m)
        x = tf.math.log(self._split(m))
        return tf.reshape(x - tf.reduce_mean(x, -1, keepdims=True), tf.shape(m))

    def cgf_conjugate(self, m: ArrayLike) -> tf.Tensor:
        m = self.fields(m)
        return self._unit_sums(tf.math.xlogy(m, m))

    def cgf_conjugate_at(self, x: ArrayLike) -> tf.Tensor:
        log_p = tf.nn.log_softmax(self._split(self.fields(x)))
        return tf.reduce_sum(tf.exp(log_p) * log_p, -1)

    def initial_bias(self, mean: ArrayLike, *, count: ArrayLike) -> tf.Tensor:
        mean = (self.fields(mean) * count + 1) / (count + self.num_states)
        return self.conjugate_field(mean)

    def inside(self, mean: ArrayLike) -> np.ndarray:
        return (np.asarray(mean, float) + 0.01) / (1 + 0.01 * self.num_states)

    def sample_of_mean(self, mean: ArrayLike, *, seed: Any) -> tf.Tensor:
        return self.sample(tf.math.log(self.fields(mean)), seed=seed)

    def standard_scale(self, variance: ArrayLike) -> tf.Tensor:
        return tf.ones_like(self.fields(variance))  # one-hot states cannot have a scale each

    def redundant_part(self, x: tf.Tensor) -> tf.Tensor:
        blocks = self._split(x)
        mean = tf.reduce_mean(blocks, -1, keepdims=True)
        return tf.reshape(tf.broadcast_to(mean, tf.shape(blocks)), tf.shape(x))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_states": self.num_states}

    def __repr__(self) -> str:
        return f"Potts({self.num}, {self.num_states})"

    def _split(self, x):
        shape = tf.shape(x)[:-1] if None in x.shape[:-1] else x.shape[:-1]
        return tf.reshape(x, tf.concat([shape, [self.num, self.num_states]], 0))

    def _unit_sums(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(self._split(x), -1)

    def _is_mean(self, t):
        blocks = np.reshape(t, (len(t), self.num, self.num_states))
        sums = np.abs(blocks.sum(-1, keepdims=True) - 1) < 1e-5
        return ((blocks >= 0) & sums).reshape(t.shape)

    def _is_state(self, t):
        return self._is_mean(t) & np.isin(t, (0, 1))

    def _place(self, t, row, column):
        unit = column // self.num_states
        block = t[row].reshape(self.num, self.num_states)[unit]
        return f"{block.tolist()}, whose sum is {block.sum():g}, in row {row}, unit {unit}"

    def _support(self):
        return f"one-hot blocks of {self.num_states} columns"


class _AddedPrecision(Unit):
    """Units whose t^2 is linear in t, with U + A t^2/2: only the field or Gamma is shifted."""

    def __init__(
        self, unit: Unit, added: ArrayLike, *, slope: float = 0.0, offset: float = 0.0
    ) -> None:
        super().__init__(unit.num)
        self.unit, self.bounds = unit, unit.bounds
        self.slope, self.offset = slope, offset
        self.parameters = {"added": float_tensor(added)}

    def __tf_flatten__(self) -> tuple[Any, tuple[Any, ...]]:
        return Kind(self, "unit"), (self.unit, self.added)

    @classmethod
    def __tf_unflatten__(cls, kind: Any, components: tuple[Any, ...]) -> _AddedPrecision:
        added = super().__tf_unflatten__(kind, components[1:])
        added.unit = components[0]
        return added

    @property
    def added(self) -> tf.Tensor:
        """A, what was added to the precision."""
        return self.parameters["added"]

    def cgf(self, x: ArrayLike) -> tf.Tensor:
        x = self.fields(x)
        return self.unit.cgf(self._shifted(x)) - self.offset * tf.cast(self.added, x.dtype)

    def each_cumulant(self, x: tf.Tensor) -> Iterator[tf.Tensor]:
        yield from self.unit.each_cumulant(self._shifted(x))

    def energy(self, t: ArrayLike) -> tf.Tensor:
        t = self.fields(t)
        return self.unit.energy(t) + tf.cast(self.added, t.dtype) * t * t / 2

    def sample(self, x: ArrayLike, *, seed: Any) -> tf.Tensor:
        return self.unit.sample(self._shifted(self.fields(x)), seed=seed)

    def states(self) -> np.ndarray | None:
        return self.unit.states()

    def conjugate_field(self, m: ArrayLike) -> tf.Tensor:
        x = self.unit.conjugate_field(m)
        return x + self.slope * tf.cast(self.added, x.dtype)

    def add_precision(self, added: ArrayLike) -> Unit:
        total = self.added + tf.cast(float_tensor(added), self.added.dtype)
        return self.unit.add_precision(total)

    def take(self, indices: ArrayLike) -> Unit:
        other: Any = super().take(indices)
        other.unit = self.unit.take(indices)
        return other

    def _shifted(self, x):
        return x - self.slope * tf.cast(self.added, x.dtype)


def sample_bernoulli(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw units {0, 1}, each 1 with probability sigmoid(logit).

    Args:
        logits: the fields of the units, any shape.
        seed: (2,) int32 tensor that fixes the draw.

    Returns:
        The shape and the dtype of logits.

    Example:
        >>> sample_bernoulli(tf.constant([-100.0, 100.0]), tf.constant([0, 1])).numpy()
        array([-0.,  1.], dtype=float32)
    """
    uniform = tf.random.stateless_uniform(tf.shape(logits), seed, dtype=logits.dtype)
    return tf.math.ceil(tf.sigmoid(logits) - uniform)  # 1 where uniform < p; faster than a cast


def bernoulli_cumulants(p: tf.Tensor, others: tf.Tensor) -> Iterator[tf.Tensor]:
    """Yield the four cumulants of a state that is there with probability p.

    Args:
        p: probabilities, any shape.
        others: 1 - p, given so that it keeps its digits where p is near 1.

    Example:
        >>> [float(kappa) for kappa in bernoulli_cumulants(tf.constant(0.5), tf.constant(0.5))]
        [0.5, 0.25, 0.0, -0.125]
    """
    variance = p * others
    yield p
    yield variance
    yield variance * (others - p)
    yield variance * (1 - 6 * variance)


def _minus_entropy(x):
    """p ln p + (1 - p) ln(1 - p) at p = sigmoid(x), without cancellation."""
    size = tf.abs(x)
    return -tf.math.softplus(-size) - size * tf.sigmoid(-size)


def _products_of_groups(ratio):
    """Products over groups of units, (.., num_groups), of ratios from 1/2 to 2, (.., num).

    No group is so large that its product could leave the range of the numbers.
    """
    num, largest = ratio.shape[-1], int(np.log2(float(ratio.dtype.max))) // 2
    size = largest_divisor(num, at_most=largest)
    shape = tf.concat([tf.shape(ratio)[:-1], [size, num // size]], 0)
    return tf.reduce_prod(tf.reshape(ratio, shape), -2)
