"""Gaussians with correlations: by a Cholesky factor, or of low rank on top of a diagonal."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts.gaussian import Gaussian
from vae_keras.parts.inputs import check_event, float_dtype
from vae_keras.parts.part import Part
from vae_keras.parts.rules import kl_rule

_LOG_2_PI = math.log(2 * math.pi)


class Correlated(Part):
    """What Gaussians with correlations share: vectors, a mean, and N(0, I) as default prior.

    The first of the statistics is the mean, (rows, dim).

    Example:
        >>> Correlated().standard().name.startswith("gaussian")
        True
    """

    def mean(self, statistics: Any) -> Tensor:
        return statistics[0]

    def standard(self) -> Part:
        return Gaussian()

    def standard_statistics(self, statistics: Any) -> Any:
        zeros = ops.zeros_like(statistics[0])
        return zeros, zeros

    def _dim(self, event):
        if len(event) != 1:
            raise ValueError(
                f"{type(self).__name__} is of vectors (rows, dim); got an event of shape {event}. "
                "Flatten it before."
            )
        return event[0]


@keras.saving.register_keras_serializable(package="vae_keras")
class FullGaussian(Correlated):
    """N(mean, L L^T) with a lower triangular L, whose diagonal is the exponential of its logarithm.

    ln p = -1/2 |noise|^2 - sum ln L_ii - dim/2 ln(2 pi) with L noise = value - mean. The statistics
    are (mean, log_diagonal, lower): the last are the entries of L below the diagonal, row by row.

    Args:
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: (rows, dim), (rows, dim) and (rows, dim (dim - 1) / 2).

    Output: a draw, (rows, dim), and its log-density, (rows,), nats.

    Raises:
        ValueError: if the statistics do not fit each other, or the value them.

    Reference: Kingma and Welling (2019), An introduction to variational autoencoders, section
    2.5.1.

    Example:
        >>> zeros = [ops.zeros((5, num)) for num in (2, 2, 1)]
        >>> float(FullGaussian().log_prob(zeros, ops.zeros((5, 2)))[0])  # -ln(2 pi)
        -1.8378770351409912
    """

    def factor(self, statistics: Any) -> Tensor:
        """L, (rows, dim, dim).

        Args:
            statistics: (mean, log_diagonal, lower).

        Raises:
            ValueError: if their shapes do not fit each other.

        Example:
            >>> statistics = [ops.zeros((1, 2)), ops.zeros((1, 2)), ops.full((1, 1), 3.0)]
            >>> print(ops.convert_to_numpy(FullGaussian().factor(statistics))[0])
            [[1. 0.]
             [3. 1.]]
        """
        shapes = [tuple(x.shape[1:]) for x in statistics]
        dim = self._dim(shapes[0])
        if shapes != [(dim,), (dim,), (dim * (dim - 1) // 2,)]:
            raise ValueError(
                f"FullGaussian takes statistics (rows, {dim}), (rows, {dim}) and "
                f"(rows, {dim * (dim - 1) // 2}); got {' and '.join(map(str, shapes))} without "
                "rows."
            )
        _, log_diagonal, lower = statistics
        place = np.full((dim, dim), 0)  # of 0, which is put first
        place[np.diag_indices(dim)] = 1 + np.arange(dim)
        place[np.tril_indices(dim, -1)] = 1 + dim + np.arange(dim * (dim - 1) // 2)
        entries = [ops.zeros_like(log_diagonal[:, :1]), ops.exp(log_diagonal), lower]
        flat = ops.take(ops.concatenate(entries, axis=1), place.ravel(), axis=1)
        return ops.reshape(flat, (-1, dim, dim))

    def noise(self, statistics: Any, rows: Any, seed: Any) -> Tensor:
        mean = statistics[0]
        return keras.random.normal((rows, *mean.shape[1:]), dtype=float_dtype(mean), seed=seed)

    def draw(self, statistics: Any, noise: Tensor) -> tuple[Tensor, Tensor]:
        value = statistics[0] + ops.einsum("rij,rj->ri", self.factor(statistics), noise)
        return value, self._log_prob(statistics[1], noise)

    def log_prob(self, statistics: Any, value: Tensor) -> Tensor:
        factor = self.factor(statistics)
        check_event(self, value, statistics[0].shape[1:])
        noise = ops.solve_triangular(factor, (value - statistics[0])[..., None], lower=True)
        return self._log_prob(statistics[1], noise[..., 0])

    def _log_prob(self, log_diagonal, noise):
        return -0.5 * ops.sum(ops.square(noise) + 2 * log_diagonal + _LOG_2_PI, axis=-1)

    def shapes(self, event: Shape) -> Shapes:
        dim = self._dim(event)
        return (dim,), (dim,), (dim * (dim - 1) // 2,)


@keras.saving.register_keras_serializable(package="vae_keras")
class LowRankGaussian(Correlated):
    """N(mean, diag(exp(log_var)) + V V^T) with V of few columns: correlations of many variables.

    With W = diag(exp(-log_var / 2)) V and C = I + W^T W, of size rank, and e the standardised
    deviation, ln p = -1/2 [|e|^2 - |C^(-1/2) W^T e|^2 + ln det C + sum log_var + dim ln(2 pi)]. A
    draw has one normal number for each variable and one for each column.

    Args:
        rank: the number of columns of V, 1 or more.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: mean and log_var, (rows, dim), and V, (rows, dim, rank).

    Output: a draw, (rows, dim), and its log-density, (rows,), nats.

    Raises:
        ValueError: if rank is below 1, or the statistics do not fit each other, or the value them.

    Reference: Rezende, Mohamed and Wierstra (2014), Stochastic backpropagation, section 4.3.

    Example:
        >>> zeros = ops.zeros((5, 2)), ops.zeros((5, 2)), ops.zeros((5, 2, 1))
        >>> float(LowRankGaussian(1).log_prob(zeros, ops.zeros((5, 2)))[0])  # -ln(2 pi)
        -1.8378770351409912
    """

    def __init__(self, rank: int = 1, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        check_counts(rank=rank)
        self.rank = rank

    def noise(self, statistics: Any, rows: Any, seed: Any) -> Tensor:
        dim = self._checked(statistics)[0].shape[1]
        dtype = float_dtype(statistics)
        return keras.random.normal((rows, dim + self.rank), dtype=dtype, seed=seed)

    def _checked(self, statistics):
        mean, log_var, columns = statistics
        dim = self._dim(tuple(mean.shape[1:]))
        check_event("LowRankGaussian's log_var", log_var, (dim,))
        check_event("LowRankGaussian's V", columns, (dim, self.rank))
        return mean, log_var, columns

    def draw(self, statistics: Any, noise: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var, columns = self._checked(statistics)
        own, common = noise[:, : mean.shape[1]], noise[:, mean.shape[1] :]
        scaled = ops.exp(-0.5 * log_var)[..., None] * columns  # W
        standard = own + ops.einsum("rik,rk->ri", scaled, common)  # e
        value = mean + ops.exp(0.5 * log_var) * standard
        return value, self._log_prob(log_var, scaled, standard)

    def log_prob(self, statistics: Any, value: Tensor) -> Tensor:
        mean, log_var, columns = self._checked(statistics)
        check_event(self, value, mean.shape[1:])
        narrow = ops.exp(-0.5 * log_var)
        return self._log_prob(log_var, narrow[..., None] * columns, (value - mean) * narrow)

    def _log_prob(self, log_var, scaled, standard):
        factor = self._factor(scaled)
        projected = ops.einsum("rik,ri->rk", scaled, standard)[..., None]
        common = ops.solve_triangular(factor, projected, lower=True)[..., 0]
        squares = ops.sum(ops.square(standard) + log_var + _LOG_2_PI, axis=-1)
        return -0.5 * (squares - ops.sum(ops.square(common), axis=-1)) - _log_det(factor)

    def _factor(self, scaled):
        """The Cholesky factor of C = I + W^T W, (rows, rank, rank)."""
        products = ops.einsum("rik,ril->rkl", scaled, scaled)
        return ops.cholesky(products + ops.eye(self.rank, dtype=products.dtype))

    def shapes(self, event: Shape) -> Shapes:
        dim = self._dim(event)
        return (dim,), (dim,), (dim, self.rank)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rank": self.rank}


def _log_det(factor):
    """ln det of a triangular factor, which is half that of its product."""
    return ops.sum(ops.log(ops.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)


@kl_rule(FullGaussian, Gaussian)
def _full(q, q_statistics, p, p_statistics, is_standard):
    """Terms of the chain rule: variable i given those before it."""
    if p.temperature != 1:
        return None
    mean, log_var = p.moments(p_statistics)
    var = ops.sum(ops.square(q.factor(q_statistics)), axis=-1)  # diagonal of L L^T
    squares = (var + ops.square(q_statistics[0] - mean)) * ops.exp(-log_var)
    return 0.5 * (squares - 1 + log_var) - q_statistics[1]


@kl_rule(FullGaussian, FullGaussian)
def _both_full(q, q_statistics, p, p_statistics, is_standard):
    prior = p.factor(p_statistics)
    deviation = (q_statistics[0] - p_statistics[0])[..., None]
    columns = ops.concatenate([q.factor(q_statistics), deviation], axis=-1)
    solved = ops.solve_triangular(prior, columns, lower=True)
    log_ratio = p_statistics[1] - q_statistics[1]
    return 0.5 * (ops.sum(ops.square(solved), axis=-1) - 1) + log_ratio


@kl_rule(LowRankGaussian, Gaussian)
def _low_rank(q, q_statistics, p, p_statistics, is_standard):
    """One term: the determinant is not a sum over variables."""
    if p.temperature != 1:
        return None
    mean, log_var, columns = q_statistics
    prior_mean, prior_log_var = p.moments(p_statistics)
    var = ops.exp(log_var) + ops.sum(ops.square(columns), axis=-1)
    squares = (var + ops.square(mean - prior_mean)) * ops.exp(-prior_log_var)
    log_ratio = prior_log_var - log_var
    log_det = _log_det(q._factor(ops.exp(-0.5 * log_var)[..., None] * columns))
    return 0.5 * ops.sum(squares - 1 + log_ratio, axis=-1, keepdims=True) - log_det[:, None]
