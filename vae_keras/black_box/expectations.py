"""Expectations under the posterior from draws of a surrogate, corrected by the series of cumulants.

The free energy is a generating function: with a source t f its series is that of ln w + t f, and its
slope at t = 0 is the mean of f under the posterior,

    <f>_p = <f>_q + <<f ln w>>_q + 1/2 <<f ln w ln w>>_q + ..

in joint cumulants under q. Order 0 is the surrogate itself, order 1 the linear response.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from sklearn.isotonic import IsotonicRegression

from rbm_tf.cumulants import MAX_ORDER, log_expectation, sample_cumulants
from rbm_tf.cumulants.joint import StreamingJointCumulants, expectation_weights
from rbm_tf.diagnostics import pareto_k
from rbm_tf.estimates import Verdict
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import ArrayLike, Tensor
from vae_keras.black_box.draws import Target, blocks_of_draws

NUM_BLOCKS = 50  # of the jackknife
_LARGEST_K = 0.7
_LARGEST_NEXT_TERM = 0.1  # of the series, in standard deviations of f under q


class CorrectedExpectation(NamedTuple):
    """Values under the posterior, of the structure that f returns, float64."""

    value: Any
    standard_error: Any  # the jackknife's, over 50 blocks of draws
    terms: Any  # what each order adds, (order + 1, ..): the first is the mean under q
    verdict: Verdict


def corrected_expectation(
    f: Callable[..., Any],
    target_log_prob_fn: Target,
    surrogate_posterior: Any,
    num_samples: int,
    *,
    order: int = 2,
    progress: bool = True,
    seed: int | Tensor | None = None,
) -> CorrectedExpectation:
    """The mean of f under the posterior: its mean under q, corrected to an order in ln w.

    The joint cumulants are unbiased, so that the only bias is that of the truncation. Draws go through
    in blocks, in bounded memory: a million are no more than ten thousand, but for their log-weights.

    Args:
        f: a function of draws z of q, (num_samples, ..), to one structure of values,
            (num_samples, *batch, ..) each; it is given the draws whole, a dictionary as a dictionary.
        target_log_prob_fn: ln p(x, z), nats, as `log_weights` takes it.
        surrogate_posterior: q, a distribution or joint distribution of TensorFlow Probability.
        num_samples: the number of draws, more than 50.
        order: the highest power of ln w, 0 to 5. Order 0 is q's own mean.
        progress: whether to show a bar when it takes longer than two seconds.
        seed: integer, (2,) int32 tensor or None; the same seed gives the same draws.

    Returns:
        `CorrectedExpectation`. Not trusted are weights with k-hat above 0.7, and a series whose next
        term (at order 5: whose last) is above a tenth of the standard deviation of f under q.

    Raises:
        ValueError: if the order or num_samples is out of range, the shapes of target and q do not
            fit, or a log-weight is not finite.

    Reference: B34; Giordano, Broderick and Jordan (2018), Covariances, robustness, and variational
    Bayes, for order 1 of means.

    Example:
        >>> q = tfp.distributions.Normal(0.0, 1.0)
        >>> tilted = lambda z: q.log_prob(z) + 0.3 * z  # the mean is 0.3
        >>> found = corrected_expectation(lambda z: z, tilted, q, 10_000, seed=0)
        >>> abs(found.value - 0.3) < 5 * found.standard_error
        True
    """
    blocks = _Blocks(num_samples, order)
    for z, log_w in blocks_of_draws(
        target_log_prob_fn, surrogate_posterior, num_samples, seed, progress
    ):
        blocks.add(f(z), log_w)
    return blocks.expectation()


def expectation_of_weights(
    values: Any, log_weights: ArrayLike, *, order: int = 2
) -> CorrectedExpectation:
    """`corrected_expectation` from values and log-weights that come from elsewhere.

    Args:
        values: f of draws z from q, a structure of (num_samples, *batch, ..).
        log_weights: ln p(x, z) - ln q(z) of the same draws, (num_samples, *batch), nats.
        order: the highest power of ln w, 0 to 5.

    Returns:
        `CorrectedExpectation`.

    Raises:
        ValueError: as `corrected_expectation`.

    Reference: B34.

    Example:
        >>> z = np.random.default_rng(0).normal(size=10_000)
        >>> round(float(expectation_of_weights(z, 0.3 * z).value), 1)
        0.3
    """
    log_w = np.asarray(log_weights, np.float64)
    blocks = _Blocks(len(log_w), order)
    blocks.add(values, log_w)
    return blocks.expectation()


def corrected_variance(
    f: Callable[..., Any],
    target_log_prob_fn: Target,
    surrogate_posterior: Any,
    num_samples: int,
    *,
    order: int = 2,
    progress: bool = True,
    seed: int | Tensor | None = None,
) -> CorrectedExpectation:
    """The variance of f under the posterior: the corrected <f^2> less the square of the corrected <f>.

    A truncated series can make it negative: then it is not to be trusted.

    Args:
        f: as `corrected_expectation` takes it.
        target_log_prob_fn: ln p(x, z), nats, as `log_weights` takes it.
        surrogate_posterior: q, a distribution or joint distribution of TensorFlow Probability.
        num_samples: the number of draws, more than 50.
        order: the highest power of ln w, 0 to 5.
        progress: whether to show a bar when it takes longer than two seconds.
        seed: integer, (2,) int32 tensor or None; the same seed gives the same draws.

    Returns:
        `CorrectedExpectation`, of variances; its terms are those of <f^2>.

    Raises:
        ValueError: as `corrected_expectation`.

    Reference: B34.

    Example:
        >>> q = tfp.distributions.Normal(0.0, 1.0)
        >>> wider = lambda z: q.log_prob(z) + 0.1 * z**2  # the variance is 1 / 0.8
        >>> found = corrected_variance(lambda z: z, wider, q, 10_000, order=3, seed=0)
        >>> abs(found.value - 1.25) < 0.01 + 5 * found.standard_error
        True
    """
    blocks = _Blocks(num_samples, order)
    for z, log_w in blocks_of_draws(
        target_log_prob_fn, surrogate_posterior, num_samples, seed, progress
    ):
        blocks.add(f(z), log_w)
    return blocks.variance()


def corrected_quantiles(
    values: ArrayLike, log_weights: ArrayLike, probabilities: ArrayLike, *, order: int = 2
) -> np.ndarray:
    """Quantiles of f under the posterior: where its corrected distribution function takes a value.

    <1(f <= y)>_p as a function of y, corrected as any expectation, need not increase: it is replaced
    by the increasing function nearest to it.

    Args:
        values: f of draws z from q, (num_samples,).
        log_weights: ln p(x, z) - ln q(z) of the same draws, (num_samples,), nats.
        probabilities: of the quantiles, (num,), between 0 and 1.
        order: the highest power of ln w, 0 to 5.

    Returns:
        (num,), in the unit of f.

    Raises:
        ValueError: if the shapes do not fit, or the corrected function leaves [0, 1] by more than
            0.05 or has to be moved by more than that to increase: the order is then too high for
            these weights, or there are too few draws.

    Reference: B34.

    Example:
        >>> z = np.random.default_rng(0).normal(size=20_000)
        >>> corrected_quantiles(z, 0.3 * z, [0.5]).round(1)  # the median moves by 0.3
        array([0.3])
    """
    values, log_w = np.asarray(values, np.float64), np.asarray(log_weights, np.float64)
    if values.ndim != 1 or values.shape != log_w.shape:
        raise ValueError(
            f"values and log_weights must both be (num_samples,); got {values.shape} and "
            f"{log_w.shape}."
        )
    weights = series_weights(log_w, order=order).numpy()
    rank = np.argsort(values)
    raw = np.cumsum(weights[rank])
    smooth = IsotonicRegression(y_min=0, y_max=1).fit_transform(np.arange(len(raw)), raw)
    moved = np.max(np.abs(smooth - raw))
    if not moved <= 0.05:
        raise ValueError(
            f"The corrected distribution function of order {order} is off by {moved:.2f} from any that "
            "increases from 0 to 1: lower the order, draw more, or take a better surrogate."
        )
    return np.interp(probabilities, smooth, values[rank])


def series_weights(log_weights: ArrayLike, *, order: int = 2) -> Tensor:
    """The weight of each draw in an expectation that the series corrects; they add up to 1.

    The gradient of the truncated series in the log-weights, as the normalised importance weights are
    of the whole one. Some are negative where the truncation shows.

    Args:
        log_weights: ln p(x, z) - ln q(z), (num_samples, ..), nats.
        order: the highest power of ln w, 0 to 5.

    Returns:
        The shape of log_weights.

    Raises:
        ValueError: if there are fewer samples than order + 1, or the order is out of range.

    Reference: B34.

    Example:
        >>> series_weights([0.0, 1.0], order=1).numpy()
        array([0., 1.], dtype=float32)
    """
    return expectation_weights(
        log_weights, lambda x: log_expectation(sample_cumulants(x, order + 1))
    )


class _Blocks:
    """Joint cumulants of f and f^2 with ln w, apart for each of 50 blocks of draws."""

    def __init__(self, num_samples, order):
        if order not in range(6):
            raise ValueError(f"order must be an integer from 0 to 5; got {order!r}.")
        check_counts(NUM_BLOCKS + 1, num_samples=num_samples)
        self.edges = np.linspace(0, num_samples, NUM_BLOCKS + 1).astype(int)
        self.order, self.done, self.log_weights = order, 0, []
        self.max_order = min(order + 2, MAX_ORDER)  # of joint cumulants: one term more, to judge by
        self.states = None

    def add(self, values, log_w):
        """Count further draws."""
        if not np.isfinite(log_w).all():
            num = int(np.sum(~np.isfinite(log_w)))
            raise ValueError(
                f"{num} of {log_w.size} log-weights are not finite, and a series of cumulants needs all "
                "of them: the surrogate draws where the target is 0. A bijector keeps it inside; or "
                "reweight by normalised importance weights (`expectation_weights` of `iwae`)."
            )
        self.structure = values
        flat = [np.asarray(part, np.float64) for part in tf.nest.flatten(values)]
        for part in flat:
            if part.shape[: log_w.ndim] != log_w.shape:
                raise ValueError(
                    f"f gave the shape {part.shape}, which has to begin with that of the log-weights, "
                    f"{log_w.shape}: an axis for the draws, and those of the batch."
                )
        if self.states is None:
            self.deviations = [np.zeros(part.shape[1:]) for part in flat]
            empty = [
                StreamingJointCumulants.empty(self.max_order, (*part.shape[1:], 2)) for part in flat
            ]
            self.states = [list(empty) for _ in range(NUM_BLOCKS)]
        self.log_weights.append(log_w)
        last = self.done + len(log_w)
        for block in range(NUM_BLOCKS):
            low, high = (
                np.clip(self.edges[block + i], self.done, last) - self.done for i in (0, 1)
            )
            if low < high:
                self.states[block] = [
                    state.update(_with_square(part[low:high]), log_w[low:high])
                    for state, part in zip(self.states[block], flat, strict=True)
                ]
        self.done = last

    def expectation(self):
        """The corrected mean of f."""
        return self._result(lambda moments: moments[..., 0])

    def variance(self):
        """The corrected variance of f."""
        return self._result(lambda moments: moments[..., 1] - moments[..., 0] ** 2, square=True)

    def _result(self, function, square=False):
        values, errors, terms, relative = [], [], [], []
        for number in range(len(self.states[0])):
            parts = [states[number] for states in self.states]
            without = np.stack([function(self._series(one)) for one in _all_but_one(parts)])
            whole = _merged(parts)
            values.append(function(self._series(whole)))
            deviation = without - without.mean(0)
            errors.append(((NUM_BLOCKS - 1) / NUM_BLOCKS * (deviation**2).sum(0)) ** 0.5)
            each = _terms(whole)  # (max_order, .., 2)
            terms.append(each[: self.order + 1, ..., int(square)])
            spread = np.maximum(each[0, ..., 1] - each[0, ..., 0] ** 2, 0) ** 0.5
            next_term = np.abs(each[-1, ..., 0])
            relative.append(np.max(next_term / np.where(spread > 0, spread, 1), initial=0.0))
        pack = partial(tf.nest.pack_sequence_as, self.structure)
        verdict = self._verdict(max(relative))
        return CorrectedExpectation(pack(values), pack(errors), pack(terms), verdict)

    def _series(self, state):
        return _terms(state)[: self.order + 1].sum(0)

    def _verdict(self, next_term):
        k = float(np.max(pareto_k(np.concatenate(self.log_weights))))
        reasons = []
        if not k <= _LARGEST_K:
            reasons.append("the weights have a heavy tail")
        if not next_term <= _LARGEST_NEXT_TERM:
            reasons.append("the next term is not small")
        verdict = f"Do not trust order {self.order}, {' and '.join(reasons)}"
        message = (
            f"{verdict if reasons else f'Trust order {self.order}'}: k-hat {k:.2f}, next term "
            f"{next_term:.2f} standard deviations of f under q."
        )
        return Verdict(not reasons, message, {"pareto_k": k, "next_term": next_term})


def _with_square(values):
    """f and f^2 side by side, (.., 2)."""
    return np.stack([values, values**2], -1)


def _merged(states):
    whole = states[0]
    for state in states[1:]:
        whole = whole.merge(state)
    return whole


def _all_but_one(states):
    """The union of all but each one, from unions of those before and those after it."""
    before, after = [None], [None]
    for state in states[:-1]:
        before.append(state if before[-1] is None else before[-1].merge(state))
    for state in states[:0:-1]:
        after.append(state if after[-1] is None else state.merge(after[-1]))
    for first, last in zip(before, after[::-1], strict=True):
        yield last if first is None else first if last is None else first.merge(last)


def _terms(state):
    """<f>, <<f ln w>>, 1/2 <<f ln w ln w>>, .., (order + 1, .., 2)."""
    joint = state.cumulants()
    factorials = [math.factorial(n) for n in range(len(joint))]
    return joint / np.reshape(factorials, [-1] + [1] * (joint.ndim - 1))
