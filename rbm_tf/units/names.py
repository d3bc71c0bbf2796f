"""Kinds of units by name, for programs, command lines and grids of parameters."""

from __future__ import annotations

import re

from rbm_tf.units.finite import Binary, Potts, Spin
from rbm_tf.units.gaussian import Gaussian
from rbm_tf.units.rectified import DReLU, ReLU
from rbm_tf.units.truncated_exponential import TruncatedExponential
from rbm_tf.units.unit import Unit

UNITS_BY_NAME: dict[str, type[Unit]] = {
    "binary": Binary,
    "spin": Spin,
    "gaussian": Gaussian,
    "relu": ReLU,
    "drelu": DReLU,
    "truncated_exponential": TruncatedExponential,
    "potts": Potts,
}


def units_by_name(name: str, *, num: int | None = None, num_columns: int | None = None) -> Unit:
    """Units of a kind, with the parameters that the kind has by default.

    Args:
        name: binary, spin, gaussian, relu, drelu, truncated_exponential, or potts:q with the number
            q of states, 2 or more, such as "potts:3".
        num: the number of units, or else
        num_columns: the number of columns of the data, q for each unit of potts:q.

    Returns:
        `Unit`.

    Raises:
        ValueError: for another name, a number below 1, or columns that are no whole units.

    Example:
        >>> units_by_name("gaussian", num=4), units_by_name("potts:3", num_columns=12)
        (Gaussian(4), Potts(4, 3))
    """
    kind, _, states = name.partition(":") if isinstance(name, str) else ("", "", "")
    potts = kind == "potts" and re.fullmatch("[0-9]{1,6}", states) and int(states) > 1
    if not potts and (kind == "potts" or states or kind not in UNITS_BY_NAME):
        others = ", ".join(other for other in UNITS_BY_NAME if other != "potts")
        raise ValueError(
            f"Units are called {others}, or potts:q with q of 2 or more, such as potts:3; got "
            f"{name!r}."
        )
    num_states = int(states) if potts else 1
    if num is None:
        num, rest = divmod(num_columns or 0, num_states)
        if rest:
            raise ValueError(
                f"Units {name} take {num_states} columns each, one-hot; got {num_columns} columns."
            )
    return Potts(num, num_states) if potts else UNITS_BY_NAME[kind](num)


def name_of_units(unit: Unit) -> str | None:
    """The name that `units_by_name` knows a kind by; None for Mixed and kinds of your own.

    Args:
        unit: the units.

    Returns:
        The name, or None.

    Example:
        >>> name_of_units(Potts(4, 3)), name_of_units(Mixed([Spin(2), Binary(3)]))
        ('potts:3', None)
    """
    names = {kind: name for name, kind in UNITS_BY_NAME.items()}
    if isinstance(unit, Potts):
        return f"potts:{unit.num_states}"
    return names.get(type(unit))
