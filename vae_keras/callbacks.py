"""A callback that moves a scalar weight while `fit` runs: KL warm-up, temperature annealing."""

from typing import Any

import keras


class WeightSchedule(keras.callbacks.Callback):
    """Moves a scalar weight from start to end, linearly over the first num_epochs of training.

    The value follows batches where Keras knows how many an epoch has, else epochs; it is a function
    of the epoch and the batch alone, so that training resumed by `initial_epoch` or
    `BackupAndRestore` goes on at the right value. The logs hold it under the weight's name.

    Args:
        weight: scalar `keras.Variable` of a layer or a model, such as `AddKL().weight`, a sampling
            layer's `temperature` or an `ELBO`'s `beta`.
        start: the value before the first step.
        end: the value from num_epochs on.
        num_epochs: the length of the ramp in epochs, above 0; fractions count.
        cycle_epochs: the number of epochs after which the ramp begins anew, at least num_epochs;
            None makes one ramp only.

    Raises:
        ValueError: if weight is not a scalar variable, or a length does not fit.

    Reference: Bowman et al. (2016), Generating sentences from a continuous space (warm-up); Fu et
    al. (2019), Cyclical annealing schedule.

    Example:
        >>> add_kl = AddKL(BernoulliKL())
        >>> model = keras.Sequential([keras.layers.Dense(2), add_kl])
        >>> model.compile("sgd", "mse")
        >>> warm_up = WeightSchedule(add_kl.weight, num_epochs=2)
        >>> data = ops.zeros((8, 3)), ops.zeros((8, 2))
        >>> model.fit(*data, epochs=4, callbacks=[warm_up], verbose=0).history["weight"]
        [0.0, 0.5, 1.0, 1.0]
    """

    def __init__(
        self,
        weight: keras.Variable,
        *,
        start: float = 0.0,
        end: float = 1.0,
        num_epochs: float = 10,
        cycle_epochs: float | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(weight, keras.Variable) or tuple(weight.shape) != ():
            raise ValueError(
                "WeightSchedule takes the scalar variable itself, such as add_kl.weight; got "
                f"{weight!r}."
            )
        if not num_epochs > 0 or (cycle_epochs is not None and cycle_epochs < num_epochs):
            raise ValueError(
                "num_epochs must be above 0 and cycle_epochs None or at least num_epochs; got "
                f"num_epochs={num_epochs}, cycle_epochs={cycle_epochs}."
            )
        self.weight, self.start, self.end = weight, start, end
        self.num_epochs, self.cycle_epochs = num_epochs, cycle_epochs
        self._epoch, self._value = 0, None

    def value(self, epoch: float) -> float:
        """The weight's value after a number of epochs, which may be a fraction.

        Args:
            epoch: the number of epochs since training began, 0 or above.
        """
        if self.cycle_epochs is not None:
            epoch = epoch % self.cycle_epochs
        return self.start + (self.end - self.start) * min(1.0, epoch / self.num_epochs)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._value = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._set(self.value(epoch))

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        num_batches = (self.params or {}).get("steps")
        if num_batches:
            self._set(self.value(self._epoch + batch / num_batches))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs[self.weight.name] = self._value

    def _set(self, value):
        if value == self._value:
            return
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()  # on JAX the weights are elsewhere during an epoch
        self.weight.assign(value)
        self._value = value
