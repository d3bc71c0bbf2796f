"""Training for a command line: a progress bar, one file, and an end that can be asked for."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import keras
from tqdm.keras import TqdmCallback

from rbm_tf.command_line import interruptions
from rbm_tf.shared.checkpoints import are_finite, arrays_of


def fit(
    model: keras.Model,
    path: pathlib.Path,
    epochs: int,
    saved_model: keras.Model | None = None,
    **kwargs: Any,
) -> None:
    """Train with a progress bar over epochs, and save the model whole or not at all.

    Ctrl-C or SIGTERM ends training with the batch, or with the batches of one execution. What was
    trained so far is saved if that is one epoch at least; what stood at path stays otherwise. A
    second Ctrl-C leaves at once.

    Args:
        model: compiled Keras model.
        path: the .keras file to write.
        epochs: the number of epochs.
        saved_model: the model to save, where that is not the trained one.
        **kwargs: further arguments of `model.fit`.

    Raises:
        ValueError: if path is a folder, or the loss or a weight becomes NaN or infinite.

    Example:
        >>> rbm = BernoulliRBM(64, 16)
        >>> fit(rbm, pathlib.Path("rbm.keras"), epochs=2, x=np.eye(64))
        >>> keras.models.load_model("rbm.keras").num_hidden
        16
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: move it away or choose another with --output")
    with interruptions.deferred() as signals:
        guard = _guard(signals)
        callbacks = [TqdmCallback(epochs, verbose=0), guard]
        model.fit(epochs=epochs, verbose=0, callbacks=callbacks, **kwargs)
        if guard.broken:
            raise ValueError(
                f"training broke down in epoch {guard.broken}: the loss or a weight became NaN or "
                f"infinite, and {path} was not written; lower --learning-rate, or see that the "
                "data have the scale that the model takes"
            )
        if guard.epochs:
            (saved_model or model).save(path)
    if signals and guard.epochs:
        message = f"Stopped after {guard.epochs} epochs; the model so far is in {path}."
        interruptions.leave(signals[0], message)
    elif signals:
        interruptions.leave(signals[0], f"Stopped in the first epoch; {path} was not written.")


def _guard(signals):
    """A callback that stops on a signal or a blow-up, and counts complete epochs in `epochs`."""

    def see_signals(batch, logs):
        guard.complete = batch + 1 >= guard.params["steps"]
        guard.model.stop_training |= bool(signals)

    def see_numbers(epoch, logs):
        guard.epochs += guard.complete
        if not (math.isfinite(logs["loss"]) and are_finite(arrays_of(guard.model))):
            guard.broken, guard.model.stop_training = epoch + 1, True

    guard = keras.callbacks.LambdaCallback(on_train_batch_end=see_signals, on_epoch_end=see_numbers)
    guard.epochs, guard.broken = 0, None
    return guard
