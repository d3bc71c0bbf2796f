"""Expectations under the posterior from draws of a surrogate, corrected by the series of cumulants.

The free energy is a generating function: with a source t f its series is that of ln w + t f, and
its slope at t = 0 is the mean of f under the posterior,

    <f>_p = <f>_q + <<f ln w>>_q + 1/2 <<f ln w ln w>>_q + ..

in joint cumulants under q. Order 0 is the surrogate itself, order 1 the linear response.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial, reduce
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from rbm_tf.cumulants import MAX_ORDER, StreamingJointCumulants
from rbm_tf.diagnostics import pareto_k
from rbm_tf.estimates import Verdict
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import ArrayLike, Tensor
from vae_keras.black_box.inputs import Target, blocks_of_draws, finite_log_weights

NUM_BLOCKS = 50  # of the jackknife
_LARGEST_K = 0.7
_LARGEST_NEXT_TERM = 0.1  # of the series, in units of the spread of f under q


class CorrectedExpectation(NamedTuple):
    """Values under the posterior, of the structure that f returns, float64."""

    value: Any
    standard_error: Any  # the jackknife's, over 50 blocks of draws
    terms: Any  # what each order adds, (order + 1, ..): the first is the value under q
    verdict: Verdict  # with the signs "pareto_k" and "next_term"


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

    The joint cumulants are unbiased, so that the only bias is that of the truncation. Draws go
    through in blocks of ten thousand, and of all of them only the log-weights are kept.

    Args:
        f: a function of draws z of q, (num_samples, *batch, ..), to one structure of values,
            (num_samples, *batch, ..) each, numbers or booleans. It is given the draws whole: of a
            joint distribution the list, the named tuple or the dictionary.
        target_log_prob_fn: ln p(x, z), nats, as `log_weights` takes it.
        surrogate_posterior: q, a distribution or joint distribution of TensorFlow Probability.
        num_samples: the number of draws, more than 50.
        order: the highest power of ln w, 0 to 5. Order 0 is q's own mean.
        progress: whether to show a bar when it takes longer than two seconds.
        seed: integer, (2,) int32 tensor or None; the same seed gives the same draws.

    Returns:
        `CorrectedExpectation`. Not trusted are weights with k-hat above 0.7, and a series whose
        next term is above a tenth of the standard deviation of f under q: at order 0 one of the
        next two, at order 5 the last one that counts.

    Raises:
        ValueError: if the order or num_samples is out of range, the shapes of target, q and f do
            not fit, or a log-weight or value of f is not finite.

    Reference: B34; Giordano, Broderick and Jordan (2018), Covariances, robustness, and variational
    Bayes, for order 1 of means.

    Example:
        >>> q = tfp.distributions.Normal(0.0, 1.0)
        >>> tilted = lambda z: q.log_prob(z) + 0.3 * z  # the mean is 0.3
        >>> found = corrected_expectation(lambda z: z, tilted, q, 10_000, seed=0)
        >>> bool(abs(found.value - 0.3) < 5 * found.standard_error)
        True
        >>> found.verdict.trusted
        True
    """
    draws = blocks_of_draws(
        target_log_prob_fn, surrogate_posterior, num_samples, seed, progress=progress
    )
    return _Sums(num_samples, order).of(f, draws).result(_mean)


def expectation_of_weights(
    values: Any, log_weights: ArrayLike, *, order: int = 2
) -> CorrectedExpectation:
    """`corrected_expectation` from values and log-weights that come from elsewhere.

    From NumPyro, PyMC or PyTorch take draws of the guide or approximation q, not of the posterior.
    Of an ArviZ InferenceData that holds them, values are `data.posterior["mu"].values`, with the
    axes of chains and draws made one by `reshape(-1, ..)`, and log-weights one number a draw.

    Args:
        values: f of draws z from q, an array or structure of arrays, (num_samples, *batch, ..).
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
    return _sums_of_weights(values, log_weights, order).result(_mean)


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
    """The variance of f under the posterior: corrected <f^2> less the square of corrected <f>.

    A truncated series can make it negative, and is then not trusted.

    Args:
        f: as `corrected_expectation` takes it.
        target_log_prob_fn: ln p(x, z), nats, as `log_weights` takes it.
        surrogate_posterior: q, a distribution or joint distribution of TensorFlow Probability.
        num_samples: the number of draws, more than 50.
        order: the highest power of ln w, 0 to 5.
        progress: whether to show a bar when it takes longer than two seconds.
        seed: integer, (2,) int32 tensor or None; the same seed gives the same draws.

    Returns:
        `CorrectedExpectation`, of variances. Not trusted are weights with k-hat above 0.7, a next
        term above a tenth of the variance of f under q, and a variance below 0.

    Raises:
        ValueError: as `corrected_expectation`.

    Reference: B34.

    Example:
        >>> q = tfp.distributions.Normal(0.0, 1.0)
        >>> wider = lambda z: q.log_prob(z) + 0.1 * z**2  # the variance is 1 / 0.8
        >>> found = corrected_variance(lambda z: z, wider, q, 10_000, order=3, seed=0)
        >>> bool(abs(found.value - 1.25) < 0.01 + 5 * found.standard_error)
        True
    """
    draws = blocks_of_draws(
        target_log_prob_fn, surrogate_posterior, num_samples, seed, progress=progress
    )
    return _Sums(num_samples, order).of(f, draws).result(_variance)


def variance_of_weights(
    values: Any, log_weights: ArrayLike, *, order: int = 2
) -> CorrectedExpectation:
    """`corrected_variance` from values and log-weights that come from elsewhere.

    Args:
        values: f of draws z from q, an array or structure of arrays, (num_samples, *batch, ..).
        log_weights: ln p(x, z) - ln q(z) of the same draws, (num_samples, *batch), nats.
        order: the highest power of ln w, 0 to 5.

    Returns:
        `CorrectedExpectation`, of variances.

    Raises:
        ValueError: as `corrected_expectation`.

    Reference: B34.

    Example:
        >>> z = np.random.default_rng(0).normal(size=10_000)
        >>> round(float(variance_of_weights(z, 0.1 * z**2, order=3).value), 1)  # 1 / 0.8
        1.2
    """
    return _sums_of_weights(values, log_weights, order).result(_variance)


class _Sums:
    """Joint cumulants of f and f^2 with ln w, apart for each of 50 blocks of draws."""

    def __init__(self, num_samples: int, order: int) -> None:
        if order not in range(MAX_ORDER):
            raise ValueError(f"order must be an integer from 0 to {MAX_ORDER - 1}; got {order!r}.")
        check_counts(NUM_BLOCKS + 1, num_samples=num_samples)
        self.edges = np.linspace(0, num_samples, NUM_BLOCKS + 1).astype(int)
        self.order, self.done = order, 0
        # A term more than the series, to judge it by; two where there is no correction, since the
        # first vanishes for the means of a surrogate that the ELBO has trained.
        self.max_order = min(order + 2 + (order == 0), MAX_ORDER)
        self.log_weights: list[np.ndarray] = []
        self.centres: list[np.ndarray] = []
        self.states: list[list[StreamingJointCumulants]] = []

    def of(self, f: Callable[..., Any], draws: Iterable[tuple[Any, Any]]) -> _Sums:
        """Count f of all draws, which come with their log-weights."""
        for z, log_w in draws:
            self.add(f(z), finite_log_weights(log_w))
        return self

    def add(self, values: Any, log_w: np.ndarray) -> None:
        """Count further values."""
        flat = [_checked(part, log_w) for part in tf.nest.flatten(values)]
        if not self.states:
            self.structure = values
            self.centres = [part.mean(0) for part in flat]  # f^2 of a large f would lose digits
            empty = [
                StreamingJointCumulants.empty(self.max_order, shape=(*part.shape[1:], 2))
                for part in flat
            ]
            self.states = [list(empty) for _ in range(NUM_BLOCKS)]
        flat = [part - centre for part, centre in zip(flat, self.centres, strict=True)]
        flat = [np.stack([part, part**2], -1) for part in flat]
        self.log_weights.append(log_w)
        last = self.done + len(log_w)
        cuts = np.clip(self.edges, self.done, last) - self.done
        for block, (low, high) in enumerate(pairwise(cuts)):
            if low < high:
                self.states[block] = [
                    state.update(part[low:high], log_w[low:high])
                    for state, part in zip(self.states[block], flat, strict=True)
                ]
        self.done = last

    def result(self, function: Callable[[np.ndarray], np.ndarray]) -> CorrectedExpectation:
        """A function of the corrected <f> and <f^2>, by order, with its error and a verdict."""
        values, errors, terms, following, negative = [], [], [], 0.0, False
        for number, centre in enumerate(self.centres):
            parts = [states[number] for states in self.states]
            without = np.stack(
                [function(_sums_by_order(one)[self.order]) for one in _all_but_one(parts)]
            )
            error = ((NUM_BLOCKS - 1) * without.var(0)) ** 0.5
            sums = _sums_by_order(reduce(StreamingJointCumulants.merge, parts))
            by_order = function(sums)  # (max_order, ..)
            steps = np.diff(by_order, axis=0)
            spread = np.maximum(_variance(sums[0]), 0) ** (0.5 if function is _mean else 1)
            beyond = steps[min(self.order, len(steps) - 1) :]  # at order 5 the last one
            next_step = np.abs(beyond).max(0) / np.where(spread > 0, spread, 1)
            following = max(following, float(np.max(next_step, initial=0.0)))
            negative |= function is _variance and bool(np.any(by_order[self.order] < 0))
            by_order = by_order + (centre if function is _mean else 0)
            values.append(by_order[self.order])
            errors.append(error)
            terms.append(np.concatenate([by_order[:1], steps[: self.order]]))
        pack = partial(tf.nest.pack_sequence_as, self.structure)
        return CorrectedExpectation(
            pack(values), pack(errors), pack(terms), self._verdict(following, negative)
        )

    def _verdict(self, next_term, negative):
        k = float(np.max(pareto_k(np.concatenate(self.log_weights))))
        reasons = ["the variance is negative"] if negative else []
        if not k <= _LARGEST_K:
            reasons.append("the weights have a heavy tail")
        if not next_term <= _LARGEST_NEXT_TERM:
            reasons.append("the next term is not small")
        doubt = f"Do not trust order {self.order}, {' and '.join(reasons)}"
        message = (
            f"{doubt if reasons else f'Trust order {self.order}'}: k-hat {k:.2f}, next term "
            f"{next_term:.2f} of the spread of f under q."
        )
        return Verdict(not reasons, message, {"pareto_k": k, "next_term": next_term})


def _sums_of_weights(values, log_weights, order):
    """The sums of draws that come from elsewhere, all at once."""
    log_w = finite_log_weights(log_weights)
    sums = _Sums(len(log_w), order)
    sums.add(values, log_w)
    return sums


def _mean(moments):
    """<f> of <f> and <f^2>, which lie on the last axis."""
    return moments[..., 0]


def _variance(moments):
    return moments[..., 1] - moments[..., 0] ** 2


def _checked(values, log_w):
    """Values of f for draws with these log-weights, float64."""
    values = np.asarray(values, np.float64)
    if values.shape[: log_w.ndim] != log_w.shape:
        raise ValueError(
            f"f gave the shape {values.shape}, which has to begin with that of the log-weights, "
            f"{log_w.shape}: an axis for the draws, and those of the batch."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"f is not finite for {np.sum(~np.isfinite(values))} of {values.size} values: it needs "
            "a mean under the surrogate. Take a function that is finite at all of its draws."
        )
    return values


def _all_but_one(states: list[StreamingJointCumulants]) -> Iterator[StreamingJointCumulants]:
    """The union of all but each one, from unions of those before and those after it."""
    after = [states[-1]]
    for state in states[-2:0:-1]:
        after.append(state.merge(after[-1]))  # of the last, the last two, ..
    yield after[-1]
    before = states[0]
    for state, rest in zip(states[1:-1], after[-2::-1], strict=True):
        yield before.merge(rest)
        before = before.merge(state)
    yield before


def _sums_by_order(state):
    """<f>, <f> + <<f ln w>>, .. and the same of f^2, (max_order, .., 2)."""
    joint = state.cumulants()
    factorials = [math.factorial(n) for n in range(len(joint))]
    return np.cumsum(joint / np.reshape(factorials, [-1] + [1] * (joint.ndim - 1)), 0)
