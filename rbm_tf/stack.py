"""A second RBM on the hidden units of a first one: a deep belief network of two machines.

p(v, h) = p_1(v | h) p_2(h): the hidden units h of the first machine are the visible units of the
second one, and p_2(h) = exp(-F_2(h)) / Z_2 takes the place of p_1(h). For h from p_1(h | v) the
log-weights are

    ln w = ln p_1(v | h) + ln p_2(h) - ln p_1(h | v) = -F_1(v) + G_1(h) - F_2(h) - ln Z_2

where F_1(v) is the first machine's free energy with h summed out, and G_1(h) the one with v
summed out: p_1(v | h) = exp(G_1 - E_1) and p_1(h | v) = exp(F_1 - E_1), so that E_1 cancels, and
Z_1 is not needed. <w> = p(v), and <ln w> is a bound on ln p(v) (B59). Where the second machine is
the first one turned around, F_2 = G_1 and Z_2 = Z_1: every weight is p_1(v).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from rbm_tf import enumeration
from rbm_tf.gibbs import gibbs_sample
from rbm_tf.machine import (
    Machine,
    clamped_free_energy,
    hidden_input,
    machine_of,
    unit_energy,
    visible_input,
)
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike, RBMLike
from rbm_tf.state_sums import MAX_STATES, is_quick

_ROWS = 10_000  # of hidden states in memory at once
_STATES = 4096  # of the layer in the middle, at once


class Stack:
    """Two RBMs, one on the other: p(v, h) = p_1(v | h) p_2(h).

    A value: it keeps the parameters that the machines have now, in float64, and training them
    further does not change it. Layers may have any units.

    Args:
        first: the machine of the data, `RBM`, `Machine`, or anything else with the parameters of
            an RBM.
        second: a machine whose visible units are of the kind of the first one's hidden units.
        log_z: ln Z of the second machine, in nats, such as `ais(second).log_z`; None where it can
            be enumerated in seconds, or is not needed, as for samples.

    Raises:
        ValueError: if the layers do not fit, or log_z is no number.

    Reference: Hinton, Osindero and Teh (2006), A fast learning algorithm for deep belief nets;
    Salakhutdinov and Murray (2008), section 4.

    Example:
        >>> first = BernoulliRBM(6, 4, seed=0)
        >>> stack = Stack(first, turned_around(first))  # is the first machine
        >>> bool(np.allclose(stack.log_likelihood(np.eye(6)), -first.free_energy(np.eye(6))
        ...     - log_z(first)))
        True
    """

    def __init__(self, first: RBMLike, second: RBMLike, *, log_z: float | None = None) -> None:
        self.first: Machine = machine_of(first, dtype=tf.float64)
        self.second: Machine = machine_of(second, dtype=tf.float64)
        self._given_log_z = None if log_z is None else _number(log_z)
        middle, prior = self.first.hidden, self.second.visible
        if middle.kind != prior.kind:
            raise ValueError(
                "The second machine's visible units must be of the kind of the first one's hidden "
                f"units; got {prior!r} on {middle!r}. Begin with turned_around(first), or make "
                "RBM(first.hidden, ..)."
            )

    @functools.cached_property
    def log_z(self) -> float:
        """ln Z of the second machine, nats: as given, or else exact.

        Raises:
            ValueError: if it was not given and takes too long to enumerate.
        """
        if self._given_log_z is not None:
            return self._given_log_z
        if not is_quick(self.second):
            raise ValueError(
                f"ln Z of the second machine, of {self.second.visible!r} and "
                f"{self.second.hidden!r}, takes too long to enumerate. Estimate it and give it: "
                "Stack(first, second, log_z=ais(second).log_z)."
            )
        return enumeration.log_z(self.second)

    def log_weights(
        self, v: ArrayLike, num_samples: int, *, seed: int | tf.Tensor | None = None
    ) -> tf.Tensor:
        """ln w = -F_1(v) + G_1(h) - F_2(h) - ln Z_2 of draws of h from p_1(h | v).

        Their mean over axis 0 is a bound on ln p(v); `rbm_tf.estimates.estimate_log_z` averages the
        weights themselves, and all other estimates of the evidence take them too.

        Args:
            v: visible states, (batch, num_visible).
            num_samples: the number of draws for each.
            seed: integer or (2,) int32 tensor that fixes the draws.

        Returns:
            (num_samples, batch), float64, nats.

        Raises:
            ValueError: if v are no states of the visible units, num_samples is below 1, or ln Z of
                the second machine is not known.

        Reference: B59; as an ELBO with an RBM as prior, B58.

        Example:
            >>> first = BernoulliRBM(6, 4, seed=0)
            >>> log_weights = Stack(first, BernoulliRBM(4, 3, seed=1)).log_weights(np.eye(6), 50)
            >>> estimate_log_z(log_weights).log_z.shape
            (6,)
        """
        check_counts(num_samples=num_samples)
        v = self._states(v)
        inputs, batch = hidden_input(self.first, v), len(v)
        together = max(1, _ROWS // batch)  # draws of the whole batch
        seeds = tf.random.split(as_seed(seed), -(-num_samples // together))
        gains = []
        for index, block_seed in enumerate(tf.unstack(seeds)):
            size = min(together, num_samples - index * together)
            h = self.first.hidden.sample(tf.tile(inputs, (size, 1)), seed=block_seed)
            gains.append(tf.reshape(self._gain(h), (size, batch)))
        return tf.concat(gains, 0) + self._constant(v, inputs)

    def bound(
        self,
        v: ArrayLike,
        *,
        num_samples: int | None = None,
        seed: int | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """<ln w> over p_1(h | v), which is ln p(v) or below it.

        Args:
            v: visible states, (batch, num_visible).
            num_samples: the number of draws for each; None sums over all h, which must be finitely
                many, up to 2^25.
            seed: integer or (2,) int32 tensor that fixes the draws.

        Returns:
            (batch,), float64, nats; exact, or the mean of `log_weights`.

        Raises:
            ValueError: as `log_weights`, or if there are too many h to sum over.

        Example:
            >>> stack = Stack(BernoulliRBM(6, 4, seed=0), BernoulliRBM(4, 3, seed=1))
            >>> bool(np.all(stack.bound(np.eye(6)) <= stack.log_likelihood(np.eye(6))))
            True
        """
        if num_samples is not None:
            return tf.reduce_mean(self.log_weights(v, num_samples, seed=seed), 0)
        v = self._states(v)
        inputs = hidden_input(self.first, v)
        means = [tf.linalg.matvec(tf.exp(log_q), gain) for log_q, gain in self._all_hidden(inputs)]
        return tf.add_n(means) + self._constant(v, inputs)

    def log_likelihood(self, v: ArrayLike) -> tf.Tensor:
        """The exact ln p(v) = ln sum_h p_1(v | h) p_2(h), summed over all h.

        Args:
            v: visible states, (batch, num_visible).

        Returns:
            (batch,), float64, nats.

        Raises:
            ValueError: if v are no states of the visible units, there are more than 2^25 h, or ln Z
                of the second machine is not known.

        Example:
            >>> stack = Stack(BernoulliRBM(3, 2, seed=0), BernoulliRBM(2, 2, seed=1))
            >>> states = stack.first.visible.layer_states()
            >>> round(float(tf.reduce_logsumexp(stack.log_likelihood(states))), 9) + 0.0
            0.0
        """
        v = self._states(v)
        inputs = hidden_input(self.first, v)
        parts = [tf.reduce_logsumexp(log_q + gain, -1) for log_q, gain in self._all_hidden(inputs)]
        return tf.reduce_logsumexp(tf.stack(parts), 0) + self._constant(v, inputs)

    def sample(
        self,
        num_samples: int,
        num_steps: int = 1000,
        *,
        progress: bool = True,
        seed: int | tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Draw from the model: h by Gibbs chains of the second machine, then v given h.

        The chains start from units without fields and need to forget that: compare two values of
        num_steps. Where they do not leave a mode, `sample_visible(tempered_sample(second, 100))`
        has other chains draw h.

        Args:
            num_samples: the number of chains, of which each gives one sample.
            num_steps: the number of sweeps of each chain.
            progress: whether to show a progress bar, which appears after two seconds.
            seed: integer or (2,) int32 tensor that fixes the draws.

        Returns:
            Visible states, (num_samples, num_visible), float64.

        Raises:
            ValueError: if one of the numbers is below 1.

        Example:
            >>> stack = Stack(BernoulliRBM(6, 4, seed=0), BernoulliRBM(4, 3, seed=1))
            >>> stack.sample(5, num_steps=10, seed=0).shape
            TensorShape([5, 6])
        """
        top_seed, seed = tf.unstack(tf.random.split(as_seed(seed)))
        check_counts(num_samples=num_samples)
        start = tf.zeros((num_samples, self.second.num_hidden), self.second.dtype)
        h = gibbs_sample(self.second, start, num_steps, progress=progress, seed=top_seed)
        return self.sample_visible(h, seed=seed)

    def sample_visible(self, h: ArrayLike, *, seed: int | tf.Tensor | None = None) -> tf.Tensor:
        """Draw v from p_1(v | h), the step down from the layer in the middle.

        Args:
            h: states of the layer in the middle, (num, num_hidden) of the first machine.
            seed: integer or (2,) int32 tensor that fixes the draws.

        Returns:
            Visible states, (num, num_visible), float64.

        Raises:
            ValueError: if h are no states of that layer.

        Example:
            >>> second = BernoulliRBM(4, 3, seed=1)
            >>> h = tempered_sample(second, 5, num_steps=10, seed=0)
            >>> Stack(BernoulliRBM(6, 4, seed=0), second).sample_visible(h, seed=1).shape
            TensorShape([5, 6])
        """
        h = tf.constant(self.first.hidden.check(h, name="h"), tf.float64)
        return self.first.visible.sample(visible_input(self.first, h), seed=seed)

    def _states(self, v: ArrayLike) -> tf.Tensor:
        return tf.constant(self.first.visible.check(v, name="v"), tf.float64)

    def _constant(self, v: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        """What all log-weights of a v share, -F_1(v) - ln Z_2, (batch,)."""
        return -clamped_free_energy(self.first, v, inputs=inputs) - self.log_z

    def _gain(self, h: tf.Tensor) -> tf.Tensor:
        """G_1(h) - F_2(h), what the second machine gives h beyond the first one, (num,)."""
        return clamped_free_energy(self.first.transposed, h) - clamped_free_energy(self.second, h)

    def _all_hidden(self, inputs: tf.Tensor) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Yield ln q(h | v), (batch, num), and G_1(h) - F_2(h), (num,), of all h block by block."""
        middle = self.first.hidden
        total = middle.num_layer_states
        if total is None or total > MAX_STATES:
            number = "infinitely many" if total is None else "too many"
            raise ValueError(
                f"The exact sum takes a layer in the middle of up to 2^25 states; {middle!r} have "
                f"{number}. Draw log_weights, whose mean is the bound; estimate_log_z of "
                "rbm_tf.estimates makes ln p(v) of them."
            )
        log_norm = tf.reduce_sum(middle.cgf(inputs), -1)[:, tf.newaxis]
        for first in range(0, total, _STATES):
            h = middle.layer_states(first=first, num_states=min(_STATES, total - first))
            logits = tf.matmul(inputs, h, transpose_b=True) - unit_energy(middle, h)
            yield logits - log_norm, self._gain(h)


def _number(log_z):
    try:
        value = float(log_z)
    except TypeError:
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"log_z must be a number of nats, such as ais(second).log_z; got {log_z}.")
    return value
