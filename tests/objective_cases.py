"""One example and one or two latent dimensions: expectations over draws by quadrature or sums."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import scipy.special
from keras import ops, tree

from vae_keras.parts import (
    Bernoulli,
    Categorical,
    Chain,
    Coupling,
    Draws,
    Flow,
    FullGaussian,
    Gaussian,
    Latents,
    Mixture,
    Own,
    RelaxedBernoulli,
)
from vae_keras.parts.autodiff import gradients

RNG = np.random.default_rng(3)
X = np.array([[1.0, 0.0, 1.0]], "float32")
OFFSET = RNG.normal(size=3)
STENCIL = ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12))  # error of order step^4
STEP = 0.05


def tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))


def numpy64(x):
    return ops.convert_to_numpy(x).astype(float)


def several(seen):
    """What a decoder sees of all latents, (rows, dim)."""
    flat = [ops.reshape(a, (-1, int(np.prod(a.shape[1:])))) for a in tree.flatten(seen)]
    return ops.concatenate(flat, axis=1) if len(flat) > 1 else flat[0]


@dataclasses.dataclass
class Case:
    """A posterior, statistics of one row, and a grid of values with weights that sum over it."""

    posterior: Any
    statistics: Any
    value: Any
    weights: np.ndarray
    prior: Any = None
    dim: int = 2

    def latents(self, statistics):
        kernel = tensor(np.random.default_rng(self.dim).normal(size=(self.dim, 3)) * 1.5)
        offset = tensor(OFFSET)
        return Latents(
            lambda x: statistics,
            lambda z: ops.tanh(several(z) @ kernel) * 2 + offset,
            posterior=self.posterior,
            prior=self.prior,
        )

    def rows(self, num):
        return tree.map_structure(lambda s: tensor(np.repeat(s, num, 0)), self.statistics)

    def on_grid(self, statistics):
        """ln w and ln q + ln(weight) at each value of the grid, float64, given other statistics."""
        num, one = len(self.weights), tree.map_structure(tensor, statistics)
        many = tree.map_structure(lambda s: ops.repeat(s, num, axis=0), one)
        log_q = self.posterior.log_prob(many, self.value)
        draws = Draws(self.latents(one), tensor(X), one, self.value, log_q, num)
        return numpy64(draws.log_weights)[:, 0], numpy64(log_q) + np.log(self.weights)

    def exact_gradients(self, expectations):
        """The derivatives of several functions of (ln w, ln mass) by all statistics, in a row."""
        flat = [np.asarray(s, float) for s in tree.flatten(self.statistics)]
        found = {name: [] for name in expectations}
        for i, each in enumerate(flat):
            for place in np.ndindex(each.shape):
                values = dict.fromkeys(expectations, 0.0)
                for step, factor in STENCIL:
                    moved = [s.copy() for s in flat]
                    moved[i][place] += step * STEP
                    grid = self.on_grid(tree.pack_sequence_as(self.statistics, moved))
                    for name, function in expectations.items():
                        values[name] += factor * function(*grid) / STEP
                for name, value in values.items():
                    found[name].append(value)
        return {name: np.array(values) for name, values in found.items()}

    def sampled_gradients(self, objective, rows, seed=0):
        """Gradients of the loss by the statistics of each of many equal rows, (rows, number)."""
        x = np.repeat(X, rows, 0)

        def loss(leaves):
            statistics = tree.pack_sequence_as(self.statistics, leaves)
            draws = self.latents(statistics).draws(x, objective.num_samples, seed=seed)
            return ops.sum(objective.call(draws))

        found = gradients(loss, tree.flatten(self.rows(rows)))
        return np.concatenate([g.reshape(rows, -1) for g in found], 1).astype(float)


def grid(dim, low, high, num):
    """A regular grid, whose sums are integrals of smooth functions that vanish at the ends."""
    axis = np.linspace(low, high, num)
    points = np.array(list(itertools.product(axis, repeat=dim)))
    return points, np.full(len(points), (axis[1] - axis[0]) ** dim)


def _split(points):
    return {"a": tensor(points[:, :1]), "b": tensor(points[:, 1:])}


def _given_a(given):
    mean, log_var = given["rest"]
    return mean + 0.7 * given["a"], log_var


def _standard(dim):
    return Own(Gaussian(), (dim,), trainable=False)


def _flow():
    steps = [
        Coupling(2, num_hidden=4, seed=1),
        Coupling(2, num_hidden=4, seed=2, flip=True),
    ]
    for step in steps:
        step.set_weights([RNG.normal(size=w.shape) * 0.3 for w in step.weights])
        step.trainable_variables[1].assign(np.full(4, 3.0))  # no kink of relu where draws are
        step.trainable_variables[2].assign(RNG.normal(size=(4, 2)) * 0.1)
    return Flow(Gaussian(), steps)


def cases():
    """The posteriors by name."""
    line, line_weights = grid(1, -7, 7, 141)
    plane, plane_weights = grid(2, -7, 7, 41)
    wide_line, wide_weights = grid(1, -40, 40, 801)
    bits = np.array(list(itertools.product([0.0, 1.0], repeat=2)))
    pair = np.array([[0.4, -0.3]]), np.array([[0.1, -0.2]])
    narrow = pair[0], pair[1] - 0.6
    one = np.array([[0.3]]), np.array([[0.4]])
    mixture = np.array([[0.3, -0.4]]), (np.array([[[-0.8], [1.1]]]), np.array([[[0.0], [-0.4]]]))
    chain = {"a": one, "rest": (np.array([[-0.2]]), np.array([[0.1]]))}
    of_plane, of_line = (tensor(plane), plane_weights), (tensor(line), line_weights)
    return {
        "Gaussian": Case(Gaussian(), one, *of_line, dim=1),
        "FullGaussian": Case(FullGaussian(), (*pair, np.array([[0.6]])), *of_plane),
        "Flow": Case(_flow(), narrow, *of_plane),
        "RelaxedBernoulli": Case(
            RelaxedBernoulli(0.7), np.array([[2.2]]), tensor(wide_line), wide_weights, dim=1
        ),
        "Chain": Case(
            Chain({"a": Gaussian(), "b": Gaussian()}, {"b": _given_a}),
            chain,
            _split(plane),
            plane_weights,
            prior=Chain({"a": _standard(1), "b": _standard(1)}),
        ),
        "Bernoulli": Case(Bernoulli(), pair[0], tensor(bits), np.ones(4)),
        "Categorical": Case(
            Categorical(3),
            np.array([[[0.5, -0.4, 0.1]]]),
            ops.convert_to_tensor(np.arange(3)[:, None], "int32"),
            np.ones(3),
            dim=3,
        ),
        "Mixture": Case(Mixture(Gaussian(), 2), mixture, *of_line, dim=1),
    }


def mean(log_w, log_mass):
    """Minus the ELBO."""
    return -np.exp(log_mass) @ log_w


def over_pairs(loss):
    """The mean of a loss of two independent draws."""

    def expectation(log_w, log_mass):
        mass = np.exp(log_mass)
        return mass @ loss(log_w[:, None], log_w[None]) @ mass

    return expectation


def thermodynamic_sum(betas):
    """Minus the left sum over the betas of <ln w>_beta, exactly."""

    def expectation(log_w, log_mass):
        value = 0.0
        for left, right in itertools.pairwise(betas):
            weights = scipy.special.softmax(log_mass + left * log_w)
            value -= (right - left) * weights @ log_w
        return value

    return expectation
