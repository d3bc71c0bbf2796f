"""What the two command lines share: one-line errors, data and models, tables.

Nothing heavy is imported before it is needed, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import pathlib
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rbm_tf.command_line import interruptions
from rbm_tf.command_line.arguments import fail, shortened
from rbm_tf.command_line.streams import standard_output, usable_streams
from rbm_tf.shared import files, saving
from rbm_tf.shared.memory import check_memory

if TYPE_CHECKING:
    import numpy as np

    from rbm_tf.shared.types import DataSet

IN_PICTURE = 1000  # images at most
_WRITTEN = re.compile(r"(rbm|vae)(_[a-z_]+)?\.(keras|json|npy|npz|png)")
_LONGEST_CONFIG = 2**26  # bytes of a model's description


def run(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None = None,
    backends: Sequence[str] = ("tensorflow",),
) -> None:
    """Parse, start Keras quietly and act.

    What users cause ends in one line and exit code 2. Ctrl-C ends in one line and 130, SIGTERM in
    143; for a caller that gives the arguments, a notebook for instance, signals stay what they are.
    A command's `opening`, if it has one, goes to stderr before Keras starts, which takes seconds.

    Args:
        parser: what `arguments.build_parser` returned.
        arguments: list of strings; the default is what the program was called with.
        backends: the names of Keras's backends that the actions run on.
    """
    signals = interruptions.watched() if arguments is None else contextlib.nullcontext()
    with usable_streams(), signals:
        try:
            with standard_output("choose another place for it"):
                options = parser.parse_args(arguments)
            make_folder(options.output)
            check_places(options.output)
            if hasattr(options, "opening"):
                print(options.opening, file=sys.stderr, flush=True)
            _start_keras(backends)
            _act(options)
        except (ValueError, OSError) as error:
            fail(parser.prog, error)


def _start_keras(backends):
    """Import Keras and TensorFlow quietly, and see that Keras runs on one of the backends."""
    chosen = os.environ.get("KERAS_BACKEND", "named in keras.json")
    remedy = f"set the environment variable KERAS_BACKEND to {' or '.join(backends)}"
    try:
        from rbm_tf.quiet import quiet_start

        quiet_start()
        import keras
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"Keras does not start on the backend {chosen} ({error}): install it, or {remedy}"
        ) from error
    if keras.backend.backend() not in backends:
        raise ValueError(f"this command does not run on {keras.backend.backend()}: {remedy}")


def _act(options):
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(options.seed)
    try:
        options.action(options)
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise ValueError(
            "the memory does not suffice: choose a smaller model, batch or number "
            f"({shortened(error, 200)})"
        ) from error


def make_folder(folder: pathlib.Path) -> None:
    """Make the output folder, and see that it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # it has no name, so a signal leaves nothing
    except OSError as error:
        raise ValueError(
            f"cannot write to the output folder {folder} ({error.strerror}): choose another with "
            "--output"
        ) from error


def check_places(folder: pathlib.Path) -> None:
    """See that nothing but files stands where the commands write files."""
    for place in folder.iterdir():
        if _WRITTEN.fullmatch(place.name) and place.exists() and not place.is_file():
            raise ValueError(
                f"{place} is no regular file, and files of this name are written: move it, or "
                "choose another folder with --output"
            )


def load_data(options: argparse.Namespace) -> DataSet:
    """The data set that the options name: (x_train, y_train), (x_test, y_test), images."""
    from rbm_tf import datasets

    loader = datasets.LOADERS[options.dataset]
    if options.dataset in datasets.WITH_PATH:
        return loader(options.binarization, path=options.data_path, seed=options.seed)
    refuse_path(options)
    if options.dataset == "bars_and_stripes":
        return loader()
    return loader(options.binarization, seed=options.seed)


def refuse_path(options: argparse.Namespace) -> None:
    """See that no path is given for a data set that comes with the installation."""
    from rbm_tf import datasets

    if options.data_path:
        names = " or ".join(datasets.WITH_PATH)
        raise ValueError(
            f"--data-path {options.data_path} goes with --dataset {names}, and the data set is "
            f"{options.dataset}: name one of those, or leave the path out"
        )


def check_data(
    options: argparse.Namespace,
    x: np.ndarray,
    shape: Sequence[int],
    states: Sequence[float] | None,
) -> None:
    """See, before the work, that a model takes the data and that ln p of them means something.

    Args:
        options: the parsed arguments.
        x: data, (num, ..).
        shape: the shape of one example, as the model takes it.
        states: the two states of a pixel if the model's likelihood is one of binary pixels.
    """
    if x.shape[1:] != tuple(shape):
        raise ValueError(
            f"{options.model} takes data of shape {tuple(shape)}, but {options.dataset} has "
            f"{x.shape[1:]}: name the --dataset that the model was trained on"
        )
    if states and not ((x == states[0]) | (x == states[1])).all():
        raise ValueError(
            f"this model's likelihood is one of binary pixels, and --binarization "
            f"{options.binarization} leaves grey levels: choose threshold or bernoulli"
        )


def load_model(path: pathlib.Path, *kinds: type) -> Any:
    """Load a .keras file of one of these classes, safely; a ValueError says what is wrong."""
    import keras
    import numpy as np

    if not path.is_file():
        found = "is no regular file" if path.exists() else "does not exist"
        raise ValueError(f"there is no model file {path}: it {found}; make one with train")
    wanted = " or ".join(kind.__name__ for kind in kinds)
    remedy = f"give a model, {wanted}, that this command's train saved"
    try:
        name = _registered_name(path)
        right = name in map(keras.saving.get_registered_name, kinds)
        model = saving.load_model(path) if right else None
    except Exception as error:  # Keras raises many types for a file that is not a model
        raise ValueError(
            f"{path} is not a model that Keras can load ({shortened(error, 200)}): {remedy}"
        ) from error
    if model is None:
        raise ValueError(f"{path} holds a {name.split('>')[-1]}: {remedy}")
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise ValueError(f"the weights in {path} are not all finite: train again, at a lower rate")
    return model


def _registered_name(path):
    """The name of the model's class in a .keras file, of which nothing is built yet."""
    with zipfile.ZipFile(path) as file:
        size = sum(member.file_size for member in file.infolist())
        check_memory(size, "what it holds", "choose a smaller model")
        with file.open("config.json") as config:
            return str(json.loads(config.read(_LONGEST_CONFIG))["registered_name"])


def show(
    options: argparse.Namespace,
    results: dict[str, Any] | list[dict[str, Any]],
    tables: Sequence[str],
    name: str,
) -> None:
    """Print results as tables or as JSON, and write the JSON to output/name.json.

    Args:
        options: the parsed arguments.
        results: what JSON can hold; numbers that are not finite become null.
        tables: the tables as strings, printed one below the other.
        name: the name of the JSON file, without ending.
    """
    text = json.dumps(_finite(results), indent=2, allow_nan=False)
    path = options.output / f"{name}.json"
    try:
        files.write_text(path, text + "\n")
    finally:
        with standard_output(f"the results are in {path}"):
            print(text if options.json else "\n\n".join(tables))


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(rows: Iterable[Mapping[str, Any]], formats: Mapping[str, str]) -> str:
    """Lay out rows as a text table.

    Args:
        rows: for each row its values by the names of columns; None prints as a blank.
        formats: for each column a format such as "+.3f", or "" for text.

    Returns:
        The lines of the table, the names of columns first.

    Example:
        >>> print(table([{"method": "exact", "ln Z": 44.76}], {"method": "", "ln Z": ".1f"}))
        method  ln Z
        exact   44.8
    """
    cells = [list(formats)]
    for row in rows:
        values = ((row.get(column), form) for column, form in formats.items())
        cells.append(["" if value is None else format(value, form) for value, form in values])
    widths = [max(len(row[i]) for row in cells) for i in range(len(formats))]
    aligned = []
    for line in cells:
        columns = zip(line, widths, formats.values(), strict=True)
        aligned.append(
            "  ".join(
                cell.rjust(width) if form else cell.ljust(width) for cell, width, form in columns
            ).rstrip()
        )
    return "\n".join(aligned)
