"""What to watch while an RBM trains: pseudo-likelihood, overfitting, likelihood, divergence.

The callbacks add their values to Keras's logs at the end of an epoch. The progress bar, the history
and every callback that stands after them in the list (EarlyStopping, ModelCheckpoint, CSVLogger,
TensorBoard) see those values as they see the loss. Keras cannot guess which way such a value
improves: give `mode="max"` for likelihoods, `mode="min"` for the gap.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rbm_tf import annealing, enumeration
from rbm_tf.pseudo_likelihood import stochastic_pseudo_log_likelihood
from rbm_tf.shared.arrays import as_array
from rbm_tf.shared.checkpoints import are_finite, arrays_of, variables_of
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.seeds import as_seed
from rbm_tf.shared.types import ArrayLike
from rbm_tf.stability import largest_coupling
from rbm_tf.state_sums import is_quick
from rbm_tf.units import Unit

_BLOCK = 10_000  # examples in memory at once
_MAX_EXACT_STATES = 2**16  # more would take longer than many an epoch


class _Monitor(keras.callbacks.Callback):
    """Adds `values()` to the logs after the first epoch and after every `every`-th.

    In between it repeats the last values, so that all columns of a history are equally long.
    """

    takes_means = False  # of the units, such as grey levels of binary ones

    def __init__(self, every: int, **arrays: np.ndarray) -> None:
        super().__init__()
        check_counts(every=every)
        self.every = every
        self._arrays = arrays
        self._last: dict[str, float] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._last = {}
        unit = getattr(self.model, "visible", None)
        if not isinstance(unit, Unit):
            raise ValueError(
                f"{type(self).__name__} watches an RBM; got a {type(self.model).__name__}."
            )
        for name, x in self._arrays.items():
            unit.check(x, name=name, means=self.takes_means)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._last or (epoch + 1) % self.every == 0:
            self._last = self.values()
        if logs is not None:
            logs.update(self._last)

    def values(self) -> dict[str, float]:
        """What to log now, by name."""
        raise NotImplementedError

    def mean_free_energy(self, x: np.ndarray) -> float:
        return _mean([self.model.free_energy(block) for block in _blocks(x)])


class PseudoLikelihood(_Monitor):
    """Logs the stochastic pseudo-log-likelihood of an array, averaged over its examples.

    The pixels are chosen once, the same ones at every epoch: epochs differ by the parameters alone.

    Args:
        x: visible states, (num, num_visible).
        name: the name of the value in the logs, where it stands in nats.
        every: the number of epochs from one evaluation to the next; it evaluates after the first
            epoch and after those that `every` divides, and repeats the last value in between.
        seed: integer that fixes the choice of pixels.

    Raises:
        ValueError: if x is no matrix of finite numbers or every is below 1; when training begins,
            if x are no states of the visible units.

    Reference: `stochastic_pseudo_log_likelihood`.

    Example:
        >>> x = np.eye(64)
        >>> monitor = PseudoLikelihood(x, name="val_pseudo_log_likelihood", seed=0)
        >>> stop = keras.callbacks.EarlyStopping("val_pseudo_log_likelihood", mode="max")
        >>> history = BernoulliRBM(64, 16).fit(x, epochs=2, verbose=0, callbacks=[monitor, stop])
        >>> len(history.history["val_pseudo_log_likelihood"])
        2
    """

    def __init__(
        self,
        x: ArrayLike,
        *,
        name: str = "pseudo_log_likelihood",
        every: int = 1,
        seed: int | None = None,
    ) -> None:
        self.x = _examples(x, "x")
        super().__init__(every, x=self.x)
        self.name = name
        self.seed = as_seed(seed)

    def values(self) -> dict[str, float]:
        by_block = [
            stochastic_pseudo_log_likelihood(
                self.model, block, seed=tf.random.fold_in(self.seed, index)
            )
            for index, block in enumerate(_blocks(self.x))
        ]
        return {self.name: _mean(by_block)}


class FreeEnergyGap(_Monitor):
    """Logs `free_energy_gap`: mean F_c(validation data) - mean F_c(training data), in nats.

    ln Z drops out of the difference: it is the mean ln p(v) of the training data less that of the
    validation data. Around zero while the model generalises; its growth is overfitting. As many
    training examples as there are in validation serve, drawn once and the same at every epoch.

    Args:
        x_train: training data, states of the visible units or means, (num, num_visible).
        x_validation: validation data, likewise.
        every: the number of epochs from one evaluation to the next; it evaluates after the first
            epoch and after those that `every` divides, and repeats the last value in between.

    Raises:
        ValueError: if data are no matrix of finite numbers or every is below 1; when training
            begins, if they are no states or means of the visible units.

    Reference: Hinton (2012), A practical guide to training restricted Boltzmann machines, section
    6; B5.

    Example:
        >>> x = np.eye(64)
        >>> gap = FreeEnergyGap(x[:48], x[48:], every=10)
        >>> history = BernoulliRBM(64, 16).fit(x[:48], verbose=0, callbacks=[gap])
        >>> len(history.history["free_energy_gap"])
        1
    """

    takes_means = True

    def __init__(self, x_train: ArrayLike, x_validation: ArrayLike, *, every: int = 1) -> None:
        x_train = _examples(x_train, "x_train")
        self.x_validation = _examples(x_validation, "x_validation")
        order = np.random.default_rng(0).permutation(len(x_train))
        self.x_train = x_train[order[: len(self.x_validation)]]
        super().__init__(every, x_train=self.x_train, x_validation=self.x_validation)

    def values(self) -> dict[str, float]:
        validation, train = map(self.mean_free_energy, (self.x_validation, self.x_train))
        return {"free_energy_gap": validation - train}


class LogLikelihood(_Monitor):
    """Logs `log_z` and `log_likelihood`, the mean of ln p(v) = -F_c(v) - ln Z, in nats.

    ln Z is exact if a layer has at most 2^16 states, or the pair has an integral. Otherwise it is
    estimated by annealed importance sampling, and `log_z_standard_error` joins the logs, which
    is that of log_likelihood as well. An estimate tends to put ln Z too low and the likelihood too
    high: before a result is reported, `rbm_tf.annealing.reverse_ais` bounds it from the other side.

    Args:
        x: visible states, (num, num_visible).
        every: the number of epochs from one evaluation to the next; it evaluates after the first
            epoch and after those that `every` divides, and repeats the last values in between.
        num_chains: the number of chains, as `rbm_tf.annealing.ais` takes it.
        betas: the inverse temperatures, (num_betas,), as `rbm_tf.annealing.ais` takes them.
        seed: integer that fixes the estimate, the same at every epoch.

    Raises:
        ValueError: if x is no matrix of finite numbers or every is below 1; when training begins,
            if x are no states of the visible units; at the first estimate, if `ais` refuses its
            arguments.

    Reference: Salakhutdinov and Murray (2008), On the quantitative analysis of deep belief
    networks; B5.

    Example:
        >>> x = np.eye(16)
        >>> monitor = LogLikelihood(x, every=5)
        >>> history = BernoulliRBM(16, 4).fit(x, epochs=10, verbose=0, callbacks=[monitor])
        >>> len(set(history.history["log_likelihood"]))  # after epochs 1, 5 and 10
        3
    """

    def __init__(
        self,
        x: ArrayLike,
        *,
        every: int = 1,
        num_chains: int = 100,
        betas: ArrayLike | None = None,
        seed: int | None = 0,
    ) -> None:
        self.x = _examples(x, "x")
        super().__init__(every, x=self.x)
        self.num_chains, self.betas, self.seed = num_chains, betas, seed

    def values(self) -> dict[str, float]:
        rbm, logs = self.model, {}
        if not all(np.all(np.isfinite(part)) for part in rbm.machine.parameters):
            return dict.fromkeys(("log_z", "log_likelihood"), np.nan)  # after a blow-up
        if is_quick(rbm, max_states=_MAX_EXACT_STATES):
            logs["log_z"] = enumeration.log_z(rbm)
        else:
            estimate = annealing.ais(
                rbm,
                num_chains=self.num_chains,
                betas=self.betas,
                progress=False,  # Keras draws its own bar
                seed=self.seed,
            )
            logs["log_z"] = estimate.log_z
            logs["log_z_standard_error"] = estimate.standard_error
        return {**logs, "log_likelihood": -self.mean_free_energy(self.x) - logs["log_z"]}


class StopWhenNotFinite(keras.callbacks.Callback):
    """Stops the training of any Keras model whose loss or weights become NaN or infinite.

    Training ends with the batch that shows such a loss, or with the epoch that leaves such weights.
    A warning names the epoch, and weights and optimizer go back to where they were before it;
    `keras.callbacks.TerminateOnNaN` would leave both broken. Put it first in the list, so that the
    callbacks after it see the restored model.

    Raises:
        ValueError: when training begins, if the model is not built or, when its first epoch does,
            not finite.

    Example:
        >>> rbm = BernoulliRBM(64, 16)
        >>> history = rbm.fit(np.eye(64), verbose=0, callbacks=[StopWhenNotFinite()])
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.model.built:
            raise ValueError(
                "StopWhenNotFinite keeps the weights from the start, and this model has none yet: "
                "begin it with keras.Input or call it once on data."
            )
        if not self.model.optimizer.built:  # Keras would only build it in the first step
            self.model.optimizer.build(self.model.trainable_variables)
        self._loss_is_finite = True
        self._kept: list[np.ndarray] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._kept:
            return
        self._kept = arrays_of(self.model)  # not earlier: another callback may restore a backup
        if not are_finite(self._kept):
            raise ValueError(
                "The model has weights that are NaN or infinite before training starts: build it "
                "again or load a checkpoint."
            )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss", 0)  # a Python float: Keras makes it one at every step
        if not math.isfinite(loss):
            self._loss_is_finite = False
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        arrays = arrays_of(self.model)
        if self._loss_is_finite and are_finite(arrays):
            self._kept = arrays
            return
        for variable, value in zip(variables_of(self.model), self._kept, strict=True):
            variable.assign(value)
        self.model.stop_training = True
        warnings.warn(
            f"Training stopped in epoch {epoch + 1}: the loss or a weight became NaN or infinite. "
            f"The model is back to where it was before that epoch; {self._remedy()}",
            stacklevel=2,
        )

    def _remedy(self):
        machine: Any = getattr(self.model, "machine", None)
        without_limit = machine is not None and self.model.max_coupling is None
        if without_limit and not (machine.visible.is_bounded or machine.hidden.is_bounded):
            return (
                "its chains have most likely diverged, as those of two layers of unbounded units "
                "may where lambda_max(K) reaches 1 (see rbm_tf.stability.largest_coupling; it was "
                f"{largest_coupling(machine):.3g} there). Train with max_coupling=0.95, or lower "
                "the learning rate."
            )
        return (
            "lower the learning rate, or scale the data, if they lie far outside the range that "
            "the model expects."
        )


def _examples(x, name):
    """Data as a matrix of finite numbers; the model knows more when training begins."""
    x = as_array(x, None, name)
    if x.ndim != 2 or not x.size:
        raise ValueError(
            f"{name} must have shape (num, num_visible), with num of 1 or more; got {x.shape}. "
            "Flatten images with x.reshape(len(x), -1)."
        )
    if not np.all(np.isfinite(x)):
        raise ValueError(f"{name} must hold finite numbers, without NaN.")
    return x


def _blocks(x):
    return [x[start : start + _BLOCK] for start in range(0, len(x), _BLOCK)]


def _mean(blocks):
    """The mean over all examples of float32 blocks, added up in float64."""
    return float(np.concatenate(blocks).mean(dtype=float))
