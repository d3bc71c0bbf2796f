"""The path of distributions from independent visible units to an RBM that annealing walks along.

F_beta(v) = -((1 - beta) a0 + beta a).v - sum_j softplus(beta (b_j + (v W)_j)): at beta = 0 a base
of independent visible units with biases a0 and undecided hidden units, at beta = 1 the RBM. The
hidden units are summed out everywhere.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.gibbs import Parameters, product, sample_bernoulli
from rbm_tf.mean_field import tap
from rbm_tf.shared.seeds import as_seed

BASES = ("data", "uniform", "mean_field")
_SMALLEST_MEAN = 0.01  # a base must be able to draw every state


class TemperedPath(NamedTuple):
    """The path, as tensors that a `tf.function` takes; see `tempered_path`."""

    parameters: Parameters
    base_bias: tf.Tensor  # a0, (num_visible,)
    base_log_z: tf.Tensor  # ln Z at beta = 0, scalar float64, nats

    def hidden_input(self, v):
        """b + v W, (num_chains, num_hidden), which every method below takes."""
        return self.parameters.hidden_bias + product(v, self.parameters.kernel)

    def log_ratio(self, v, hidden_input, old, new):
        """F_old(v) - F_new(v) between two inverse temperatures, float64, (num_chains,)."""
        by_unit = _softplus_difference(new * hidden_input, old * hidden_input)
        slope = tf.linalg.matvec(v, self.parameters.visible_bias - self.base_bias)
        return tf.cast((new - old) * slope + tf.reduce_sum(by_unit, -1), tf.float64)

    def energy(self, v, hidden_input, beta):
        """dF_beta/dbeta, whose average at beta is -d ln Z/dbeta; float64, (num_chains,)."""
        hidden = tf.reduce_sum(hidden_input * tf.sigmoid(beta * hidden_input), -1)
        slope = tf.linalg.matvec(v, self.parameters.visible_bias - self.base_bias)
        return -tf.cast(slope + hidden, tf.float64)

    def sweep(self, hidden_input, beta, seed):
        """One Gibbs sweep v -> h -> v' at beta, from the hidden input of v; returns v'."""
        seeds = tf.unstack(tf.random.split(seed))
        h = sample_bernoulli(beta * hidden_input, seeds[0])
        bias = (1 - beta) * self.base_bias + beta * self.parameters.visible_bias
        kernel = self.parameters.kernel
        return sample_bernoulli(bias + beta * product(h, kernel, transpose=True), seeds[1])

    def sample_base(self, num_chains, seed):
        """Independent draws at beta = 0, (num_chains, num_visible)."""
        logits = tf.broadcast_to(self.base_bias, (num_chains, *self.base_bias.shape))
        return sample_bernoulli(logits, as_seed(seed))


class PairPath(NamedTuple):
    """The path from one RBM to another, with the methods of `TemperedPath`; see `pair_path`.

    The parameters move on straight lines: at beta they are (1 - beta) first + beta second.
    """

    first: Parameters
    second: Parameters
    constant: tf.Tensor  # the log-weights' part that padding makes, scalar float64, nats

    def hidden_input(self, v):
        """The hidden inputs under both models."""
        pair = self.first, self.second
        return tuple(p.hidden_bias + product(v, p.kernel) for p in pair)

    def log_ratio(self, v, hidden_input, old, new):
        """F_old(v) - F_new(v), float64, (num_chains,)."""
        before, after = (_between(*hidden_input, beta) for beta in (old, new))
        by_unit = _softplus_difference(after, before)
        slope = tf.linalg.matvec(v, self.second.visible_bias - self.first.visible_bias)
        return tf.cast((new - old) * slope + tf.reduce_sum(by_unit, -1), tf.float64)

    def sweep(self, hidden_input, beta, seed):
        """One Gibbs sweep at beta, from the hidden inputs of v; returns visible states."""
        seeds = tf.unstack(tf.random.split(seed))
        h = sample_bernoulli(_between(*hidden_input, beta), seeds[0])
        pair = self.first, self.second
        inputs = (p.visible_bias + product(h, p.kernel, transpose=True) for p in pair)
        return sample_bernoulli(_between(*inputs, beta), seeds[1])


def _softplus_difference(x, y):
    """softplus(x) - softplus(y) with one logarithm, in half the time of two softplus."""
    ratio = (1 + tf.exp(-tf.abs(x))) / (1 + tf.exp(-tf.abs(y)))
    return tf.nn.relu(x) - tf.nn.relu(y) + tf.math.log(ratio)


def _between(first, second, beta):
    return (1 - beta) * first + beta * second


def pair_path(rbm, other):
    """The path from one RBM to another over the same visible units.

    The smaller hidden layer is filled up with units that interact with nothing.

    Args:
        rbm: `BernoulliRBM`.
        other: `BernoulliRBM`.

    Returns:
        `PairPath`.

    Raises:
        ValueError: if they differ in the number of visible units.

    Example:
        >>> path = pair_path(BernoulliRBM(6, 4), BernoulliRBM(6, 3))
        >>> tuple(path.second.kernel.shape)
        (6, 4)
    """
    if other.num_visible != rbm.num_visible:
        raise ValueError(
            f"Both RBMs need the same visible units; got {rbm.num_visible} and {other.num_visible}."
        )
    num_hidden = max(rbm.num_hidden, other.num_hidden)

    def padded(parameters):
        kernel, visible_bias, hidden_bias = parameters
        missing = num_hidden - kernel.shape[1]
        return Parameters(
            tf.pad(kernel, [[0, 0], [0, missing]]),
            visible_bias,
            tf.pad(hidden_bias, [[0, missing]]),
        )

    constant = (other.num_hidden - rbm.num_hidden) * np.log(2)
    pair = padded(rbm.parameters), padded(other.parameters)
    return PairPath(*pair, tf.constant(constant, tf.float64))


def tempered_path(rbm, base="data"):
    """The path from a base to an RBM.

    Args:
        rbm: `BernoulliRBM`.
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
    if isinstance(base, str):
        if base not in BASES:
            raise ValueError(
                f"base must be one of {', '.join(BASES)}, or an array of means; got {base!r}."
            )
        if base == "mean_field":
            mean = tap(rbm, order=1).visible
        else:
            mean = rbm.visible_offset if base == "data" else np.full(rbm.num_visible, 0.5)
    else:
        mean = base
    mean = np.asarray(mean, float)
    if mean.shape != (rbm.num_visible,):
        raise ValueError(f"base must hold {rbm.num_visible} means; got shape {mean.shape}.")
    mean = np.clip(mean, _SMALLEST_MEAN, 1 - _SMALLEST_MEAN)
    base_bias = tf.constant(np.log(mean) - np.log1p(-mean), rbm.variable_dtype)
    base_log_z = rbm.num_hidden * np.log(2) - np.log1p(-mean).sum()
    return TemperedPath(rbm.parameters, base_bias, tf.constant(base_log_z, tf.float64))
