"""A step of flows that bends each variable by a rational-quadratic spline."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Tensor
from vae_keras.parts.coupling import HalfStep

_LEAST = 1e-3  # of a bin's share of the interval, and of a slope
_UNIT_SLOPE = math.log(math.expm1(1 - _LEAST))  # whose softplus, with _LEAST, is 1


@keras.saving.register_keras_serializable(package="vae_keras")
class SplineCoupling(HalfStep):
    """One half goes through monotone splines on [-bound, bound], whose knots the other half gives.

    In a bin of slope s = height / width, with slopes d and d' at its ends and xi in [0, 1],

        y = y_0 + height (s xi^2 + d xi (1 - xi)) / (s + (d + d' - 2 s) xi (1 - xi)).

    Beyond the bound it is the identity, as it is everywhere when it begins. It bends densities into
    several modes, which scaling and shifting need many steps for, and inverts as fast.

    Args:
        dim: the number of variables, 2 or more.
        num_bins: the number of bins of each spline, 2 or more.
        bound: where the spline ends, above 0.
        flip: whether to move the first half given the second; alternate it.
        num_hidden: the number of units in the hidden layer.
        context_dim: the number of entries of the context; 0 for none.
        seed: integer that fixes the initial weights.

    Raises:
        ValueError: if a number is out of range.

    Reference: Durkan, Bekasov, Murray and Papamakarios (2019), Neural spline flows, equations 4
    to 8.

    Example:
        >>> moved, log_det = SplineCoupling(2)(ops.ones((1, 2)))
        >>> print(ops.convert_to_numpy(ops.round(moved, 4)), abs(round(float(log_det[0]), 4)))
        [[1. 1.]] 0.0
    """

    def __init__(self, dim: int, *, num_bins: int = 8, bound: float = 4.0, **kwargs: Any) -> None:
        super().__init__(dim, **kwargs)
        check_counts(2, num_bins=num_bins)
        if not 0 < bound < math.inf:
            raise ValueError(f"bound must be above 0 and finite; got {bound}.")
        self.num_bins, self.bound = num_bins, bound
        self.make_network(dim - self.num_moved, self.num_moved * (3 * num_bins - 1))

    def _knots(self, given, context):
        """Places and values (rows, num_moved, num_bins + 1) and slopes at the knots."""
        raw = ops.reshape(self.outputs(given, context), (-1, self.num_moved, 3 * self.num_bins - 1))
        widths, heights, slopes = ops.split(raw, [self.num_bins, 2 * self.num_bins], axis=-1)
        inner = _LEAST + ops.softplus(slopes + _UNIT_SLOPE)
        ends = ops.ones_like(raw[..., :1])
        slopes = ops.concatenate([ends, inner, ends], axis=-1)
        return self._places(widths), self._places(heights), slopes

    def _places(self, raw):
        shares = _LEAST + (1 - _LEAST * self.num_bins) * ops.softmax(raw, axis=-1)
        inner = 2 * ops.cumsum(shares, axis=-1)[..., :-1] - 1
        end = ops.ones_like(raw[..., :1])
        return self.bound * ops.concatenate([-end, inner, end], axis=-1)

    def _bin(self, x, along, knots):
        """Of the bin of x, found along places or values: x_0, y_0, width, height, d, d'."""
        index = ops.sum(ops.cast(x[..., None] >= along[..., 1:-1], "int32"), axis=-1)
        here = ops.one_hot(index, self.num_bins, dtype=x.dtype)

        def pick(values):
            return ops.sum(here * values, axis=-1)

        (xs, ys, slopes) = knots
        return (
            pick(xs[..., :-1]),
            pick(ys[..., :-1]),
            pick(xs[..., 1:] - xs[..., :-1]),
            pick(ys[..., 1:] - ys[..., :-1]),
            pick(slopes[..., :-1]),
            pick(slopes[..., 1:]),
        )

    def call(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        given, moved = self.halves(z)
        knots = self._knots(given, context)
        inside, x = ops.abs(moved) < self.bound, ops.clip(moved, -self.bound, self.bound)
        x0, y0, width, height, d, d_next = self._bin(x, knots[0], knots)
        xi, s = (x - x0) / width, height / width
        both = xi * (1 - xi)
        below = s + (d + d_next - 2 * s) * both
        y = y0 + height * (s * ops.square(xi) + d * both) / below
        log_slope = ops.where(inside, _log_slope(xi, s, d, d_next), 0.0)
        return self.joined(given, ops.where(inside, y, moved)), ops.sum(log_slope, axis=-1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        given, moved = self.halves(z)
        knots = self._knots(given, context)
        inside, y = ops.abs(moved) < self.bound, ops.clip(moved, -self.bound, self.bound)
        x0, y0, width, height, d, d_next = self._bin(y, knots[1], knots)
        s, up = height / width, y - y0
        bend = up * (d + d_next - 2 * s)
        a, b, c = height * (s - d) + bend, height * d - bend, -s * up
        far = ops.abs(b) + ops.sqrt(ops.maximum(ops.square(b) - 4 * a * c, 0.0))
        falls = b < 0  # then a > 0, and the other form of the root would cancel
        xi = ops.where(falls, far, -2 * c) / ops.where(falls, 2 * a, far)
        log_slope = ops.where(inside, _log_slope(xi, s, d, d_next), 0.0)
        x = ops.where(inside, x0 + xi * width, moved)
        return self.joined(given, x), -ops.sum(log_slope, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bins": self.num_bins, "bound": self.bound}


def _log_slope(xi, s, d, d_next):
    """ln dy/dx in a bin."""
    both = xi * (1 - xi)
    above = d_next * ops.square(xi) + 2 * s * both + d * ops.square(1 - xi)
    return 2 * ops.log(s) + ops.log(above) - 2 * ops.log(s + (d + d_next - 2 * s) * both)
