"""Models and backups that are written whole or not at all, with faults named with the remedy."""

from __future__ import annotations

import contextlib
import io
import pathlib
import shutil
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from rbm_tf.shared.files import written_whole
from rbm_tf.shared.types import PathLike

_Model: Any = object  # keras.Model, which a subclass has behind this class among its bases


class WholeFiles(_Model):
    """A Keras model's `save`, `save_weights` and `load_weights`, safe against faults of files.

    A file is written beside its place and then moved there, so that a full disk or an interruption
    leaves the old file as it was. Weights that cannot be loaded leave the model as it was. Put it
    before `keras.Model` among the bases; Keras's callbacks then use it too.

    Raises:
        OSError: if a file cannot be written, or not be read to its end.
        FileExistsError: if overwrite is False and the file is there.
        ValueError: if a file of weights belongs to a model of another layout, or weights are to be
            saved in several files.

    Example:
        >>> class Model(WholeFiles, keras.Model):
        ...     pass
    """

    def save(
        self,
        filepath: PathLike,
        overwrite: bool = True,
        zipped: bool | None = None,
        **kwargs: Any,
    ) -> None:
        remote = "://" in str(filepath)
        place = contextlib.nullcontext(filepath) if remote else written_whole(filepath, overwrite)
        with place as partial:
            super().save(partial, zipped=zipped, **kwargs)

    def save_weights(
        self,
        filepath: PathLike,
        overwrite: bool = True,
        max_shard_size: float | None = None,
    ) -> None:
        if max_shard_size is not None:
            raise ValueError(
                "Weights in several files cannot be written whole or not at all: leave "
                f"max_shard_size away; got {max_shard_size}."
            )
        if "://" in str(filepath):  # remote storage
            super().save_weights(filepath, overwrite)
            return
        content = _InMemory(filepath)  # HDF5 itself ends the process where the disk is full
        super().save_weights(content)
        with written_whole(filepath, overwrite) as partial:
            partial.write_bytes(content.getbuffer())

    def load_weights(self, filepath: PathLike, *args: Any, **kwargs: Any) -> None:
        variables, before = variables_of(self), arrays_of(self)
        try:
            super().load_weights(filepath, *args, **kwargs)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError) as error:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
            kind, remedy = _diagnosis(error)
            message = f"{filepath} {remedy} The model is as it was before. Keras says: {error}"
            raise kind(message) from error


def _diagnosis(error):
    """The type to raise, and what is wrong with the file and what to do."""
    if isinstance(error, OSError):
        return OSError, "is not a whole file of weights: take an earlier checkpoint or train again."
    return ValueError, (
        "belongs to a model of another layout: build the model with the sizes and the options of "
        "the one that saved it."
    )


class _InMemory(io.BytesIO):
    """What Keras writes as a file: it takes this for one with the name's ending."""

    def __init__(self, filepath: PathLike) -> None:
        super().__init__()
        self._name = str(filepath)

    def __str__(self):
        return self._name


def variables_of(model: keras.Model) -> list[Any]:
    """All variables of a model and of its optimizer.

    Args:
        model: Keras model, compiled or not.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> len(variables_of(model))
        2
    """
    optimizer = getattr(model, "optimizer", None)
    return [*model.variables, *(optimizer.variables if optimizer else ())]


def arrays_of(model: keras.Model) -> list[np.ndarray]:
    """The values of `variables_of`, as arrays.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> [array.shape for array in arrays_of(model)]
        [(2, 1), (1,)]
    """
    return [keras.ops.convert_to_numpy(variable) for variable in variables_of(model)]


def are_finite(arrays: Iterable[np.ndarray]) -> bool:
    """Whether no array holds a NaN or an infinite value.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> are_finite(arrays_of(model))
        True
    """
    return all(bool(np.all(np.isfinite(array))) for array in arrays)


class BackupAndRestore(keras.callbacks.Callback):
    """Backs training up after every epoch, and goes on from there after an interruption.

    As `keras.callbacks.BackupAndRestore`, but a kill at any moment leaves one whole backup: the
    model, the optimizer and the number of epochs are one file, `backup.npz`, which is replaced as a
    whole. `fit` goes on after the last complete epoch.

    An epoch that was cut short, or left NaN or infinite weights, is not backed up, and the backup
    before it then stays when training ends. It holds the learning rate too: after a blow-up, delete
    it, or set the rate by a callback. The folder serves one training at a time.

    Args:
        backup_dir: the folder of the backup.
        save_freq: "epoch" and nothing else. In the middle of an epoch the order of the data and the
            means of the metrics could not be taken up again.
        delete_checkpoint: whether to delete the backup when training is complete.

    Raises:
        ValueError: if backup_dir is empty or save_freq is another; when training begins, if the
            model has no weights yet, or the backup cannot be read or has another layout; later, if
            another training writes to the folder.
        OSError: if the backup cannot be written.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> backup = BackupAndRestore("backup", delete_checkpoint=False)
        >>> history = model.fit(np.eye(2), np.ones(2), epochs=3, verbose=0, callbacks=[backup])
        >>> history = model.fit(np.eye(2), np.ones(2), epochs=5, verbose=0, callbacks=[backup])
        >>> len(history.history["loss"])  # epochs 4 and 5
        2
    """

    def __init__(
        self,
        backup_dir: PathLike,
        save_freq: str = "epoch",
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not str(backup_dir):
            raise ValueError("backup_dir is empty: name a folder for the backup.")
        if save_freq != "epoch":
            raise ValueError(
                "BackupAndRestore goes on exactly between epochs alone: leave save_freq away; got "
                f"{save_freq!r}."
            )
        self.path = pathlib.Path(backup_dir) / "backup.npz"
        self.delete_checkpoint = delete_checkpoint

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.model.built:
            raise ValueError(
                "BackupAndRestore restores weights, and this model has none yet: begin it with "
                "keras.Input or call it once on data."
            )
        if not self.model.optimizer.built:  # its state is restored as well
            self.model.optimizer.build(self.model.trainable_variables)
        for left_by_a_kill in self.path.parent.glob(".partial_*"):
            shutil.rmtree(left_by_a_kill, ignore_errors=True)
        self._stamp = self._stamp_of_file()
        if self._stamp:
            self.model._initial_epoch = self._restore()
        self._steps, self._complete = self._count_steps(), True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.model._initial_epoch = None  # it would count for all later calls of `fit`

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        steps = self._count_steps()
        cut = self.model.stop_training and steps - self._steps < (self.params["steps"] or 1)
        arrays = arrays_of(self.model)
        self._complete, self._steps = not cut and are_finite(arrays), steps
        if self._complete:
            self._refuse_another_training()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.path) as partial:
                np.savez(partial, *map(_as_plain, arrays), epoch=epoch + 1)
            self._stamp = self._stamp_of_file()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.model._initial_epoch = None
        if self.delete_checkpoint and self._complete:
            self._refuse_another_training()
            self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # where others keep their files in it
                self.path.parent.rmdir()

    def _restore(self):
        """Take up the state of the backup; returns the number of complete epochs."""
        try:
            with open(self.path, "rb") as file, np.load(file) as kept:
                epoch = int(kept["epoch"])
                arrays = [kept[f"arr_{index}"] for index in range(len(kept) - 1)]
        except Exception as error:  # NumPy raises many types
            raise ValueError(
                f"{self.path} is not a whole backup: delete it and train again. {error}"
            ) from error
        variables = variables_of(self.model)
        if [array.shape for array in arrays] != [tuple(v.shape) for v in variables]:
            raise ValueError(
                f"{self.path} belongs to a model of another layout: build the model and its "
                "optimizer as they were, or choose another folder."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        return epoch

    def _refuse_another_training(self):
        if self._stamp_of_file() not in (None, self._stamp):
            raise ValueError(
                f"{self.path} was written by another training since this one began: choose another "
                "folder for one of them."
            )

    def _stamp_of_file(self):
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _count_steps(self):
        return int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))


def _as_plain(array):
    """A file of NumPy knows no bfloat16, all of whose values are in float32."""
    return array if array.dtype.kind in "biuf" else array.astype("float32")
