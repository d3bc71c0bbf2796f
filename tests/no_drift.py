"""One check for every sampler: exact samples that it moves are exact samples still."""

import itertools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf import enumeration
from rbm_tf.machine import Machine, clamped_free_energy, machine_of, visible_input


class States(NamedTuple):
    """A distribution over a list of states."""

    states: np.ndarray  # (num_states, num_units)
    p: np.ndarray  # (num_states,)

    def draw(self, rng, num):
        """Independent samples, (num, num_units)."""
        return self.states[rng.choice(len(self.p), num, p=self.p / self.p.sum())]

    def moments(self):
        """Functions of samples, each with its exact mean and standard deviation."""
        units = range(self.states.shape[1])
        for i, j in itertools.combinations_with_replacement(units, 2):

            def function(x, i=i, j=j):
                return x[:, i] if i == j else x[:, i] * x[:, j]

            values = function(self.states)
            mean = self.p @ values
            yield function, mean, np.sqrt(self.p @ (values - mean) ** 2)


class Gaussian(NamedTuple):
    """Independent normal variables."""

    mean: np.ndarray  # (num_variables,)
    variance: np.ndarray

    def draw(self, rng, num):
        """Independent samples, (num, num_variables)."""
        return rng.normal(self.mean, np.sqrt(self.variance), (num, len(self.mean)))

    def moments(self):
        """As `States.moments`: the means, and the mean squares about them."""
        for i, (mean, variance) in enumerate(zip(self.mean, self.variance, strict=True)):
            yield lambda x, i=i: x[:, i], mean, np.sqrt(variance)
            yield lambda x, i=i, m=mean: (x[:, i] - m) ** 2, variance, np.sqrt(2) * variance
        for (i, m, c), (j, n, d) in itertools.combinations(zip(itertools.count(), *self), 2):
            yield lambda x, i=i, m=m, j=j, n=n: (x[:, i] - m) * (x[:, j] - n), 0.0, np.sqrt(c * d)


class Mixture(NamedTuple):
    """The visible units of an RBM, which are independent given a hidden state."""

    machine: Machine  # in float64
    hidden: np.ndarray  # all states of the hidden layer, (num_states, num_hidden)
    p: np.ndarray  # their probabilities

    def draw(self, rng, num):
        """Independent samples, (num, num_visible): p(h) exactly, then p(v given h)."""
        h = self.hidden[rng.choice(len(self.p), num, p=self.p / self.p.sum())]
        fields = visible_input(self.machine, tf.constant(h))
        return self.machine.visible.sample(fields, seed=int(rng.integers(2**31))).numpy()

    def moments(self):
        """As `States.moments`, with the squares of units as well."""
        kappa = self.machine.visible.cumulants(visible_input(self.machine, self.hidden), 4).numpy()
        m, k2, k3, k4 = kappa  # of v given h
        square = m**2 + k2
        fourth = k4 + 4 * m * k3 + 3 * k2**2 + 6 * m**2 * k2 + m**4
        columns = range(m.shape[1])
        for i in columns:
            yield lambda x, i=i: x[:, i], *self._mean(m[:, i], square[:, i])
            yield lambda x, i=i: x[:, i] ** 2, *self._mean(square[:, i], fourth[:, i])
        for i, j in itertools.combinations(columns, 2):
            of_product = self._mean(m[:, i] * m[:, j], square[:, i] * square[:, j])
            yield lambda x, i=i, j=j: x[:, i] * x[:, j], *of_product

    def _mean(self, given, square):
        """Mean and standard deviation from <f> and <f^2> given h."""
        mean = self.p @ given
        return mean, np.sqrt(self.p @ square - mean**2)


def model_states(rbm):
    """p(v) of a small RBM, summed out."""
    machine = machine_of(rbm, dtype="float64")
    states = machine.visible.layer_states()
    log_p = -clamped_free_energy(machine, states) - enumeration.log_z(machine)
    return States(states.numpy(), np.exp(log_p.numpy()))


def model_of_units(rbm):
    """p(v) of a small RBM of any units, one layer of which can be summed over."""
    machine = machine_of(rbm, dtype="float64")
    if machine.visible.is_finite:
        return model_states(machine)
    return Mixture(machine, *model_states(machine.transposed))


def check_samples(samples, target):
    """Independent samples have the means and correlations of the target.

    Args:
        samples: (num, num_units).
        target: `States`, `Gaussian` or `Mixture`.

    Raises:
        AssertionError: if a mean is off by more than 5 of its standard errors.
    """
    samples = np.asarray(samples, float)
    for function, mean, deviation in target.moments():
        error = abs(function(samples).mean() - mean)
        assert error <= 5 * deviation / np.sqrt(len(samples)) + 1e-12


def check_no_drift(move, *targets, num=20_000, seed=0):
    """A sampler leaves the distributions that it is to sample unchanged.

    Args:
        move: function of exact samples (num, num_units) of each target, which returns as many
            arrays of moved ones, or the one array of one target.
        targets: `States`, `Gaussian` or `Mixture`.
        num: number of independent samples.
        seed: of the exact samples.

    Raises:
        AssertionError: if nothing moves, or moved samples are none of the target's.
    """
    rng = np.random.default_rng(seed)
    start = [target.draw(rng, num) for target in targets]
    end = move(*start) if len(targets) > 1 else [move(*start)]
    for before, after, target in zip(start, end, targets, strict=True):
        assert np.any(np.asarray(after) != before)
        check_samples(after, target)
