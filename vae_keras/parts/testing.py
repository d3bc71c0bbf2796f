"""A test for parts: of the families here, and of your own."""

from __future__ import annotations

import functools
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts.autodiff import gradients
from vae_keras.parts.inputs import is_floating, num_rows, total
from vae_keras.parts.part import Part

_SIGMAS = 5.0
_POINTS = {1: 4001, 2: 301}  # of the quadrature along an axis, by the number of axes


def check_part(
    part: Part,
    event: Shape = (1,),
    *,
    statistics: Any = None,
    support: tuple[float, float] = (-np.inf, np.inf),
    num_draws: int = 20_000,
    rtol: float = 1e-3,
    seed: int = 0,
) -> None:
    """Hold the methods of a part against each other; silent if they agree.

    Shapes: one log-probability a row, of which each row's own statistics and value decide; the same
    from the noise and from the value; noise that is the same whatever the statistics. Density: a
    real one integrates to 1, and averages over draws are within five standard errors of
    quadrature; a discrete one has the frequencies of the draws. Gradients through draws, if
    `has_path`, are those of quadrature. The mean, if `has_mean`, is that of the draws. Saving: a
    file that holds the part loads in safe mode, and gives the same log-probabilities.

    Args:
        part: the part.
        event: the shape of one value; a real one of one entry or two, for the quadrature.
        statistics: nested arrays, those of one value; by default random ones in the part's shapes.
        support: the ends of the interval where entries of a real value lie.
        num_draws: how many draws.
        rtol: the largest difference of an integral from 1, and of log-probabilities.
        seed: integer that fixes statistics and draws.

    Raises:
        AssertionError: with what does not agree.
        ValueError: if a real event has more entries than two.

    Example:
        >>> check_part(Gaussian())
        >>> check_part(Bernoulli(), (3,))
    """
    generator = keras.random.SeedGenerator(seed)
    three = _statistics(part, event, statistics, 3, generator)
    _check_shapes(part, three, rtol, seed)
    one = tree.map_structure(lambda s: ops.repeat(s[:1], num_draws, axis=0), three)
    value, _ = part.draw(one, part.noise(one, num_draws, generator))
    if part.space == "discrete":
        _check_frequencies(part, one, value)
    else:
        grid, weights = _quadrature(_numpy(value), support)
        _check_density(part, one, value, grid, weights, rtol)
        if part.has_path:
            _check_gradient(part, one, part.noise(one, num_draws, generator), grid, weights)
    if part.has_mean:
        mean, draws = _numpy(part.mean(one)), _numpy(part.emit(value))
        _within(draws - mean, "the mean, against draws,")
    _check_saving(part, three, part.draw(three, part.noise(three, 3, generator))[0])


def _statistics(part, event, given, rows, generator):
    """Random ones for each row, or the given ones in each row, or the part's own."""
    if given is not None:
        return tree.map_structure(
            lambda s: ops.repeat(ops.convert_to_tensor(s, "float32")[None], rows, axis=0), given
        )
    shapes = part.shapes(event)
    if shapes is None:
        return part.resolve(None, rows)
    return tree.map_shape_structure(
        lambda shape: 0.7 * keras.random.normal((rows, *shape), seed=generator), shapes
    )


def _check_shapes(part, statistics, rtol, seed):
    noise = part.noise(statistics, 3, seed)
    zeros = tree.map_structure(ops.zeros_like, statistics)
    for a, b in zip(tree.flatten(noise), tree.flatten(part.noise(zeros, 3, seed)), strict=True):
        _demand(_same(a, b), "the noise depends on the statistics, or not on the seed alone")
    value, log_prob = part.draw(statistics, noise)
    _demand(tuple(log_prob.shape) == (3,), f"ln p of 3 rows has shape {tuple(log_prob.shape)}")
    _demand(num_rows(value) == 3, f"values of 3 rows have {num_rows(value)} rows")
    _agree(part.log_prob(statistics, value), log_prob, rtol, "ln p at the draw and from the noise")
    _agree(total(part.terms(statistics, value)), log_prob, rtol, "ln p and the sum of its terms")
    last = tree.map_structure(lambda a: a[2:], (statistics, value))
    _agree(part.log_prob(*last), log_prob[2:], rtol, "ln p of a row with others and without")
    shapes = [
        tree.map_structure(lambda a: tuple(a.shape), a)
        for a in (part.emit(value), part.mean(statistics))
    ]
    _demand(shapes[0] == shapes[1], f"emitted values and means have shapes {shapes}")


def _check_frequencies(part, statistics, value):
    draws = _numpy(value)
    num = len(draws)
    states, counts = np.unique(draws.reshape(num, -1), axis=0, return_counts=True)
    states = ops.convert_to_tensor(states.reshape(-1, *draws.shape[1:]).astype(draws.dtype))
    alike = tree.map_structure(lambda s: ops.repeat(s[:1], len(counts), axis=0), statistics)
    p = np.exp(_numpy(part.log_prob(alike, states)).astype(float))
    _demand(p.sum() < 1 + 1e-4, f"the probabilities of the values drawn sum to {p.sum():.4f}")
    common = num * p >= 25
    _demand(bool(common.any()), "no value is drawn 25 times: test an event of fewer entries")
    error = np.sqrt(p * np.maximum(1 - p, 1 / num) / num)[common]
    sigmas = np.max(np.abs(counts[common] / num - p[common]) / error)
    _demand(sigmas < _SIGMAS, f"a frequency is {sigmas:.1f} standard errors from exp(log_prob)")


def _quadrature(draws, support):
    """Points (num, *event) on the support, dense where the draws are, and their weights."""
    flat = draws.reshape(len(draws), -1)
    if flat.shape[1] not in _POINTS:
        raise ValueError(
            "Quadrature takes a real event of one entry or two; got a draw of shape "
            f"{draws.shape[1:]}. Pass a smaller event."
        )
    num, axes = _POINTS[flat.shape[1]], []
    t = (2 * np.arange(num) + 1) / num - 1  # midpoints of (-1, 1)
    for column in flat.T:
        if np.all(np.isfinite(support)):
            low, high = support
            axes.append((low + (high - low) * (t + 1) / 2, np.full(num, (high - low) / num)))
        else:
            low, centre, high = np.quantile(column, [0.1, 0.5, 0.9])
            points = centre + (high - low) * t / (1 - t**2)
            axes.append((points, (high - low) * (1 + t**2) / (1 - t**2) ** 2 * 2 / num))
    points = np.stack(np.meshgrid(*(a for a, _ in axes), indexing="ij"), -1)
    weights = np.prod(np.meshgrid(*(w for _, w in axes), indexing="ij"), 0)
    grid = points.reshape(-1, *draws.shape[1:]).astype("float32")
    return ops.convert_to_tensor(grid), ops.convert_to_tensor(weights.ravel().astype("float32"))


def _tests(value, like):
    """Bounded functions of the value whose averages tell distributions apart, (rows, num)."""
    flat = ops.reshape(value, (-1, int(np.prod(value.shape[1:]))))
    flat = (flat - float(np.median(like))) / float(np.std(like) + 1e-6)
    waves = [function(flat) for function in (ops.sin, ops.cos, lambda x: ops.sin(2.5 * x))]
    return ops.concatenate(waves, axis=1)


def _check_density(part, statistics, value, grid, weights, rtol):
    alike = tree.map_structure(lambda s: ops.repeat(s[:1], len(grid), axis=0), statistics)
    density = ops.exp(part.log_prob(alike, grid)) * weights
    mass = float(_numpy(ops.sum(density)))
    _demand(abs(mass - 1) < rtol, f"the density integrates to {mass:.5f}")
    exact = ops.sum(density[:, None] * _tests(grid, _numpy(value)), axis=0)
    _within(_numpy(_tests(value, _numpy(value))) - _numpy(exact), "an average of draws")


def _check_gradient(part, statistics, noise, grid, weights):
    like = _numpy(part.draw(statistics, noise)[0])
    leaves = [s for s in tree.flatten(statistics) if is_floating(s)]
    row = [s[:1] for s in leaves]

    def by_path(k, leaves):
        value = part.draw(tree.pack_sequence_as(statistics, leaves), noise)[0]
        return ops.sum(_tests(value, like)[:, k])

    def by_density(k, row):
        alike = [ops.repeat(s, len(grid), axis=0) for s in row]
        log_prob = part.log_prob(tree.pack_sequence_as(statistics, alike), grid)
        return ops.sum(ops.exp(log_prob) * weights * _tests(grid, like)[:, k])

    for k in range(2):
        paths = gradients(functools.partial(by_path, k), leaves)
        exact = gradients(functools.partial(by_density, k), row)
        for path, right in zip(paths, exact, strict=True):
            _within(path - right, "the gradient through draws, against quadrature,", rtol=1e-3)


@keras.saving.register_keras_serializable(package="vae_keras")
class _Holder(keras.Model):
    """A model that holds a part, for a file."""

    def __init__(self, part: Part, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.part = part

    def build(self, input_shape: Shapes) -> None:
        """Nothing; a part that is used through its methods is not built."""

    def call(self, x: Tensor) -> Tensor:
        return x

    def get_config(self) -> dict[str, Any]:
        return {"part": keras.saving.serialize_keras_object(self.part)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> _Holder:
        return cls(keras.saving.deserialize_keras_object(config["part"]))


def _check_saving(part, statistics, value):
    holder = _Holder(part)
    holder(ops.zeros((1, 1)))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "part.keras"
        holder.save(path)
        loaded = keras.models.load_model(path, compile=False, safe_mode=True).part
    a, b = (_numpy(p.log_prob(statistics, value)) for p in (part, loaded))
    _demand(np.array_equal(a, b), "a loaded part has other log-probabilities")


def _numpy(x):
    return ops.convert_to_numpy(x)


def _same(a, b):
    return bool(np.array_equal(_numpy(a), _numpy(b)))


def _agree(a, b, tolerance, what):
    a, b = _numpy(a), _numpy(b)
    error = np.max(np.abs(a - b) / np.maximum(1, np.abs(b)))
    _demand(bool(error <= tolerance), f"{what} differ by {error:.1e}")


def _within(differences, what, rtol=0.0):
    """Refuse rows whose average is more than five standard errors from zero."""
    error = differences.std(0) / np.sqrt(len(differences)) + rtol / _SIGMAS + 1e-6
    sigmas = np.max(np.abs(differences.mean(0)) / error)
    _demand(bool(sigmas <= _SIGMAS), f"{what} is off by {sigmas:.1f} standard errors")


def _demand(holds, what):
    if not holds:
        raise AssertionError(f"{what}.")
