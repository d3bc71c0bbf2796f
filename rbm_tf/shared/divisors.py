"""Groups of equal size, such as of factors that are multiplied before one logarithm is taken."""


def largest_divisor(num: int, *, at_most: int) -> int:
    """The largest divisor of a number that is not above another one.

    Args:
        num: the number, 1 or more.
        at_most: what the divisor may be at most, 1 or more.

    Example:
        >>> largest_divisor(784, at_most=63), largest_divisor(499, at_most=63)
        (56, 1)
    """
    return max(size for size in range(1, at_most + 1) if num % size == 0)
