"""The model's side of the RBM gradient: -ln p(v) = F_c(v) - F_eq, and here is F_eq's share (B9).

A negative phase is a Keras layer, called with the hidden inputs of the data batch and the machine.
It returns `ModelStates`, equally weighted samples of p(v), or `ModelMoments`, averages over p(v, h)
that were computed. What it remembers from one update to the next, chains, magnetisations and the
random state, are non-trainable weights, so that a checkpoint holds it.

Under a strategy of `tf.distribute` each replica moves its share of the chains, with draws of its
own, and all remember all chains, so that a checkpoint is that of one device.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from rbm_tf import enumeration
from rbm_tf.gibbs import gibbs_sweep, repeated
from rbm_tf.machine import Machine, machine_of
from rbm_tf.mean_field import (
    BinaryTheory,
    check_moments,
    check_order,
    check_precisions,
    theory_of,
)
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.replicas import check_shares, of_all_shares, over_all, own_seed, own_share
from rbm_tf.shared.seeds import LIMIT, integer_seed
from rbm_tf.tempered_path import TemperedPath
from rbm_tf.tempering import advance
from rbm_tf.units import Binary, Unit

_NONE: dict[str, Any] = {}  # binary units have no parameters of their own


class ModelStates(NamedTuple):
    """Equally weighted states of the model."""

    visible: tf.Tensor  # (num_chains, num_visible)
    hidden_input: tf.Tensor  # b + v W, (num_chains, num_hidden)
    hidden: tf.Tensor  # <h> given v, (num_chains, num_hidden)

    @classmethod
    def of(cls, machine: Machine, visible: tf.Tensor, hidden_input: tf.Tensor) -> ModelStates:
        """States from their hidden inputs.

        Args:
            machine: the `Machine`.
            visible: visible states, (num_chains, num_visible).
            hidden_input: b + v W, (num_chains, num_hidden).
        """
        return cls(visible, hidden_input, machine.hidden.mean(hidden_input))


class ModelMoments(NamedTuple):
    """Averages over the model, exact or approximate, and its free energy."""

    free_energy: tf.Tensor  # F_eq = -ln Z, scalar, nats
    visible: tf.Tensor  # <v>, (num_visible,)
    hidden: tf.Tensor  # <h>, (num_hidden,)
    correlation: tf.Tensor  # <v h^T>, (num_visible, num_hidden)
    visible_slopes: dict[str, tf.Tensor] = _NONE  # d ln Z / d parameter of the visible units
    hidden_slopes: dict[str, tf.Tensor] = _NONE  # and of the hidden units


class _NegativePhase(keras.layers.Layer):
    """What the phases share: the number of steps and a random state that checkpoints hold."""

    def __init__(self, num_steps: int = 1, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # dtypes are the model's
        check_counts(num_steps=num_steps)
        self.num_steps = num_steps
        self.seed = random.randrange(LIMIT) if seed is None else integer_seed(seed, limit=LIMIT)

    def build(self, units: tuple[Unit, Unit]) -> None:
        """Make the weights, for the visible and the hidden units."""
        self.random_state = self.add_weight(
            name="random_state",
            shape=(2,),
            dtype="int32",
            initializer=lambda shape, dtype: tf.constant([self.seed, 0], dtype),
            trainable=False,
        )
        self.built = True

    def get_build_config(self) -> None:
        """None: the model that the phase belongs to builds it."""

    def next_seed(self, training: bool) -> tf.Tensor:
        """The random state, (2,) int32; training moves it on, evaluation leaves it alone."""
        seed = tf.identity(self.random_state.value)
        if training:
            self.random_state.assign_add([0, 1])
        return seed

    def walk(
        self, machine: Machine, hidden: tf.Tensor, seed: tf.Tensor
    ) -> tuple[ModelStates, tf.Tensor]:
        """The states after num_steps Gibbs sweeps, and the hidden states to go on from."""

        def sweep(index, hidden):
            return gibbs_sweep(machine, hidden, tf.random.fold_in(seed, index))

        last = self.num_steps - 1
        (hidden,) = repeated(lambda index, hidden: sweep(index, hidden)[2:], (hidden,), last)
        visible, hidden_input, hidden = sweep(last, hidden)  # in the graph once with its sigmoid
        return ModelStates.of(machine, visible, hidden_input), hidden

    def add_chains(self, name: str, units: Unit, *windows: int) -> keras.Variable:
        """A weight (*windows, num_chains, size) of units without fields: fair coins, if binary."""
        check_shares(self.num_chains)
        return self.add_weight(
            name=name,
            shape=(*windows, self.num_chains, units.size),
            initializer=lambda shape, dtype: units.sample(
                tf.zeros(shape, dtype), seed=tf.constant([self.seed, 2**30])
            ),
            trainable=False,
            autocast=False,
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_steps": self.num_steps, "seed": self.seed}


class _PersistentPhase(_NegativePhase):
    """What the phases with chains of their own share: the number of chains."""

    def __init__(
        self, num_chains: int = 100, *, num_steps: int = 1, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(num_steps, seed=seed, **kwargs)
        check_counts(num_chains=num_chains)
        self.num_chains = num_chains

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_chains": self.num_chains}


@keras.saving.register_keras_serializable(package="rbm_tf")
class ContrastiveDivergence(_NegativePhase):
    """Chains that start from the data batch at every step (CD-k).

    Args:
        num_steps: the number k of Gibbs sweeps in an update.
        seed: integer that fixes the chains; the same seed gives the same chains.

    Call arguments:
        data_hidden_input: the hidden inputs b + v W of the data batch, (batch, num_hidden).
        machine: the `Machine`, by keyword.
        training: whether what the layer remembers moves on.

    Output: `ModelStates` of as many chains as the batch has examples.

    Reference: Hinton (2002), Training products of experts by minimizing contrastive divergence;
    B10.

    Example:
        >>> rbm = BernoulliRBM(64, 16, negative_phase=ContrastiveDivergence(num_steps=3))
    """

    def call(self, data_hidden_input: tf.Tensor, machine: Machine, training: bool) -> ModelStates:
        seed = own_seed(self.next_seed(training))
        chain_seed, start_seed = tf.unstack(tf.random.split(seed))
        hidden = machine.hidden.sample(data_hidden_input, seed=start_seed)
        return self.walk(machine, hidden, chain_seed)[0]


@keras.saving.register_keras_serializable(package="rbm_tf")
class PersistentContrastiveDivergence(_PersistentPhase):
    """Chains that go on from one update to the next (PCD-k).

    The chains keep their hidden states, which saves one product in six.

    Args:
        num_chains: the number of chains, whatever the batch size.
        num_steps: the number k of Gibbs sweeps in an update.
        seed: integer that fixes the chains; the same seed gives the same chains.

    Call arguments:
        data_hidden_input: the hidden inputs b + v W of the data batch, (batch, num_hidden).
        machine: the `Machine`, by keyword.
        training: whether what the layer remembers moves on.

    Output: `ModelStates` of num_chains chains.

    Reference: Tieleman (2008), Training restricted Boltzmann machines using approximations to the
    likelihood gradient; B10.

    Example:
        >>> phase = PersistentContrastiveDivergence(num_chains=500)
        >>> rbm = BernoulliRBM(784, 500, negative_phase=phase)
    """

    def build(self, units: tuple[Unit, Unit]) -> None:
        super().build(units)
        self.chains = self.add_chains("chains", units[1])

    def call(self, data_hidden_input: tf.Tensor, machine: Machine, training: bool) -> ModelStates:
        hidden = own_share(tf.cast(tf.convert_to_tensor(self.chains), data_hidden_input.dtype))
        seed = own_seed(self.next_seed(training))
        states, hidden = self.walk(machine, hidden, seed)
        if training:
            self.chains.assign(of_all_shares(tf.cast(hidden, self.chains.dtype)))
        return states


@keras.saving.register_keras_serializable(package="rbm_tf")
class ParallelTempering(_PersistentPhase):
    """Persistent chains at several temperatures that swap states with their neighbours.

    The chains at beta = 1 give the samples; those at smaller beta move between modes. The path
    starts from independent fair coins. An update costs num_betas times that of
    `PersistentContrastiveDivergence`.

    Args:
        num_betas: the number of inverse temperatures, equally spaced from 0 to 1, 2 or more.
        num_chains: the number of independent ladders.
        num_steps: the number of sweeps in an update, each followed by a swap attempt.
        seed: integer that fixes the chains; the same seed gives the same chains.

    Call arguments:
        data_hidden_input: the hidden inputs b + v W of the data batch, (batch, num_hidden).
        machine: the `Machine`, by keyword.
        training: whether what the layer remembers moves on.

    Output: `ModelStates` of num_chains chains at beta = 1.

    Raises:
        ValueError: if num_betas is below 2.

    Reference: Desjardins, Courville, Bengio, Vincent and Delalleau (2010), Tempered Markov chain
    Monte Carlo for training of restricted Boltzmann machines.

    Example:
        >>> phase = ParallelTempering(num_betas=5, num_chains=20)
        >>> rbm = BernoulliRBM(64, 16, negative_phase=phase)
    """

    def __init__(
        self,
        num_betas: int = 10,
        *,
        num_chains: int = 100,
        num_steps: int = 1,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_chains, num_steps=num_steps, seed=seed, **kwargs)
        check_counts(2, num_betas=num_betas)
        self.num_betas = num_betas

    def build(self, units: tuple[Unit, Unit]) -> None:
        super().build(units)
        self.chains = self.add_chains("chains", units[0], self.num_betas)

    def call(self, data_hidden_input: tf.Tensor, machine: Machine, training: bool) -> ModelStates:
        dtype = data_hidden_input.dtype
        fair_coins = tf.zeros_like(machine.visible_bias)
        path = TemperedPath(machine, fair_coins, tf.constant(0.0, tf.float64))
        betas = tf.linspace(tf.constant(0.0, dtype), 1.0, self.num_betas)
        seed = self.next_seed(training)
        v = tf.cast(tf.convert_to_tensor(self.chains), dtype)
        v = own_share(v, axis=1)  # (num_betas, num_chains, num_visible)
        state = v, path.hidden_input(v)
        start, own = seed[1] * self.num_steps, own_seed(seed)
        state = repeated(
            lambda index, *state: advance(path, betas, state, start + index, own, True),
            state,
            self.num_steps,
        )
        if training:
            self.chains.assign(of_all_shares(tf.cast(state[0], self.chains.dtype), axis=1))
        return ModelStates.of(machine, state[0][-1], state[1][-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_betas": self.num_betas}


@keras.saving.register_keras_serializable(package="rbm_tf")
class MeanFieldPhase(_PersistentPhase):
    """The deterministic gradient of the extended mean-field theory: TAP in place of sampling.

    Persistent magnetisations m, n move num_iterations damped TAP iterations in each update; F_eq is
    Gamma(m, n), and its gradient follows from the formulas, with no samples: for binary units
    <v h^T> = m n^T + W c d^T + 2 W^2 c (1/2 - m) (d (1/2 - n))^T up to the order. For other units
    the conjugate fields of m and n take their place. Order 1 is naive mean field, Gamma >= F_eq: it
    raises an upper bound on the likelihood, which may leave the likelihood behind.

    Args:
        order: the last order of the expansion, 1, 2 (Onsager term) or 3.
        moments: 1 to fix means alone, or 2 to fix variances too, as large layers of continuous
            units need it; see `rbm_tf.mean_field.tap`.
        num_chains: the number of sets of magnetisations, which may settle in different places.
        num_iterations: the number of damped TAP iterations in an update.
        seed: integer that fixes the magnetisations, or fields, at the start.

    Call arguments:
        data_hidden_input: the hidden inputs b + v W of the data batch, (batch, num_hidden).
        machine: the `Machine`, by keyword.
        training: whether what the layer remembers moves on.

    Output: `ModelMoments` of the mean-field theory.

    Raises:
        ValueError: if order is not 1, 2 or 3, or moments is neither 1 nor 2 with order 2; for
            units that have no second moment when it is built.

    Reference: Gabrie, Tramel and Krzakala (2015), Training restricted Boltzmann machines via the
    Thouless-Anderson-Palmer free energy; B26.

    Example:
        >>> rbm = BernoulliRBM(64, 16, negative_phase=MeanFieldPhase(order=2))
    """

    def __init__(
        self,
        order: int = 2,
        *,
        moments: int = 1,
        num_chains: int = 100,
        num_iterations: int = 3,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_counts(num_iterations=num_iterations)
        super().__init__(num_chains, num_steps=num_iterations, seed=seed, **kwargs)
        check_order(order)
        check_moments(moments, order)
        self.order, self.moments = order, moments

    def build(self, units: tuple[Unit, Unit]) -> None:
        super().build(units)
        layers = zip(("visible", "hidden"), units, strict=True)
        state = [self.add_chains(name, unit) for name, unit in layers]
        if self.moments == 2:
            check_precisions(*units)
            state += [
                self.add_weight(shape=x.shape, initializer="zeros", trainable=False) for x in state
            ]
        if self.moments == 1 and all(isinstance(unit, Binary) for unit in units):
            self.magnetisations = state
        else:
            self.fields = state  # and with two moments the precisions that they add

    def call(self, data_hidden_input: tf.Tensor, machine: Machine, training: bool) -> ModelMoments:
        dtype = data_hidden_input.dtype
        theory = theory_of(machine_of(machine, dtype=dtype), self.order, moments=self.moments)
        weights = self.magnetisations if isinstance(theory, BinaryTheory) else self.fields
        state = tuple(own_share(tf.cast(tf.convert_to_tensor(x), dtype)) for x in weights)
        state = repeated(lambda index, *state: theory.step(state), state, self.num_steps)
        if training:
            for weight, value in zip(weights, state, strict=True):
                weight.assign(of_all_shares(tf.cast(value, weight.dtype)))
        moments = tf.reduce_mean(theory.gamma(state)), *theory.averages(state)
        return ModelMoments(*over_all("MEAN", moments))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        own = {"num_iterations": config.pop("num_steps"), "order": self.order}
        return {**config, **own, "moments": self.moments}


@keras.saving.register_keras_serializable(package="rbm_tf")
class ExactPhase(_NegativePhase):
    """The exact averages, summed over all states: for models with a layer of up to 20 units or so.

    The loss is then -ln p(v) itself.

    Call arguments:
        data_hidden_input: the hidden inputs b + v W of the data batch, (batch, num_hidden).
        machine: the `Machine`, by keyword.
        training: whether what the layer remembers moves on.

    Output: `ModelMoments`, exact.

    Raises:
        ValueError: if both layers have more than 25 units.

    Reference: B9.

    Example:
        >>> rbm = BernoulliRBM(16, 8, negative_phase=ExactPhase())
    """

    def call(self, data_hidden_input: tf.Tensor, machine: Machine, training: bool) -> ModelMoments:
        log_z, moments = enumeration.moments_in_graph(machine)
        values = tf.nest.map_structure(
            lambda x: tf.cast(x, data_hidden_input.dtype), (-log_z, *moments)
        )
        return ModelMoments(*values)
