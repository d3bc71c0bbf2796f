"""Seeds as users give them: integers of Python, NumPy or a framework."""

import operator

LIMIT = 2**31  # of seeds that become the first of two int32 numbers


def integer_seed(seed, limit=None):
    """The seed as a Python integer; None, which stands for another one every time, stays None.

    Args:
        seed: integer of any kind, or None.
        limit: the first integer that is too large; None: there is none.

    Returns:
        int or None.

    Raises:
        ValueError: if it is no integer, or outside 0 .. limit - 1 where there is a limit.

    Example:
        >>> integer_seed(np.int64(3))
        3
    """
    if seed is None:
        return None
    try:
        value = operator.index(seed)
    except TypeError as error:
        raise ValueError(f"seed must be an integer or None; got {seed!r}.") from error
    if limit is not None and not 0 <= value < limit:
        raise ValueError(f"seed must be from 0 to {limit - 1}; got {value}.")
    return value
