"""Quantiles of counts by sums over panels, whose number grows with the logarithm of the counts."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np
from keras import backend, ops, tree

from rbm_tf.shared.types import Tensor
from vae_keras.shared.repeated import repeated

_NUM = 8  # terms of a panel
_BLOCK = 2**17  # entries at once
_LEVELS = 18  # panels of 8, 16, .. 2^20 counts


def count_quantile(part: Any, statistics: Any, u: Tensor) -> Tensor:
    """The first k with P(0) + .. + P(k) >= u, of each entry.

    Panels of counts are summed until u is reached, and the last one is halved until 8 counts are
    left. A panel is at most as long as its distance from 0, and as the part's `width` or a third of
    the distance from the mean. Its sum is that of 8 of its terms, with the weights that sum
    polynomials of degree 7 exactly. Beyond the mean a sum that stands still, by rounding, is
    complete.

    Args:
        part: a `Counts`.
        statistics: its statistics, nested tensors, each (rows, ..).
        u: uniform noise in (0, 1), (rows, ..).

    Returns:
        The shape of u.

    Example:
        >>> log_rate, u = ops.full((1, 1), math.log(1e4)), ops.array([[0.975]])
        >>> float(count_quantile(Poisson(), log_rate, u)[0, 0])
        10196.0
    """
    dtype, event = backend.standardize_dtype(u.dtype), u.shape[1:]
    nodes, weights, lengths = (ops.convert_to_tensor(a, dtype) for a in _rules())
    begin, mean, width = part.lowest(statistics), part.mean(statistics), part.width(statistics)
    in_panels = repeated(statistics, _NUM)

    def level_at(k):
        far = ops.maximum(width, ops.abs(k - mean) / 3)  # where little is left
        length = ops.where(width > _NUM, ops.minimum(k, far), 1.0)
        length = ops.clip(length, _NUM, _NUM * 2 ** (_LEVELS - 1))
        return ops.cast(ops.log2(length / _NUM), "int32")

    def mass_of(k, level):
        points = ops.reshape(k + ops.take(nodes, level, axis=1), (-1, *event))
        p = ops.reshape(ops.exp(part.terms(in_panels, points)), (_NUM, -1, *event))
        return ops.sum(ops.take(weights, level, axis=1) * p, axis=0)

    def passes(below, following, k):
        return (following < u) & ((following > below) | (k < mean))

    def search(k, below, level, is_found):
        at = ops.maximum(level, 0)  # -1: the last panel is found
        after, following = below + mass_of(k, at), k + ops.take(lengths, at)
        moves = (level >= 0) & passes(below, after, k) & (following > k)
        k, below = ops.where(moves, following, k), ops.where(moves, after, below)
        is_found = is_found | ~moves
        return k, below, ops.where(is_found, ops.maximum(level - 1, -1), level_at(k)), is_found

    start = begin, ops.zeros_like(u), level_at(begin), ops.zeros_like(u, "bool")
    k, below, *_ = ops.while_loop(lambda k, below, at, found: ops.any(at >= 0), search, start)
    for _ in range(_NUM - 1):
        following = below + ops.exp(part.terms(statistics, k))
        moves = passes(below, following, k)
        k, below = ops.where(moves, k + 1, k), ops.where(moves, following, below)
    return k


def in_blocks(function: Callable[[Any, Tensor], Tensor], statistics: Any, u: Tensor) -> Tensor:
    """The function's values, of as many rows at once as keep memory bounded, if rows are counted.

    Args:
        function: maps statistics and noise to a tensor, (rows, ..).
        statistics: nested tensors, each (rows, ..).
        u: noise, (rows, ..).

    Example:
        >>> tuple(in_blocks(lambda s, u: s * u, ops.ones((3, 2)), ops.ones((3, 2))).shape)
        (3, 2)
    """
    size = max(1, _BLOCK // max(1, math.prod(u.shape[1:])))
    if u.shape[0] is None or u.shape[0] <= size:
        return function(statistics, u)
    blocks = []
    for start in range(0, u.shape[0], size):
        rows = slice(start, start + size)
        blocks.append(function(tree.map_structure(itemgetter(rows), statistics), u[rows]))
    return ops.concatenate(blocks)


@functools.cache
def _rules():
    """Nodes and weights (8, levels) of the sums over panels, and the panels' lengths (levels,)."""
    lengths = _NUM * 2 ** np.arange(_LEVELS)
    rules = [_rule(length) for length in lengths]
    nodes, weights = (np.stack(a, axis=1) for a in zip(*rules, strict=True))
    return nodes, weights, lengths


def _rule(length):
    """8 whole numbers below the length, near Chebyshev's points, and their weights in a sum."""
    angles = (np.arange(_NUM) + 0.5) * np.pi / _NUM
    nodes = np.round((1 - np.cos(angles)) / 2 * (length - 1)) if length > _NUM else np.arange(_NUM)
    num = min(length, 2**12)  # of a longer panel the middles of blocks, which errs by 1e-9
    grid = (np.arange(num) + 0.5) * (length / num) - 0.5
    at_nodes, on_grid = (
        np.polynomial.legendre.legvander(2 * x / (length - 1) - 1, _NUM - 1) for x in (nodes, grid)
    )
    return nodes, np.linalg.solve(at_nodes.T, on_grid.sum(0) * (length / num))
