"""The path of distributions from independent visible units to an RBM that annealing walks along.

F_beta(v) = -((1 - beta) a0 + beta a).v - sum_j softplus(beta (b_j + (v W)_j)): at beta = 0 a base
of independent visible units with biases a0 and undecided hidden units, at beta = 1 the RBM. The
hidden units are summed out everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.machine import Machine, hidden_input, machine_of, product, visible_input
from rbm_tf.mean_field import tap
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.units import sample_bernoulli

BASES = ("data", "uniform", "mean_field")
_SMALLEST_MEAN = 0.01  # a base must be able to draw every state


class TemperedPath(NamedTuple):
    """The path, as tensors that a `tf.function` takes; see `tempered_path`."""

    machine: Machine
    base_bias: tf.Tensor  # a0, (num_visible,)
    base_log_z: tf.Tensor  # ln Z at beta = 0, scalar float64, nats

    def hidden_input(self, v: tf.Tensor) -> tf.Tensor:
        """b + v W, (num_chains, num_hidden), which every method below takes."""
        return hidden_input(self.machine, v)

    def log_ratio(
        self, v: tf.Tensor, hidden_input: tf.Tensor, old: tf.Tensor, new: tf.Tensor
    ) -> tf.Tensor:
        """F_old(v) - F_new(v) between two inverse temperatures, float64, (num_chains,)."""
        by_unit = _softplus_difference(new * hidden_input, old * hidden_input)
        slope = tf.linalg.matvec(v, self.machine.visible_bias - self.base_bias)
        return tf.cast((new - old) * slope + tf.reduce_sum(by_unit, -1), tf.float64)

    def derivative(self, v: tf.Tensor, hidden_input: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
        """dF_beta/dbeta, whose average at beta is -d ln Z/dbeta; float64, (num_chains,)."""
        hidden = tf.reduce_sum(hidden_input * tf.sigmoid(beta * hidden_input), -1)
        slope = tf.linalg.matvec(v, self.machine.visible_bias - self.base_bias)
        return -tf.cast(slope + hidden, tf.float64)

    def sweep(self, hidden_input: tf.Tensor, beta: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """One Gibbs sweep v -> h -> v' at beta, from the hidden input of v; returns v'."""
        seeds = tf.unstack(tf.random.split(seed))
        h = sample_bernoulli(beta * hidden_input, seeds[0])
        bias = (1 - beta) * self.base_bias + beta * self.machine.visible_bias
        kernel = self.machine.kernel
        return sample_bernoulli(bias + beta * product(h, kernel, transpose=True), seeds[1])

    def sample_base(self, num_chains: int, seed: int | tf.Tensor | None) -> tf.Tensor:
        """Independent draws at beta = 0, (num_chains, num_visible)."""
        logits = tf.broadcast_to(self.base_bias, (num_chains, *self.base_bias.shape))
        return sample_bernoulli(logits, as_seed(seed))


class PairPath(NamedTuple):
    """The path from one RBM to another, with the methods of `TemperedPath`; see `pair_path`.

    The parameters move on straight lines: at beta they are (1 - beta) first + beta second.
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
        by_unit = _softplus_difference(after, before)
        slope = tf.linalg.matvec(v, self.second.visible_bias - self.first.visible_bias)
        return tf.cast((new - old) * slope + tf.reduce_sum(by_unit, -1), tf.float64)

    def sweep(
        self, hidden_input: tuple[tf.Tensor, ...], beta: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        """One Gibbs sweep at beta, from the hidden inputs of v; returns visible states."""
        seeds = tf.unstack(tf.random.split(seed))
        h = sample_bernoulli(_between(beta, *hidden_input), seeds[0])
        pair = self.first, self.second
        inputs = (visible_input(machine, h) for machine in pair)
        return sample_bernoulli(_between(beta, *inputs), seeds[1])


def _softplus_difference(x, y):
    """softplus(x) - softplus(y) with one logarithm, in half the time of two softplus."""
    ratio = (1 + tf.exp(-tf.abs(x))) / (1 + tf.exp(-tf.abs(y)))
    return tf.nn.relu(x) - tf.nn.relu(y) + tf.math.log(ratio)


def _between(beta, first, second):
    return (1 - beta) * first + beta * second


def pair_path(rbm: RBMLike, other: RBMLike) -> PairPath:
    """The path from one RBM to another over the same visible units.

    The smaller hidden layer is filled up with units that interact with nothing.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        other: another RBM with as many visible units.

    Returns:
        `PairPath`.

    Raises:
        ValueError: if they differ in the number of visible units.

    Example:
        >>> path = pair_path(BernoulliRBM(6, 4), BernoulliRBM(6, 3))
        >>> tuple(path.second.kernel.shape)
        (6, 4)
    """
    first, second = machine_of(rbm), machine_of(other)
    if first.num_visible != second.num_visible:
        raise ValueError(
            "Both RBMs need the same visible units; got "
            f"{first.num_visible} and {second.num_visible}."
        )
    num_hidden = max(first.num_hidden, second.num_hidden)

    def padded(machine):
        missing = num_hidden - machine.num_hidden
        return Machine(
            tf.pad(machine.kernel, [[0, 0], [0, missing]]),
            machine.visible_bias,
            tf.pad(machine.hidden_bias, [[0, missing]]),
        )

    constant = (second.num_hidden - first.num_hidden) * np.log(2)
    return PairPath(padded(first), padded(second), tf.constant(constant, tf.float64))


def tempered_path(rbm: RBMLike, *, base: str | ArrayLike = "data") -> TemperedPath:
    """The path from a base to an RBM.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        base: the means of the visible units at beta = 0. "data" takes the training data's,
            `rbm.visible_offset`; "uniform" takes 1/2; "mean_field" those of naive mean field; or
            an array (num_visible,). They are clipped to [0.01, 0.99].

    Returns:
        `TemperedPath`.

    Raises:
        ValueError: for another name or shape.

    Example:
        >>> path = tempered_path(BernoulliRBM(6, 4, seed=0), base="uniform")
        >>> round(float(path.base_log_z), 4)  # 10 ln 2
        6.9315
    """
    machine = machine_of(rbm)
    mean = np.asarray(_base_mean(rbm, machine, base) if isinstance(base, str) else base, float)
    if mean.shape != (machine.num_visible,):
        raise ValueError(f"base must hold {machine.num_visible} means; got shape {mean.shape}.")
    mean = np.clip(mean, _SMALLEST_MEAN, 1 - _SMALLEST_MEAN)
    base_bias = tf.constant(np.log(mean) - np.log1p(-mean), machine.dtype)
    base_log_z = machine.num_hidden * np.log(2) - np.log1p(-mean).sum()
    return TemperedPath(machine, base_bias, tf.constant(base_log_z, tf.float64))


def _base_mean(rbm, machine, base):
    if base not in BASES:
        raise ValueError(
            f"base must be one of {', '.join(BASES)}, or an array of means; got {base!r}."
        )
    if base == "mean_field":
        return tap(rbm, order=1).visible
    if base == "uniform":
        return np.full(machine.num_visible, 0.5)
    if not hasattr(rbm, "visible_offset"):
        raise ValueError(
            "base='data' needs a BernoulliRBM, which knows the mean of its data: give a "
            f"{type(rbm).__name__} base='uniform', base='mean_field' or the means themselves."
        )
    return rbm.visible_offset
