"""Start TensorFlow without its start-up messages, and with an allocator that keeps its memory."""

import contextlib
import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def muted_stderr() -> Iterator[None]:
    """In a block, point file descriptor 2 at the null device.

    TensorFlow's C++ side and other processes write there directly.

    Example:
        >>> with muted_stderr():
        ...     _ = sys.stderr.write("nobody reads this")
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def quiet_start() -> None:
    """Import TensorFlow and Keras without their start-up messages.

    Call it before the first `import keras`; later imports find the modules loaded. Warnings of
    TensorFlow's own Python code about the libraries it uses are hidden, also when TensorFlow
    Probability is imported later, and those that a graph was traced often, as it is when one
    program makes several models; all others stay.

    It also lets TensorFlow keep freed memory for the next step. By default it returns every large
    tensor to the system and asks for it again, which cost a third of the time of training. And it
    keeps Python's garbage collector away from the million objects that are imported, now and later:
    they stay, and looking for garbage among them took a fifth of the time of the imports.

    Example:
        >>> from rbm_tf.quiet import quiet_start
        >>> quiet_start()
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    warnings.filterwarnings("ignore", module="tensorflow|tf_keras|tensorflow_probability")
    warnings.filterwarnings("ignore", message="distutils Version classes are deprecated")
    with muted_stderr(), _collector_paused():
        import keras  # noqa: F401
        import tensorflow as tf

        tf.config.list_physical_devices()
    logging.getLogger("tensorflow").addFilter(_is_for_users)


@contextlib.contextmanager
def _collector_paused():
    """In a block, no collection of garbage; if it imports, what is there then is left alone."""
    enabled, num_modules = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > num_modules:  # a second call leaves what users made since alone
            gc.freeze()
        if enabled:
            gc.enable()


def _is_for_users(record):
    """Not about graphs that are traced often, nor about what tf_keras still uses."""
    message = record.getMessage()
    return not any(words in message for words in ("triggered tf.function retracing", "tf_keras"))
