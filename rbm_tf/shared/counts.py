"""One door for numbers of chains, samples, steps: integers, and large enough."""

import operator
from typing import Any


def check_counts(at_least: int = 1, **counts: Any) -> None:
    """Refuse counts that are no integers, or too small.

    Args:
        at_least: the smallest integer that will do.
        **counts: the counts by the names that they have as arguments.

    Raises:
        ValueError: with the name and what was received.

    Example:
        >>> check_counts(num_chains=10, num_steps=1)
    """
    for name, value in counts.items():
        try:
            large_enough = operator.index(value) >= at_least
        except TypeError:
            large_enough = False
        if not large_enough:
            raise ValueError(f"{name} must be an integer of {at_least} or more; got {value!r}.")
