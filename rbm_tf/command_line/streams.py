"""Standard output and standard error that may be closed, full, or no longer read."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def usable_streams() -> Iterator[None]:
    """Open closed standard streams to the null device, and let no lost message stop the work.

    Python has None for a stream that is closed when it starts, and the next file to be opened would
    get its number. Standard output then writes characters that its encoding lacks as escapes.

    Example:
        >>> with usable_streams():
        ...     print("result")
        result
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _to_null(number)
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    stderr, sys.stderr = sys.stderr, _Messages(sys.stderr)
    try:
        yield
    finally:
        sys.stderr = stderr


@contextlib.contextmanager
def standard_output(remedy: str) -> Iterator[None]:
    """Around what prints results: a reader that has left ends the program quietly, with code 0.

    Args:
        remedy: where the results are, or what to do, the end of the error message.

    Raises:
        ValueError: if standard output cannot be written to, as on a full disk.

    Example:
        >>> with standard_output("choose another disk"):
        ...     print("result")
        result
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        _to_null(sys.stdout.fileno())  # or Python would try again at its end, and exit with 120
        if isinstance(error, BrokenPipeError):
            sys.exit(0)
        raise ValueError(f"cannot write to standard output ({error.strerror}): {remedy}") from error


class _Messages:
    """A stream of messages whose loss does no harm; after a failure all go to the null device."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._without_harm():
            self._stream.write(text)
        self.flush()
        return len(text)

    def flush(self) -> None:
        with self._without_harm():
            self._stream.flush()

    @contextlib.contextmanager
    def _without_harm(self):
        try:
            yield
        except OSError:
            _to_null(self._stream.fileno())


def _to_null(number):
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, number)
    if null != number:
        os.close(null)
