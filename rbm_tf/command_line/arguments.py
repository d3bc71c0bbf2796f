"""The options of the two command lines; a wrong one is one line on standard error and exit code 2.

Nothing heavy is imported here, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

DATASETS = ("bars_and_stripes", "digits", "mnist_5k", "mnist", "fashion_mnist")  # datasets.LOADERS
_LONGEST = 600  # characters of a message; libraries write thousands


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit code 2.

    Example:
        >>> Parser("program").parse_args([])
        Namespace()
    """

    def error(self, message: str) -> NoReturn:
        usage = f"usage: {self.usage}; " if self.usage else ""
        fail(self.prog, f"{message} ({usage}see {self.prog} --help)")


class _WithDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Help that says the default of each option that has one."""

    def _get_help_string(self, action):
        has_one = not any(action.default is no for no in (None, False, argparse.SUPPRESS))
        return super()._get_help_string(action) if has_one else action.help


def fail(program: str, message: str | Exception) -> NoReturn:
    """Print one line to stderr and exit with code 2.

    Args:
        program: what the user typed, the beginning of the line.
        message: text or an exception; the middle of a long one is left out.

    Example:
        >>> fail("program", "nothing given")
        Traceback (most recent call last):
        SystemExit: 2
    """
    print(f"{program}: error: {shortened(message)}", file=sys.stderr)
    sys.exit(2)


def shortened(message: str | Exception, longest: int = _LONGEST) -> str:
    """A message as one line of about `longest` characters: its beginning and its end.

    Args:
        message: text or an exception.
        longest: the number of characters from which on the middle is left out.

    Example:
        >>> shortened("abcdefghijklmnopqrstuvwxyz", longest=10)
        'abcde ... vwxyz'
    """
    text = " ".join(str(message).split())
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


def typed(package: str) -> str:
    """What the user typed: the name of the installed script, or python -m and the package's.

    Example:
        >>> typed("rbm_tf")
        'python -m rbm_tf'
    """
    script = package.replace("_", "-")
    return script if pathlib.Path(sys.argv[0]).stem == script else f"python -m {package}"


def build_parser(
    program: str,
    description: str,
    actions: Mapping[str, tuple[Callable[[argparse.Namespace], None], str]],
    own_options: Mapping[str, Callable[[argparse.ArgumentParser], None]],
    datasets: Sequence[str] = DATASETS,
) -> Parser:
    """The parser of a command line with the commands demo, train, evaluate and sample.

    Args:
        program: what the user types, such as "python -m rbm_tf".
        description: one line on what the program is about.
        actions: for each command the function of the parsed arguments and one line of help.
        own_options: for each command, if any, a function that adds the model's own options.
        datasets: the names of the data sets of train and evaluate.

    Returns:
        `Parser`.

    Example:
        >>> parser = build_parser("program", "Adds.", {"demo": (print, "print")}, {})
        >>> parser.parse_args(["demo", "--seed", "3"]).seed
        3
    """
    usage = f"{program} COMMAND [options]"
    parser = Parser(program, usage=usage, description=description)
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", prog=program, parser_class=Parser
    )
    for name, (action, text) in actions.items():
        command = commands.add_parser(
            name, help=text, description=text, formatter_class=_WithDefaults
        )
        command.set_defaults(action=action)
        if name in ("evaluate", "sample"):
            command.add_argument("model", type=file_name, help="a .keras file that train saved")
        if name in ("train", "evaluate"):
            _add_data_options(command, datasets)
        own_options.get(name, lambda command: None)(command)
        if name == "sample":
            command.add_argument("--num", type=at_least(1), default=100, help="images to draw")
        seed = at_least(0, 2**31 - 1)
        command.add_argument("--seed", type=seed, default=0, help="same seed, same numbers")
        command.add_argument("--json", action="store_true", help="print JSON instead of a table")
        command.add_argument(
            "--output", type=file_name, default=pathlib.Path("outputs"), help="folder to write to"
        )
    return parser


def _add_data_options(parser, datasets):
    parser.add_argument("--dataset", choices=datasets, default="digits", help="the data")
    parser.add_argument(
        "--data-path",
        type=file_name,
        help="of mnist or fashion_mnist: a .npz file or a folder of .gz files",
    )
    parser.add_argument(
        "--binarization",
        choices=("none", "threshold", "bernoulli"),
        default="bernoulli",
        help="of grey levels; none has no likelihood under a model of binary pixels",
    )


def add_training_options(
    parser: argparse.ArgumentParser, epochs: int, batch_size: int, learning_rate: float
) -> None:
    """Add --epochs, --batch-size and --learning-rate with these defaults.

    Args:
        parser: the parser to add them to.
        epochs: the default number of epochs.
        batch_size: the default number of examples in a batch.
        learning_rate: the default learning rate.

    Example:
        >>> parser = Parser()
        >>> add_training_options(parser, epochs=2, batch_size=10, learning_rate=0.1)
        >>> parser.parse_args(["--epochs", "5"])
        Namespace(epochs=5, batch_size=10, learning_rate=0.1)
    """
    whole = at_least(1)
    parser.add_argument("--epochs", type=whole, default=epochs, help="passes over the data")
    parser.add_argument("--batch-size", type=whole, default=batch_size, help="of an update")
    parser.add_argument("--learning-rate", type=positive, default=learning_rate, help="its step")


def at_least(smallest: int, greatest: int = 10**9) -> Callable[[str], int]:
    """An argparse type: an integer from smallest to greatest, in plain digits.

    Args:
        smallest: the smallest integer that is allowed.
        greatest: the greatest integer that is allowed.

    Example:
        >>> at_least(1)("12")
        12
    """

    def integer(text):
        plain = re.fullmatch("[+-]?[0-9]{1,18}", text)  # int() takes other scripts' digits, and _
        if not plain or not smallest <= int(text) <= greatest:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not an integer from {smallest} to {greatest}"
            )
        return int(text)

    return integer


def positive(text: str) -> float:
    """An argparse type: a number above 0 that float32 holds, in plain digits.

    Example:
        >>> positive("1e-3")
        0.001
    """
    try:
        value = float(text) if text.isascii() and "_" not in text else 0.0
    except ValueError:
        value = 0.0
    if not 1e-37 <= value <= 3e38:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1e-37 to 3e38")
    return value


def positive_or_zero(text: str) -> float:
    """An argparse type: 0, or a number that `positive` takes.

    Example:
        >>> positive_or_zero("0")
        0.0
    """
    return 0.0 if text == "0" else positive(text)


def file_name(text: str) -> pathlib.Path:
    """An argparse type: the path of a file or a folder.

    Example:
        >>> file_name("outputs").name
        'outputs'
    """
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a file or a folder")
    return pathlib.Path(text)
