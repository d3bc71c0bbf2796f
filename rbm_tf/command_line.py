"""What the two command lines share: options, one-line errors, tables.

Nothing heavy is imported here, so that `--help` answers at once.
"""

import argparse
import contextlib
import json
import pathlib
import sys
import tempfile

from rbm_tf import files, interruptions

DATASETS = ("bars_and_stripes", "digits", "mnist", "fashion_mnist")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit code 2."""

    def error(self, message):
        fail(self.prog, f"{message} (see {self.prog} --help)")


def fail(program, message):
    """Print one line to stderr and exit with code 2."""
    print(f"{program}: error: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(2)


def build_parser(program, description, actions, own_options):
    """The parser of a command line with the commands demo, train, evaluate and sample.

    Args:
        program: what the user types, such as "python -m rbm_tf".
        description: one line.
        actions: dict from command name to (function of the parsed arguments, one line of help).
        own_options: dict from command name to a function that adds the model's own options.

    Returns:
        `Parser`.
    """
    parser = Parser(program, description=description)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    for name, (action, text) in actions.items():
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(action=action)
        if name in ("evaluate", "sample"):
            command.add_argument("model", type=pathlib.Path, help="a .keras file that train saved")
        if name in ("train", "evaluate"):
            _add_data_options(command)
        own_options.get(name, lambda command: None)(command)
        if name == "sample":
            command.add_argument("--num", type=at_least(1), default=100, help="images to draw")
        command.add_argument("--seed", type=int, default=0, help="same seed, same numbers")
        command.add_argument("--json", action="store_true", help="print JSON instead of a table")
        command.add_argument(
            "--output",
            type=pathlib.Path,
            default=pathlib.Path("outputs"),
            help="folder to write to",
        )
    return parser


def _add_data_options(parser):
    parser.add_argument("--dataset", choices=DATASETS, default="digits")
    parser.add_argument("--data-path", help="MNIST-like data: a .npz file or a folder of .gz files")
    parser.add_argument(
        "--binarization", choices=("none", "threshold", "bernoulli"), default="bernoulli"
    )


def add_training_options(parser, epochs, batch_size, learning_rate):
    """Add --epochs, --batch-size and --learning-rate with these defaults."""
    parser.add_argument("--epochs", type=at_least(1), default=epochs)
    parser.add_argument("--batch-size", type=at_least(1), default=batch_size)
    parser.add_argument("--learning-rate", type=positive, default=learning_rate)


def at_least(smallest):
    """An argparse type: an integer not below smallest."""

    def integer(text):
        if not text.lstrip("+-").isdigit() or int(text) < smallest:
            raise argparse.ArgumentTypeError(f"{text} is not an integer of {smallest} or more")
        return int(text)

    return integer


def positive(text):
    """An argparse type: a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def run(parser, arguments=None):
    """Parse, start TensorFlow quietly and act.

    Wrong input ends in one line and exit code 2. Ctrl-C ends in one line and 130, SIGTERM in 143;
    for a caller that gives the arguments, a notebook for instance, signals stay what they are.
    """
    with interruptions.watched() if arguments is None else contextlib.nullcontext():
        options = parser.parse_args(arguments)
        try:
            make_folder(options.output)
            from rbm_tf.quiet import quiet_start

            quiet_start()
            import keras

            keras.utils.set_random_seed(options.seed % 2**32)
            options.action(options)
        except (ValueError, OSError) as error:
            fail(parser.prog, error)


def make_folder(folder):
    """Make the output folder, and see that it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=".partial_", dir=folder).cleanup()
    except OSError as error:
        raise ValueError(
            f"cannot write to the output folder {folder} ({error.strerror}): choose another with "
            "--output"
        ) from error


def load_data(options):
    """The data set that the options name: (x_train, y_train), (x_test, y_test), images."""
    from rbm_tf import datasets

    loader = datasets.LOADERS[options.dataset]
    if options.dataset == "bars_and_stripes":
        return loader()
    if options.dataset == "digits":
        return loader(options.binarization, options.seed)
    return loader(options.binarization, options.seed, options.data_path)


def load_model(path, kind):
    """Load a .keras file in safe mode; a ValueError says what is wrong with it."""
    import keras

    if not path.is_file():
        raise ValueError(f"there is no model file {path}: make one with train")
    try:
        model = keras.models.load_model(path)
    except Exception as error:  # Keras raises many types for a file that is not a model
        raise ValueError(f"{path} is not a model that Keras can load: {error}") from error
    if not isinstance(model, kind):
        raise ValueError(
            f"{path} holds a {type(model).__name__}, not a {kind.__name__}: give a model that this "
            "command's train saved"
        )
    return model


def show(options, results, tables, name):
    """Print results as tables or as JSON, and write the JSON to output/name.json.

    Args:
        options: parsed arguments.
        results: what JSON can hold.
        tables: list of strings.
        name: of the JSON file, without ending.
    """
    text = json.dumps(results, indent=2)
    try:
        files.write_text(options.output / f"{name}.json", text + "\n")
    finally:
        print(text if options.json else "\n\n".join(tables))


def table(rows, formats):
    """Lay out rows as a text table.

    Args:
        rows: dicts; None prints as a blank.
        formats: dict from column name to a format such as "+.3f", or "" for text.

    Returns:
        str.

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
    for row in cells:
        columns = zip(row, widths, formats.values(), strict=True)
        aligned.append(
            "  ".join(
                cell.rjust(width) if form else cell.ljust(width) for cell, width, form in columns
            ).rstrip()
        )
    return "\n".join(aligned)
