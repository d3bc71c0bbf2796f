"""One check for every sampler: exact samples that it moves are exact samples still."""

import itertools
from typing import NamedTuple

import numpy as np

from rbm_tf import enumeration
from rbm_tf.machine import clamped_free_energy, machine_of


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


def model_states(rbm):
    """p(v) of a small RBM, summed out."""
    machine = machine_of(rbm, dtype="float64")
    states = machine.visible.layer_states()
    log_p = -clamped_free_energy(machine, states) - enumeration.log_z(machine)
    return States(states.numpy(), np.exp(log_p.numpy()))


def check_samples(samples, target):
    """Independent samples have the means and correlations of the target.

    Args:
        samples: (num, num_units).
        target: `States` or `Gaussian`.

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
        targets: `States` or `Gaussian`.
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
