"""What states and means a layer of units can have, for data, bases and training."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from rbm_tf.shared.arrays import as_array
from rbm_tf.shared.types import ArrayLike

_Layer: Any = object  # a `Unit`, which has this class among its bases
_EDGE = 0.01  # how near means may come to the edge of the support where units must reach it all


class Support(_Layer):
    """The part of `Unit` that knows its `bounds` and `states`, and checks data against them.

    Example:
        >>> issubclass(Binary, Support)
        True
    """

    def initial_bias(self, mean: ArrayLike, *, count: ArrayLike) -> tf.Tensor:
        """The bias with which a layer without weights has the means of the data.

        Means at the edge of the support, of a pixel that is always black, would need an infinite
        bias: an example at each end of it is added to the data, or one at a distance of 1 from
        the only end.

        Args:
            mean: of the data, (size,).
            count: the number of data, one for all columns or (size,).

        Returns:
            (size,).
        """
        mean = self.fields(mean)
        low, high = (np.zeros(self.size) + end for end in self.bounds)
        both = np.isfinite(low) + 0.0 + np.isfinite(high)  # 0, 1 or 2 ends
        added = np.where(np.isfinite(low), low + (both == 1), 0.0)
        added += np.where(np.isfinite(high), high - (both == 1), 0.0)
        added, total = (tf.cast(x, mean.dtype) for x in (added, count + both))
        return self.conjugate_field((mean * count + added) / total)

    def sample_of_mean(self, mean: ArrayLike, *, seed: Any) -> tf.Tensor:
        """Draw units that have given means: binary pixels from grey levels.

        Args:
            mean: (.., size).
            seed: as `sample` takes it.

        Returns:
            States, the shape and the dtype of mean.

        Raises:
            ValueError: for kinds other than Binary, Spin, Potts and Mixed of these.
        """
        raise ValueError(
            f"States cannot be drawn from means of {type(self).__name__} units, only of Binary, "
            "Spin, Potts and Mixed of these: give states as data, and resample=False."
        )

    def inside(self, mean: ArrayLike) -> np.ndarray:
        """Means moved into the support, so that units with these means reach every state.

        To 0.01 and 0.99 of a bounded support, and 0.01 from the only end of another.

        Args:
            mean: (size,).

        Returns:
            (size,), float64.
        """
        low, high = (np.zeros(self.size) + end for end in self.bounds)
        step = _EDGE * np.where(np.isfinite(high - low), high - low, 1.0)
        return np.clip(np.asarray(mean, float), low + step, high - step)

    def check(self, t: Any, *, name: str = "x", means: bool = False) -> np.ndarray:
        """Data as an array, refused unless they are states of these units.

        Args:
            t: array-like, (num_examples, size).
            name: what the error message calls the data.
            means: whether to take means of states too, such as grey levels for `Binary`.

        Returns:
            NumPy array (num_examples, size), its dtype kept.

        Raises:
            ValueError: for another shape, no data, NaN, infinities, or values outside the support,
                with the unit and the value.
        """
        t = as_array(t, None, name)
        if t.ndim != 2 or t.shape[1] != self.size or not len(t):
            raise ValueError(
                f"{name} must have shape (num, {self.size}) with num of 1 or more, one column for "
                f"each of {self!r}; got {t.shape}."
            )
        wrong = ~(self._is_mean(t) if means else self._is_state(t)) | ~np.isfinite(t)
        if wrong.any():
            first = self._place(t, *np.argwhere(wrong)[0])
            kind = f"means of {type(self).__name__}" if means else type(self).__name__
            raise ValueError(
                f"{name} has {np.sum(wrong)} values that are no {kind} units, which lie in "
                f"{self._support()}: the first is {first}. Scale the data, or choose another kind "
                "of unit."
            )
        return t

    def _is_state(self, t):
        states = self.states()
        return self._is_mean(t) if states is None else np.isin(t, states)

    def _is_mean(self, t):
        return (t >= self.bounds[0]) & (t <= self.bounds[1])

    def _place(self, t, row, column):
        return f"{t[row, column]} in row {row}, column {column}"

    def _support(self):
        states, (low, high) = self.states(), self.bounds
        return f"[{low:g}, {high:g}]" if states is None else str(states.ravel().tolist())

    def least_precision(self) -> tf.Tensor:
        """The g with U(t) > g t^2/2 - c |t| far out: what keeps Z finite against the weights.

        Infinite for units with bounds, which no weight lets diverge, and 0 for others unless a
        kind says more.

        Returns:
            (size,), of each column.
        """
        low, high = (np.zeros(self.size) + end for end in self.bounds)
        return tf.constant(np.where(np.isfinite(high - low), np.inf, 0.0))

    def standard_scale(self, variance: ArrayLike) -> tf.Tensor:
        """What a column is divided by in standardised coordinates: its standard deviation.

        It is a tenth of the support at least, where that has two ends, and 1 for a column without
        variance: steps go as 1/s^2, and a pixel that hardly ever changes would take all of them.

        Args:
            variance: of the states, (size,).

        Returns:
            s, (size,).
        """
        variance = self.fields(variance)
        low, high = (np.zeros(self.size) + end for end in self.bounds)
        width = np.where(np.isfinite(high - low), high - low, 0.0)
        variance = tf.maximum(variance, tf.cast((width / 10) ** 2, variance.dtype))
        return tf.sqrt(tf.where(variance > 0, variance, tf.ones_like(variance)))

    def redundant_part(self, x: tf.Tensor) -> tf.Tensor | None:
        """The part of fields that changes no probability: for `Potts` the mean over the states.

        Args:
            x: fields, a float tensor (.., size).

        Returns:
            (.., size), or None for a kind that has none.
        """
        return None
