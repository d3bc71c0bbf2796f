"""Name those of the given files that end badly, have spaces at ends of lines, or are too large."""

import pathlib
import sys

MAX_BYTES = 1_000_000


def faults(content):
    """What is wrong with the bytes of a file."""
    if len(content) > MAX_BYTES:
        yield f"is larger than {MAX_BYTES:,} bytes"
    if not content or b"\0" in content:  # empty, or no text
        return
    if not content.endswith(b"\n") or content.endswith(b"\n\n"):
        yield "does not end in one newline"
    if any(line != line.rstrip() for line in content.split(b"\n")):
        yield "has spaces or a carriage return at the end of a line"


found = [
    f"{name} {fault}" for name in sys.argv[1:] for fault in faults(pathlib.Path(name).read_bytes())
]
sys.exit("\n".join(found) or 0)
