"""Ctrl-C and SIGTERM on a command line: leave at once, or when the work in hand is whole.

No exception is raised from a signal, which could end TensorFlow in the middle of its own work. A
thread hears the signals, so that they are heard while the main thread computes.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import NoReturn

from rbm_tf.shared import files

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_lock = threading.Lock()
_work: list[int] | None = None  # the signals sent to the work in hand
_screen = 2  # a file descriptor; `watched` takes a copy


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM end the process with one line and exit code 130 or 143.

    Signals that the process ignores already stay ignored, as Ctrl-C for a job in the background.

    Example:
        >>> with watched():
        ...     _ = sum(range(10))
    """
    global _screen
    if threading.current_thread() is not threading.main_thread():  # others may not set handlers
        yield
        return
    _screen = _copy_of_stderr()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    threading.Thread(target=_listen, args=(reader,), daemon=True).start()
    previous_writer = signal.set_wakeup_fd(writer)
    heard = [signum for signum in _SIGNALS if signal.getsignal(signum) != signal.SIG_IGN]
    previous = {signum: signal.signal(signum, lambda *_: None) for signum in heard}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(previous_writer)
        os.close(writer)
        os.close(_screen)
        atexit.register(_ignore)


@contextlib.contextmanager
def deferred() -> Iterator[list[int]]:
    """Inside, the first signal only enters the list that this yields; a second one ends at once.

    Whoever works looks at the list from time to time, finishes, and calls `leave`.

    Example:
        >>> with deferred() as signals:
        ...     for number in range(10):
        ...         if signals:
        ...             break
    """
    global _work
    with _lock:
        signals: list[int] = []
        _work = signals
    try:
        yield signals
    finally:
        with _lock:
            _work = None


def leave(signum: int, message: str) -> NoReturn:
    """Print one line to stderr and end the process with exit code 128 + signum.

    The interpreter is not taken down piece by piece: TensorFlow's threads may still be at work.

    Args:
        signum: the number of the signal.
        message: the line to print.

    Example:
        >>> leave(signal.SIGINT, "Stopped.")  # doctest: +SKIP
    """
    try:
        files.discard_partials()
        os.write(_screen, f"\n{message}\n".encode())
    finally:
        os._exit(128 + signum)


def _listen(reader):
    with open(reader, "rb", buffering=0) as pipe:
        while signum := pipe.read(1):
            if signum[0] in _SIGNALS:
                _hear(signum[0])


def _hear(signum):
    with _lock:
        if _work is None or _work:
            leave(signum, "Stopped.")
        _work.append(signum)


def _copy_of_stderr():
    """While TensorFlow starts, `quiet_start` points stderr elsewhere; this is the screen still."""
    with contextlib.suppress(OSError):
        return os.dup(2)
    return os.open(os.devnull, os.O_WRONLY)  # stderr is closed


def _ignore():
    """All is done and written: a signal while the interpreter ends changes nothing any more."""
    for signum in _SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
