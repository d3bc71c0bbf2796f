"""Kinds of units on the command line of RBMs: their names, and the data sets that they take.

Nothing heavy is imported before it is needed, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rbm_tf.command_line.arguments import DATASETS
from rbm_tf.command_line.program import load_data, refuse_path

if TYPE_CHECKING:
    import numpy as np

VISIBLE = ("binary", "spin", "gaussian", "truncated_exponential", "potts:q")
HIDDEN = (*VISIBLE, "relu", "drelu")
PIXELS = ("binary", "spin", "truncated_exponential")  # the kinds of visible units for grey levels
OF_OTHERS = {"gaussian": ("wine", "patches"), "potts": ("digit_levels",)}  # the default first
ALL_DATASETS = (*DATASETS, *(name for names in OF_OTHERS.values() for name in names))
_MOST_LEVELS = 17  # of the grey levels of digits


def one_of(kinds: Sequence[str]) -> Callable[[str], str]:
    """An argparse type: the name of a kind of units, as `rbm_tf.units.units_by_name` takes it.

    Args:
        kinds: the names that are allowed; potts:q stands for any q of 2 or more.

    Example:
        >>> one_of(VISIBLE)("potts:3")
        'potts:3'
    """

    def kind(text):
        states = re.fullmatch("potts:([0-9]{1,6})", text)
        if (text in kinds and text != "potts:q") or (states and int(states[1]) > 1):
            return text
        names = ", ".join(kinds)
        raise argparse.ArgumentTypeError(
            f"{text!r} is not one of {names}, with a number q of states of 2 or more"
        )

    return kind


def known(model: pathlib.Path, units: object, kind: str | None) -> str:
    """The kind of a model's visible units, refused where no data set here is of it.

    Args:
        model: the file of the model.
        units: the visible units, for the message.
        kind: their name, or None.

    Returns:
        The name.

    Raises:
        ValueError: if there are no data for it.

    Example:
        >>> known("rbm.keras", Spin(3), "spin")
        'spin'
    """
    if kind is None or kind.split(":")[0] not in (*PIXELS, *OF_OTHERS):
        raise ValueError(
            f"the visible units of {model} are {units!r}, and no data set here is of that kind: "
            "evaluate it in Python, with rbm_tf.evaluation.judged_log_z and its free_energy"
        )
    return kind


def settle(options: argparse.Namespace, kind: str) -> None:
    """Fill in the data set and the binarisation that go with visible units; refuse others.

    Args:
        options: the parsed arguments; dataset and binarization are None where nobody named one.
        kind: the kind of the visible units.

    Raises:
        ValueError: if a data set or a binarisation does not go with the kind.

    Example:
        >>> options = argparse.Namespace(dataset=None, binarization=None)
        >>> settle(options, "gaussian")
        >>> options.dataset
        'wine'
    """
    name, _, states = kind.partition(":")
    sets = OF_OTHERS.get(name, DATASETS)
    options.dataset = options.dataset or ("digits" if name in PIXELS else sets[0])
    if options.dataset not in sets:
        raise ValueError(
            f"--dataset {options.dataset} holds no states of {kind} units, which are those of "
            f"{' or '.join(sets)}: name one of these, or other --visible units in train"
        )
    if states and int(states) > _MOST_LEVELS:
        raise ValueError(
            f"digits have {_MOST_LEVELS} grey levels, too few for {kind} units: choose "
            f"--visible potts:{_MOST_LEVELS} or fewer states"
        )
    drawn = options.binarization not in (None, "none")
    if (options.binarization and name in OF_OTHERS) or (drawn and name == PIXELS[-1]):
        raise ValueError(
            f"--binarization {options.binarization} is for pixels of binary or spin units, and the "
            f"visible units are {kind}: leave it out"
        )
    default = "bernoulli" if name in PIXELS[:2] else "none"
    options.binarization = options.binarization or default


def check_hidden(options: argparse.Namespace) -> None:
    """Refuse hidden units that would be others under another name.

    Args:
        options: the parsed arguments of train.

    Raises:
        ValueError: if dReLU units do not learn their parameters.

    Example:
        >>> check_hidden(argparse.Namespace(hidden_units="relu", unit_rate=0.0))
    """
    if options.hidden_units == "drelu" and not options.unit_rate:
        raise ValueError(
            "drelu units begin as gaussian ones and stay so without learning: give --unit-rate "
            "0.1, or --hidden-units gaussian"
        )


def load_states(options: argparse.Namespace, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The data set that the options name as states of visible units, training and test set.

    Args:
        options: the parsed arguments, after `settle`.
        kind: the kind of the visible units.

    Returns:
        Two arrays (num, num_columns).

    Example:
        >>> options = argparse.Namespace(dataset="wine", data_path=None)
        >>> [x.shape for x in load_states(options, "gaussian")]
        [(142, 13), (36, 13)]
    """
    name, _, states = kind.partition(":")
    if name in OF_OTHERS:
        from rbm_tf.datasets import LOADERS_BY_UNITS

        refuse_path(options)
        loader = LOADERS_BY_UNITS[name][options.dataset]
        (x_train, _), (x_test, _) = loader(int(states)) if states else loader()
    else:
        (x_train, _), (x_test, _) = load_data(options)
    if name == "spin":
        x_train, x_test = 2 * x_train - 1, 2 * x_test - 1
    return x_train.reshape(len(x_train), -1), x_test.reshape(len(x_test), -1)
