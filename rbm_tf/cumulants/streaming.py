"""Cumulants of a stream of any length at constant memory, which workers may share out and merge."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rbm_tf.cumulants.k_statistics import MAX_ORDER, k_statistic
from rbm_tf.shared.log_weights import float_tensor
from rbm_tf.shared.types import ArrayLike


class StreamingCumulants(NamedTuple):
    """The k-statistics of all samples seen so far, from their number, mean and central sums.

    With n samples it keeps M_r = sum_i (x_i - mean)^r for r = 2 .. max_order, in float64. Two sets
    merge exactly: each M_r is moved to the common mean by the binomial theorem, and added,
    M_r -> sum_k C(r, k) M_{r-k} (mean - common mean)^k with M_0 = n and M_1 = 0. Deviations are
    never taken from 0, so a large mean costs no digits. Values are immutable, and can be pickled.

    Reference: Pebay (2008), Formulas for robust, one-pass parallel computation of covariances and
    arbitrary-order statistical moments, Sandia report 2008-6212; B22.

    Example:
        >>> total = StreamingCumulants.empty(max_order=3)
        >>> total = total.update([1.0, 2.0]).update([3.0, 6.0])
        >>> total.cumulants().round(3)
        array([ 3.   ,  4.667, 12.   ])
    """

    count: int  # type: ignore[assignment]  # in place of tuple.count
    mean: np.ndarray  # the shape of one sample
    sums: np.ndarray  # M_2 .. M_max_order, (max_order - 1, *shape of one sample)

    @classmethod
    def empty(cls, max_order: int = 4, *, shape: tuple[int, ...] = ()) -> StreamingCumulants:
        """No samples yet.

        Args:
            max_order: the highest order of the cumulants to come, 1 to 6.
            shape: the shape of one sample.

        Raises:
            ValueError: if max_order is not 1 to 6.
        """
        if max_order not in range(1, MAX_ORDER + 1):
            raise ValueError(
                f"max_order must be an integer from 1 to {MAX_ORDER}; got {max_order}."
            )
        return cls(0, np.zeros(shape), np.zeros((max_order - 1, *shape)))

    def update(self, batch: ArrayLike) -> StreamingCumulants:
        """A new `StreamingCumulants` of these samples too.

        Args:
            batch: further samples, (num_samples, *shape).

        Raises:
            ValueError: if the batch is empty or has another shape.
        """
        if not np.iscomplexobj(batch):
            batch = float_tensor(batch, dtype=np.float64).numpy()
        if batch.shape[1:] != self.mean.shape or not len(batch):
            raise ValueError(
                f"A batch must have shape (num_samples, *{self.mean.shape}), with num_samples of 1 "
                f"or more; got {batch.shape}. Choose `shape` in StreamingCumulants.empty to match."
            )
        mean = batch.mean(0)
        deviation = power = batch - mean
        sums = np.empty_like(self.sums, dtype=batch.dtype)
        for index in range(len(sums)):
            power = power * deviation
            sums[index] = power.sum(0)
        return self.merge(StreamingCumulants(len(batch), mean, sums))

    def merge(self, other: StreamingCumulants) -> StreamingCumulants:
        """A new `StreamingCumulants` of the samples of both.

        Args:
            other: the other one, of the same max_order and shape.

        Raises:
            ValueError: if it has another max_order or shape.
        """
        if self.sums.shape != other.sums.shape:
            raise ValueError(
                "Only accumulators of the same max_order and shape merge; their sums have shapes "
                f"{self.sums.shape} and {other.sums.shape}."
            )
        count = self.count + other.count
        if not count:
            return self
        step = other.mean - self.mean
        sums = self._sums_about(-step * (other.count / count))
        sums = sums + other._sums_about(step * (self.count / count))
        return StreamingCumulants(count, self.mean + step * (other.count / count), sums)

    def cumulants(self) -> np.ndarray:
        """The cumulants without bias, as `rbm_tf.cumulants.sample_cumulants` has them.

        Returns:
            kappa_1 .. kappa_max_order, (max_order, *shape), float64.

        Raises:
            ValueError: if there are fewer than max_order samples.
        """
        max_order = len(self.sums) + 1
        if self.count < max_order:
            raise ValueError(
                f"A cumulant of order {max_order} needs at least {max_order} samples; received "
                f"{self.count}. Add more samples, or start with a lower max_order."
            )
        m = {order: sums / self.count for order, sums in enumerate(self.sums, start=2)}
        higher = [k_statistic(order, m, float(self.count)) for order in m]
        return np.stack([self.mean, *higher])

    def _sums_about(self, shift):
        """M_2 .. M_max_order about the point mean - shift."""
        m = [np.full_like(self.mean, self.count), np.zeros_like(self.mean), *self.sums]
        moved = [
            sum(math.comb(r, k) * m[r - k] * shift**k for k in range(r + 1))
            for r in range(2, len(m))
        ]
        return np.reshape(moved, self.sums.shape)
