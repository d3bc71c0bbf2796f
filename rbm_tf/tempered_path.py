"""The path of distributions from independent visible units to an RBM that annealing walks along.

F_beta(v) = sum_i U(v_i) - ((1 - beta) a0 + beta a).v - sum_j Gamma_j(beta (b_j + (v W)_j)): at
beta = 0 a base of independent visible units with biases a0 and hidden units without fields, at
beta = 1 the RBM. U, which makes the units what they are, stays: the precision of Gaussian units,
scaled to 0, would leave no distribution (B40). The hidden units are summed out everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.machine import (
    Machine,
    hidden_input,
    linear_term,
    machine_of,
    product,
    unit_energy,
    visible_input,
)
from rbm_tf.mean_field import tap
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.stability import check_z
from rbm_tf.units import Unit

BASES = ("data", "uniform", "mean_field")


class TemperedPath(NamedTuple):
    """The path, as tensors that a `tf.function` takes; see `tempered_path`."""

    machine: Machine
    base_bias: tf.Tensor  # a0, (num_visible,), or (num_chains, num_visible)
    base_log_z: tf.Tensor  # ln Z at beta = 0, float64, nats; scalar, or (num_chains,)

    def hidden_input(self, v: tf.Tensor) -> tf.Tensor:
        """b + v W, (.., num_hidden), which every method below takes."""
        return hidden_input(self.machine, v)

    def free_energy(self, v: tf.Tensor, hidden_input: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
        """F_beta(v), the shape of v without its last axis; beta broadcasts with v."""
        linear = tf.reduce_sum(v * self.visible_bias(beta), -1)
        hidden = tf.reduce_sum(self.machine.hidden.cgf(beta * hidden_input), -1)
        return unit_energy(self.machine.visible, v) - linear - hidden

    def visible_bias(self, beta: tf.Tensor) -> tf.Tensor:
        """(1 - beta) a0 + beta a."""
        return (1 - beta) * self.base_bias + beta * self.machine.visible_bias

    def log_ratio(
        self, v: tf.Tensor, hidden_input: tf.Tensor, old: tf.Tensor, new: tf.Tensor
    ) -> tf.Tensor:
        """F_old(v) - F_new(v) between two inverse temperatures, float64, (num_chains,)."""
        gain = self.machine.hidden.cgf_gain(new * hidden_input, old * hidden_input)
        slope = linear_term(v, self.machine.visible_bias - self.base_bias)
        return tf.cast((new - old) * slope + gain, tf.float64)

    def derivative(self, v: tf.Tensor, hidden_input: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
        """dF_beta/dbeta, whose average at beta is -d ln Z/dbeta; float64, (num_chains,)."""
        mean = self.machine.hidden.mean(beta * hidden_input)
        slope = linear_term(v, self.machine.visible_bias - self.base_bias)
        return -tf.cast(slope + tf.reduce_sum(hidden_input * mean, -1), tf.float64)

    def sweep(self, hidden_input: tf.Tensor, beta: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """One Gibbs sweep v -> h -> v' at beta, from the hidden input of v; returns v'."""
        seeds = tf.unstack(tf.random.split(seed))
        h = self.machine.hidden.sample(beta * hidden_input, seed=seeds[0])
        inputs = self.visible_bias(beta) + beta * product(h, self.machine.kernel, transpose=True)
        return self.machine.visible.sample(inputs, seed=seeds[1])

    def sample_base(self, num_chains: int, seed: int | tf.Tensor | None) -> tf.Tensor:
        """Independent draws at beta = 0, (num_chains, num_visible)."""
        inputs = tf.broadcast_to(self.base_bias, (num_chains, self.base_bias.shape[-1]))
        return self.machine.visible.sample(inputs, seed=as_seed(seed))


class PairPath(NamedTuple):
    """The path from one RBM to another, with the methods of `TemperedPath`; see `pair_path`.

    The parameters move on straight lines: at beta they are (1 - beta) first + beta second, and U
    of each unit likewise.
    """

    first: Machine
    second: Machine
    constant: tf.Tensor  # the log-weights' part that padding makes, scalar float64, nats

    def hidden_input(self, v: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The hidden inputs under both models."""
        pair = self.first, self.second
        return tuple(hidden_input(machine, v) for machine in pair)

    def log_ratio(
        self, v: tf.Tensor, hidden_input: tuple[tf.Tensor, ...], old: tf.Tensor, new: tf.Tensor
    ) -> tf.Tensor:
        """F_old(v) - F_new(v), float64, (num_chains,)."""
        before, after = (_between(beta, *hidden_input) for beta in (old, new))
        hidden, visible = self.first.hidden, self.first.visible
        if hidden.parameters:
            by_unit = self._hidden(new).cgf(after) - self._hidden(old).cgf(before)
            gain = tf.reduce_sum(by_unit, -1)
        else:
            gain = hidden.cgf_gain(after, before)
        slope = linear_term(v, self.second.visible_bias - self.first.visible_bias)
        if visible.parameters:
            slope += unit_energy(visible, v) - unit_energy(self.second.visible, v)
        return tf.cast((new - old) * slope + gain, tf.float64)

    def sweep(
        self, hidden_input: tuple[tf.Tensor, ...], beta: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        """One Gibbs sweep at beta, from the hidden inputs of v; returns visible states."""
        seeds = tf.unstack(tf.random.split(seed))
        h = self._hidden(beta).sample(_between(beta, *hidden_input), seed=seeds[0])
        inputs = (visible_input(machine, h) for machine in (self.first, self.second))
        visible = self.first.visible.between(self.second.visible, beta)
        return visible.sample(_between(beta, *inputs), seed=seeds[1])

    def _hidden(self, beta):
        return self.first.hidden.between(self.second.hidden, beta)


def _between(beta, first, second):
    return (1 - beta) * first + beta * second


def pair_path(rbm: RBMLike, other: RBMLike) -> PairPath:
    """The path from one RBM to another with the same kinds of units.

    The smaller hidden layer is filled up with units that interact with nothing.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        other: another RBM with the same visible units, and hidden units of the same kind.

    Returns:
        `PairPath`.

    Raises:
        ValueError: if they differ in the visible units or in the kind of the hidden ones.

    Example:
        >>> path = pair_path(BernoulliRBM(6, 4), BernoulliRBM(6, 3))
        >>> tuple(path.second.kernel.shape)
        (6, 4)
    """
    first, second = machine_of(rbm), machine_of(other)
    if first.num_visible != second.num_visible or not _alike(first.visible, second.visible):
        raise ValueError(
            f"Both RBMs need the same visible units; got {first.visible!r} and {second.visible!r}."
        )
    num_hidden = max(first.hidden.num, second.hidden.num)
    pair = [_padded(machine, num_hidden) for machine in (first, second)]
    if not _alike(pair[0].hidden, pair[1].hidden):
        raise ValueError(
            "Both RBMs need hidden units of the same kind; got "
            f"{first.hidden!r} and {second.hidden!r}. Anneal each from a base of its own, with ais."
        )
    added = [log_z_of_free_units(machine.hidden) for machine in (*pair, first, second)]
    constant = (added[0] - added[2]) - (added[1] - added[3])
    return PairPath(pair[0], pair[1], tf.constant(constant, tf.float64))


def _alike(unit, other):
    return unit.kind == other.kind


def _padded(machine, num_hidden):
    hidden = machine.hidden.padded(num_hidden)
    missing = hidden.size - machine.num_hidden
    return Machine(
        tf.pad(machine.kernel, [[0, 0], [0, missing]]),
        machine.visible_bias,
        tf.pad(machine.hidden_bias, [[0, missing]]),
        machine.visible,
        hidden,
    )


def log_z_of_free_units(unit: Unit) -> float:
    """ln Z of units without fields, sum_j Gamma_j(0), in float64.

    Args:
        unit: the units.

    Returns:
        Number, nats.

    Example:
        >>> round(log_z_of_free_units(units.Binary(3)), 4)  # 3 ln 2
        2.0794
    """
    return float(tf.reduce_sum(unit.cgf(tf.zeros(unit.size, tf.float64))))


def tempered_path(rbm: RBMLike, *, base: str | ArrayLike = "data") -> TemperedPath:
    """The path from a base to an RBM.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        base: the means of the visible units at beta = 0. "data" takes the training data's,
            `rbm.visible_offset`; "uniform" those of units without fields, 1/2 if binary;
            "mean_field" those of naive mean field; or an array (num_visible,). They are moved into
            the support, for binary units to [0.01, 0.99].

    Returns:
        `TemperedPath`.

    Raises:
        ValueError: for another name or shape, means that are not finite, or an RBM that has no Z.

    Example:
        >>> path = tempered_path(BernoulliRBM(6, 4, seed=0), base="uniform")
        >>> round(float(path.base_log_z), 4)  # 10 ln 2
        6.9315
    """
    check_z(rbm)
    machine = machine_of(rbm)
    base_bias = _base_bias(rbm, machine, base)
    base_log_z = tf.reduce_sum(machine.visible.cgf(base_bias))
    base_log_z += log_z_of_free_units(machine.hidden)
    return TemperedPath(machine, tf.cast(base_bias, machine.dtype), base_log_z)


def _base_bias(rbm, machine, base):
    """a0, (num_visible,), float64."""
    if isinstance(base, str) and base not in BASES:
        raise ValueError(
            f"base must be one of {', '.join(BASES)}, or an array of means; got {base!r}."
        )
    if isinstance(base, str) and base == "uniform":
        return tf.zeros(machine.num_visible, tf.float64)
    mean = np.asarray(_base_mean(rbm, base) if isinstance(base, str) else base, float)
    if mean.shape != (machine.num_visible,):
        raise ValueError(f"base must hold {machine.num_visible} means; got shape {mean.shape}.")
    if not np.all(np.isfinite(mean)):
        raise ValueError(
            f"base must hold finite means; {np.sum(~np.isfinite(mean))} of {len(mean)} are NaN or "
            "infinite. Give base='uniform', or the means of data without missing values."
        )
    return machine.visible.conjugate_field(machine.visible.inside(mean))


def _base_mean(rbm, base):
    if base == "mean_field":
        return tap(rbm, order=1).visible
    if not hasattr(rbm, "visible_offset"):
        raise ValueError(
            "base='data' needs an RBM, which knows the mean of its data: give a "
            f"{type(rbm).__name__} base='uniform', base='mean_field' or the means themselves."
        )
    return rbm.visible_offset
