"""What a kind of unit is: its cumulant generating function, and what follows from it.

A unit t with the energy U(t) in the total field x, which is b + v W or a + W h, has

    p(t) = exp(x t - U(t) - Gamma(x)),    Gamma(x) = ln int exp(x t - U(t)) dt

with a sum in place of the integral where t is discrete. The derivatives of Gamma are the cumulants
of t: kappa_1 is the mean, kappa_2 the variance. The free energy with the hidden units summed out
is then F_c(v) = sum_i U_i(v_i) - a.v - sum_j Gamma_j(b_j + (v W)_j) (B36), which is B5 with Gamma
in place of softplus, and the mean-field expansion takes kappa_n where kappa_1 is the given mean
(B41).
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.log_weights import float_tensor
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike
from rbm_tf.units.inversion import field_of_mean
from rbm_tf.units.structure import Structure
from rbm_tf.units.support import Support

MAX_ORDER = 4  # of the cumulants


class Unit(Structure, Support):
    """One layer of units of a kind; a kind of your own needs `cgf` and `sample`.

    All that is not overridden comes from `cgf`: cumulants by automatic differentiation, the field
    of a mean by bisection. `each_cumulant`, a generator of kappa_1, kappa_2, .., is what to
    override where derivatives have a closed form. A kind with finitely many states overrides
    `states`, and `energy` unless it is 0; `cgf` and `sample` then follow too. `check_unit` tests
    the whole.

    A unit is a value: nothing changes it. Its parameters, if it has any, stand in `parameters`,
    and `with_parameters` makes another unit of it, such as one of tf.Variables to be trained.

    Args:
        num: the number of units in the layer.

    Raises:
        ValueError: if num is not an integer of 1 or more.

    Reference: Welling, Rosen-Zvi and Hinton (2004); B35, B21.

    Example:
        >>> class Poisson(Unit):  # t = 0, 1, 2, .. of mean exp(x)
        ...     bounds = (0.0, math.inf)
        ...     def cgf(self, x):
        ...         return tf.exp(x)
        ...     def energy(self, t):
        ...         return tf.math.lgamma(t + 1)
        ...     def sample(self, x, *, seed):
        ...         return tf.random.stateless_poisson(tf.shape(x), seed, tf.exp(x), x.dtype)
        >>> Poisson(2).cumulants([[0.0, 0.0]], 4)[:, 0, 0].numpy()
        array([1., 1., 1., 1.], dtype=float32)
        >>> class Count(Unit):  # t = 0, 1, .. 3, all alike: a binomial without its coefficients
        ...     bounds = (0.0, 3.0)
        ...     def states(self):
        ...         return np.arange(4.0)[:, np.newaxis]
        >>> Count(2).mean([0.0, 100.0]).numpy()
        array([1.5, 3. ], dtype=float32)
    """

    bounds: tuple[ArrayLike, ArrayLike] = (-math.inf, math.inf)  # of the support, or its hull
    scale_parameters: tuple[str, ...] = ()  # those that t -> c t makes up for: no news if hidden

    def __init__(self, num: int) -> None:
        check_counts(num=num)
        self.num = operator.index(num)
        self.parameters: dict[str, ArrayLike] = {}  # each (num,), or (.., num)

    @property
    def size(self) -> int:
        """The number of columns that the layer takes: num, but num * num_states for `Potts`."""
        return self.num

    @property
    def is_finite(self) -> bool:
        """Whether a unit has finitely many states, so that a layer can be summed over."""
        return self.num_layer_states is not None

    @property
    def is_bounded(self) -> bool:
        """Whether |t| has a bound, so that Z is finite whatever the weights to such a layer."""
        return bool(np.all(np.isfinite(self.bounds[0])) and np.all(np.isfinite(self.bounds[1])))

    def cgf(self, x: ArrayLike) -> tf.Tensor:
        """Gamma(x) = ln int exp(x t - U(t)) dt, the free energy of each unit with its sign changed.

        Args:
            x: total fields, (.., size).

        Returns:
            (.., num), nats.

        Raises:
            NotImplementedError: if a kind of your own has neither this nor `states`.
        """
        return tf.reduce_logsumexp(self._state_logits(self.fields(x)), -1)

    def cgf_gain(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """sum_i Gamma_i(x) - Gamma_i(y), which kinds may have cheaper, or without cancellation.

        Args:
            x: total fields, a float tensor (.., size).
            y: total fields, of the same shape.

        Returns:
            (..), nats.
        """
        return tf.reduce_sum(self.cgf(x) - self.cgf(y), -1)

    def each_cumulant(self, x: tf.Tensor) -> Iterator[tf.Tensor]:
        """Yield kappa_1(x), kappa_2(x), .., each (.., size): derivatives of Gamma by its own field.

        Args:
            x: total fields, a float tensor (.., size).
        """
        function: Callable[[tf.Tensor], tf.Tensor] = self.cgf
        while True:
            function = _slope(function)
            yield function(x)

    def cumulants(self, x: ArrayLike, max_order: int) -> tf.Tensor:
        """The cumulants kappa_n(x) = d^n Gamma/dx^n of each entry of the layer.

        Args:
            x: total fields, (.., size).
            max_order: the highest order, 1 to 4.

        Returns:
            (max_order, .., size): mean, variance, third and fourth cumulant.

        Raises:
            ValueError: for another order, or another size.
        """
        if max_order not in range(1, MAX_ORDER + 1):
            raise ValueError(f"max_order must be from 1 to {MAX_ORDER}; got {max_order!r}.")
        x = self.fields(x)
        return tf.stack(list(itertools.islice(self.each_cumulant(x), max_order)))

    def mean(self, x: ArrayLike) -> tf.Tensor:
        """The mean kappa_1(x) = <t> in the fields x, both (.., size)."""
        return next(iter(self.each_cumulant(self.fields(x))))

    def variance(self, x: ArrayLike) -> tf.Tensor:
        """The variance kappa_2(x) of each entry in the fields x, both (.., size)."""
        return self.cumulants(x, 2)[1]

    def cumulants_along(self, x: tf.Tensor, direction: tf.Tensor, max_order: int) -> tf.Tensor:
        """The cumulants of w.t of each unit: the derivatives of Gamma(x + s w) in s at s = 0.

        Args:
            x: total fields, a float tensor (.., size).
            direction: w, of the same shape.
            max_order: the highest order, 1 to 4.

        Returns:
            (max_order, .., num): w^n kappa_n(x), but for `Potts`, whose entries depend on one
            another.
        """
        kappa = self.cumulants(x, max_order)
        return tf.stack([direction**order * kappa[order - 1] for order in _orders(max_order)])

    def energy(self, t: ArrayLike) -> tf.Tensor:
        """U(t) of each unit; the biases belong to the field and not to U.

        One number a unit and not a sum over the layer, so that units that are missing, or held
        fixed, can be left out of the sum.

        Args:
            t: states, (.., size).

        Returns:
            (.., num), nats.
        """
        return tf.zeros_like(self.fields(t))

    def sample(self, x: ArrayLike, *, seed: Any) -> tf.Tensor:
        """Draw the units in the fields x: the same seed gives the same states.

        Args:
            x: total fields, (.., size).
            seed: integer, (2,) int32 tensor, or None for another draw every time.

        Returns:
            States, the shape and the dtype of x.

        Raises:
            NotImplementedError: if a kind of your own has neither this nor `states`.
        """
        logits = self._state_logits(self.fields(x))  # (.., num, num_states)
        index = tf.argmax(logits + gumbel(tf.shape(logits), seed, logits.dtype), -1)
        chosen = tf.gather(tf.constant(self._own_states(), logits.dtype), index)
        return tf.reshape(chosen, tf.shape(x))

    def states(self) -> np.ndarray | None:
        """All states of one unit, (num_states, size // num) float64; None if there is no end."""
        return None

    @property
    def num_layer_states(self) -> int | None:
        """How many states the layer has; None unless they are finite."""
        states = self.states()
        return None if states is None else len(states) ** self.num

    @property
    def log_num_layer_states(self) -> float | None:
        """The logarithm of `num_layer_states`, nats; None unless they are finite."""
        number = self.num_layer_states
        return None if number is None else math.log(number)

    def layer_states(
        self, *, first: int | tf.Tensor = 0, num_states: int | tf.Tensor | None = None
    ) -> tf.Tensor:
        """All states of the layer, or some of them, as rows; the first unit changes fastest.

        Args:
            first: the number of the first state.
            num_states: how many, by default all.

        Returns:
            (num_states, size), float64.

        Raises:
            ValueError: if the units have infinitely many states.

        Example:
            >>> Binary(2).layer_states().numpy().tolist()
            [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
        """
        states = self._own_states()
        total = len(states) ** self.num if num_states is None else num_states
        numbers = state_numbers(first, total)
        digits = numbers[:, tf.newaxis] // _powers(len(states), self.num) % len(states)
        return tf.reshape(tf.gather(tf.constant(states, tf.float64), digits), (-1, self.size))

    def conjugate_field(self, m: ArrayLike) -> tf.Tensor:
        """The field x with kappa_1(x) = m, where the cumulants of mean-field theory are taken.

        Closed for `Binary`, `Spin`, `Gaussian` and `Potts`; elsewhere bisection in float64, then a
        step of Newton's method, by which gradients pass. There is none for a mean outside the
        support: NaN.

        Args:
            m: means, (.., size).

        Returns:
            (.., size).
        """
        return field_of_mean(self, self.fields(m))

    def cgf_conjugate(self, m: ArrayLike) -> tf.Tensor:
        """Gamma*(m) = max_x [x m - Gamma(x)] = <ln p + U>, minus the entropy plus <U> (B37).

        Args:
            m: means, (.., size).

        Returns:
            (.., num), nats.
        """
        m = self.fields(m)
        x = self.conjugate_field(m)
        return self._unit_sums(x * m) - self.cgf(x)

    def cgf_conjugate_at(self, x: ArrayLike) -> tf.Tensor:
        """Gamma* of the mean that the fields x give, which needs no inversion.

        Args:
            x: conjugate fields, (.., size).

        Returns:
            x kappa_1(x) - Gamma(x), (.., num), nats.
        """
        x = self.fields(x)
        return self._unit_sums(x * self.mean(x)) - self.cgf(x)

    def add_precision(self, added: ArrayLike) -> Unit:
        """The units with U(t) + A t^2/2 in place of U, as two-moment mean field needs them.

        Args:
            added: A, (num,) or with the shape of the fields; where the precision g + A is not
                above 0 all that follows is NaN.

        Returns:
            `Unit`.

        Raises:
            ValueError: for kinds that have no such form.

        Reference: Tramel, Gabrie, Manoel, Caltagirone and Krzakala (2018).
        """
        raise ValueError(
            f"A precision cannot be added to {type(self).__name__}, only to Binary, Spin, "
            "Gaussian, ReLU, DReLU and Mixed of these. Take the mean field of the means alone."
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num})"

    def fields(self, x: ArrayLike) -> tf.Tensor:
        """Fields, means or states as a float tensor, refused unless they are (.., size)."""
        x = float_tensor(x)
        if x.shape.rank is not None and (x.shape.rank == 0 or x.shape[-1] not in (self.size, None)):
            raise ValueError(
                f"The last axis must have {self.size} entries for {self!r}; got shape {x.shape}."
            )
        return x

    def _unit_sums(self, x: tf.Tensor) -> tf.Tensor:
        return x  # `Potts` sums over the states of a unit

    def _own_states(self):
        states = self.states()
        if states is not None:
            return states
        if type(self).cgf is Unit.cgf or type(self).sample is Unit.sample:
            raise NotImplementedError(
                f"{type(self).__name__} must override cgf and sample, or states."
            )
        raise ValueError(f"{self!r} have infinitely many states.")

    def _state_logits(self, x):
        """x t - U(t) of the states t of each unit, (.., num, num_states)."""
        states = tf.constant(self._own_states(), x.dtype)  # (num_states, 1)
        energy = self.energy(tf.repeat(states, self.num, -1))  # (num_states, num)
        return x[..., tf.newaxis] * states[:, 0] - tf.transpose(energy)


def state_numbers(first: int | tf.Tensor, num_states: int | tf.Tensor) -> tf.Tensor:
    """first, first + 1, .. as int64, num_states of them.

    Example:
        >>> state_numbers(2, 3).numpy().tolist()
        [2, 3, 4]
    """
    return tf.cast(first, tf.int64) + tf.range(tf.cast(num_states, tf.int64))


def gumbel(shape: Any, seed: Any, dtype: Any) -> tf.Tensor:
    """Standard Gumbel noise: the largest of logits with it is a draw of their softmax.

    Args:
        shape: of the noise.
        seed: as `Unit.sample` takes it.
        dtype: of the noise.

    Returns:
        Tensor of that shape.

    Example:
        >>> gumbel([2], 0, tf.float32).shape
        TensorShape([2])
    """
    smallest = np.finfo(tf.as_dtype(dtype).as_numpy_dtype).tiny
    uniform = tf.random.stateless_uniform(shape, as_seed(seed), minval=smallest, dtype=dtype)
    return -tf.math.log(-tf.math.log(uniform))


def _powers(base, num):
    """base^0, base^1, .. of the digits of a number; 0 for those that int64 cannot reach."""
    return tf.constant([base**i if base**i < 2**63 else 2**62 for i in range(num)], tf.int64)


def _orders(max_order):
    return range(1, max_order + 1)


def _slope(function):
    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(function(x))
        return tape.gradient(value, x, unconnected_gradients="zero")

    return slope
