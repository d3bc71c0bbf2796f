"""Closed forms of the KL by the pair of families, as terms that sum to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rbm_tf.shared.types import Tensor

_RULES: dict[tuple[type, type], Callable[..., Tensor]] = {}


def kl_rule(
    q_class: type, p_class: type
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register the closed form of KL(q || p) for a pair of classes; use it as a decorator.

    The function takes (q, q_statistics, p, p_statistics, is_standard), the last one true if p is
    known to be the standard member, and returns the terms, (rows, ..), or None where it has no
    closed form after all. A subclass needs a rule of its own: its density may be another one.

    Args:
        q_class: class of the first part.
        p_class: class of the second part.

    Example:
        >>> class Rounded(Gaussian):
        ...     "Draws that are rounded."
        >>> @kl_rule(Rounded, Gaussian)
        ... def rounded(q, q_statistics, p, p_statistics, is_standard):
        ...     return ops.zeros_like(q_statistics[0])
        >>> pair = ops.ones((1, 2)), ops.zeros((1, 2))
        >>> print(ops.convert_to_numpy(kl_terms(Rounded(), pair, Gaussian(), pair)))
        [[0. 0.]]
    """

    def register(rule):
        _RULES[q_class, p_class] = rule
        return rule

    return register


def kl_terms(
    q: Any, q_statistics: Any, p: Any, p_statistics: Any, *, is_standard: bool | None = None
) -> Tensor | None:
    """The terms of KL(q || p) in closed form, for each row; None where the pair has none.

    Args:
        q: the part whose draws count.
        q_statistics: its statistics, nested tensors (rows, ..); None for those of its own.
        p: the other part.
        p_statistics: its statistics, with as many rows.
        is_standard: whether p is the standard member of its family; by default what p says.

    Returns:
        (rows, ..), nats, or None.

    Raises:
        ValueError: if p is not standard where the rule holds for that alone.

    Example:
        >>> pair, zeros = (ops.ones((1, 2)), ops.zeros((1, 2))), ops.zeros((1, 2))
        >>> print(ops.convert_to_numpy(kl_terms(Gaussian(), pair, Gaussian(), (zeros, zeros))))
        [[0.5 0.5]]
        >>> kl_terms(Gaussian(), pair, Bernoulli(), zeros) is None
        True
    """
    rule = _RULES.get((type(q.family()), type(p.family())))
    if rule is None:
        return None
    standard = p.is_standard if is_standard is None else is_standard
    return rule(q.family(), q_statistics, p.family(), p_statistics, standard)
