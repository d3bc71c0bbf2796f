"""Models and backups that are written whole or not at all, with faults named with the remedy."""

import contextlib
import pathlib

import keras
import numpy as np

from rbm_tf.files import written_whole


class WholeFiles:
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

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        with _place(filepath, overwrite) as partial:
            super().save(partial, zipped=zipped, **kwargs)

    def save_weights(self, filepath, overwrite=True, max_shard_size=None):
        if max_shard_size is not None:
            raise ValueError(
                "Weights in several files cannot be written whole or not at all: leave "
                f"max_shard_size away; got {max_shard_size}."
            )
        with _place(filepath, overwrite) as partial:
            super().save_weights(partial)

    def load_weights(self, filepath, *args, **kwargs):
        variables = variables_of(self)
        before = [keras.ops.convert_to_numpy(variable) for variable in variables]
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


def _place(filepath, overwrite):
    if "://" in str(filepath):  # remote storage
        return contextlib.nullcontext(filepath)
    return written_whole(filepath, overwrite)


def variables_of(model):
    """All variables of a model and of its optimizer.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> len(variables_of(model))
        2
    """
    optimizer = getattr(model, "optimizer", None)
    return [*model.variables, *(optimizer.variables if optimizer else ())]


def is_finite(model):
    """Whether no variable of a model and its optimizer holds a NaN or an infinite value.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> is_finite(model)
        True
    """
    arrays = map(keras.ops.convert_to_numpy, variables_of(model))
    return all(bool(np.all(np.isfinite(array))) for array in arrays)


class BackupAndRestore(keras.callbacks.Callback):
    """Backs training up after every epoch, and goes on from there after an interruption.

    As `keras.callbacks.BackupAndRestore`, but a kill at any moment leaves one whole backup: the
    weights, the optimizer and the number of epochs are one file, `epoch_00000007.weights.h5`, which
    moves to its place before the one before it goes. `fit` goes on after the last complete epoch.

    An epoch that was cut short, or left NaN or infinite weights, is not backed up, and the backup
    before it then stays when training ends. It holds the learning rate too: after a blow-up, delete
    it, or load it with `load_weights` and set another rate. The folder serves one training at a
    time.

    Args:
        backup_dir: folder of the backup.
        save_freq: "epoch". In the middle of an epoch the order of the data and the means of the
            metrics could not be taken up again.
        delete_checkpoint: delete the backup when training is complete.

    Raises:
        ValueError: if backup_dir is empty or save_freq is another; when training begins, if the
            model has no weights yet, or those of the backup have another layout.
        OSError: if the backup cannot be written or read.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> backup = BackupAndRestore("backup", delete_checkpoint=False)
        >>> history = model.fit(np.eye(2), np.ones(2), epochs=3, verbose=0, callbacks=[backup])
        >>> history = model.fit(np.eye(2), np.ones(2), epochs=5, verbose=0, callbacks=[backup])
        >>> len(history.history["loss"])  # epochs 4 and 5
        2
    """

    def __init__(self, backup_dir, save_freq="epoch", delete_checkpoint=True):
        super().__init__()
        if not str(backup_dir):
            raise ValueError("backup_dir is empty: name a folder for the backup.")
        if save_freq != "epoch":
            raise ValueError(
                "BackupAndRestore goes on exactly between epochs alone: leave save_freq away; got "
                f"{save_freq!r}."
            )
        self.backup_dir = pathlib.Path(backup_dir)
        self.delete_checkpoint = delete_checkpoint

    def on_train_begin(self, logs=None):
        if not self.model.built:
            raise ValueError(
                "BackupAndRestore restores weights, and this model has none yet: begin it with "
                "keras.Input or call it once on data."
            )
        if not self.model.optimizer.built:  # its state is restored as well
            self.model.optimizer.build(self.model.trainable_variables)
        backups = self._backups()
        if backups:
            self.model.load_weights(backups[-1])
            self.model._initial_epoch = int(backups[-1].name[6:14])
        self._steps, self._complete = self._count_steps(), True

    def on_epoch_begin(self, epoch, logs=None):
        self.model._initial_epoch = None  # it would count for all later calls of `fit`

    def on_epoch_end(self, epoch, logs=None):
        steps = self._count_steps()
        cut = self.model.stop_training and steps - self._steps < (self.params["steps"] or 1)
        self._complete, self._steps = not cut and is_finite(self.model), steps
        if self._complete:
            self.backup_dir.mkdir(parents=True, exist_ok=True)
            path = self.backup_dir / f"epoch_{epoch + 1:08d}.weights.h5"
            with written_whole(path) as partial:
                self.model.save_weights(partial)
            _delete(backup for backup in self._backups() if backup < path)

    def on_train_end(self, logs=None):
        self.model._initial_epoch = None
        if self.delete_checkpoint and self._complete:
            _delete(self._backups())
            with contextlib.suppress(OSError):  # where others keep their files in it
                self.backup_dir.rmdir()

    def _backups(self):
        """The last one last; a kill can leave the one before it as well."""
        return sorted(self.backup_dir.glob(f"epoch_{8 * '[0-9]'}.weights.h5"))

    def _count_steps(self):
        return int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))


def _delete(paths):
    for path in paths:
        path.unlink(missing_ok=True)
