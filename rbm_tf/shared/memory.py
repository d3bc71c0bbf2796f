"""What needs more memory than there is is refused before it begins."""

import os
import pathlib

_CONTAINER = pathlib.Path("/sys/fs/cgroup/memory.max")  # a number of bytes, or the word max


def check_memory(num_bytes: float, what: str, remedy: str) -> None:
    """Refuse what needs more than the memory of this machine, or of its container.

    Args:
        num_bytes: an estimate of the memory that is needed.
        what: what needs it, the beginning of the error message.
        remedy: what to do, the end of the error message.

    Raises:
        ValueError: if there is less memory.

    Example:
        >>> check_memory(1000, "a small model", "choose a smaller one")
    """
    if num_bytes > memory():
        raise ValueError(
            f"{what} needs about {num_bytes / 2**30:,.0f} GiB of memory, and there are "
            f"{memory() / 2**30:,.0f} GiB: {remedy}."
        )


def memory() -> int:
    """The memory of this machine, or of its container where that has less, in bytes.

    Example:
        >>> memory() > 2**20
        True
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _CONTAINER.read_text().strip() if _CONTAINER.is_file() else "max"
    return min(total, int(limit)) if limit.isdecimal() else total
