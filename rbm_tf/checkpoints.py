"""Model files that are written whole or not at all, and whose faults are named with the remedy."""

import contextlib
import os
import pathlib


class WholeFiles:
    """A Keras model's `save`, `save_weights` and `load_weights`, safe against faults of files.

    A file is written beside its place and then moved there, so that a full disk or an interruption
    leaves the old file as it was. Weights that cannot be loaded leave the model as it was. Put it
    before `keras.Model` among the bases; Keras's callbacks then use it too.

    Raises:
        OSError: if a file cannot be written, or not be read to its end.
        ValueError: if a file of weights belongs to a model of another layout.

    Example:
        >>> class Model(WholeFiles, keras.Model):
        ...     pass
    """

    def save(self, filepath, *args, **kwargs):
        with _written_whole(filepath) as partial:
            super().save(partial, *args, **kwargs)

    def save_weights(self, filepath, *args, **kwargs):
        with _written_whole(filepath) as partial:
            super().save_weights(partial, *args, **kwargs)

    def load_weights(self, filepath, *args, **kwargs):
        optimizer = getattr(self, "optimizer", None)
        variables = [*self.variables, *(optimizer.variables if optimizer else ())]
        before = [variable.numpy() for variable in variables]
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


@contextlib.contextmanager
def _written_whole(filepath):
    """A path to write to, which is moved to filepath when all went well."""
    path = pathlib.Path(filepath)
    if "://" in str(filepath) or path.is_dir():
        yield filepath  # remote storage, and what Keras itself refuses
        return
    partial = path.with_name(f".{os.getpid()}_{path.name}")  # Keras goes by the ending
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise OSError(
            f"{path} could not be written, and what stood there before is untouched: free some "
            f"space or choose another folder. {error}"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
