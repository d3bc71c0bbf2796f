"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from rbm_tf.shared.types import PathLike

_partials: set[str] = set()  # folders of files that are being written


@contextlib.contextmanager
def written_whole(path: PathLike, overwrite: bool = True) -> Iterator[pathlib.Path]:
    """A path to write to in place of another; when all went well, the file is moved there.

    A full disk, an error or a kill at any moment leaves what stood at path as it was. The file is
    written under its own name in a new folder `.partial_*` beside path, which no other process
    knows; a kill can leave that folder behind. A file that is replaced passes its mode on, and a
    link goes on pointing to its file. Where path is a folder or a device, it is yielded itself.

    Args:
        path: where the file is to stand.
        overwrite: whether to replace a file that is there already.

    Yields:
        `pathlib.Path`, for one regular file.

    Raises:
        FileExistsError: if overwrite is False and path exists.
        OSError: if the file cannot be written.

    Example:
        >>> with written_whole("numbers.txt") as partial:
        ...     _ = partial.write_text("1 2 3")
        >>> pathlib.Path("numbers.txt").read_text()
        '1 2 3'
    """
    path = pathlib.Path(os.path.realpath(path))
    if path.exists() and not overwrite:
        raise _exists(path)
    if path.exists() and not path.is_file():
        yield path
        return
    try:
        with tempfile.TemporaryDirectory(prefix=".partial_", dir=path.parent) as folder:
            _partials.add(folder)
            try:
                partial = pathlib.Path(folder) / path.name  # Keras and matplotlib go by the ending
                yield partial
                _move(partial, path, overwrite)
            finally:
                _partials.discard(folder)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise OSError(
            f"{path} could not be written, and what stood there before is untouched: free some "
            f"space or choose another folder. {error}"
        ) from error


def _move(partial, path, overwrite):
    if partial.is_file():
        with open(partial, "rb+") as file:  # so that a power cut does not leave an empty file
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, partial)
        if not overwrite:  # unlike a move, a link fails where another process was faster
            os.link(partial, path)
            return
    os.replace(partial, path)


def _exists(path):
    return FileExistsError(
        f"{path} exists, and overwrite is False: choose another name, or pass overwrite=True."
    )


def write_text(path: PathLike, text: str) -> None:
    """Write a text file whole or not at all.

    Args:
        path: where the file is to stand.
        text: what it is to hold.

    Raises:
        OSError: if the file cannot be written.

    Example:
        >>> write_text("numbers.txt", "1 2 3")
    """
    with written_whole(path) as partial:
        partial.write_text(text)


def discard_partials() -> None:
    """Delete what `written_whole` has begun and not moved yet: for a process that ends at once.

    Example:
        >>> discard_partials()
    """
    for folder in tuple(_partials):
        shutil.rmtree(folder, ignore_errors=True)
