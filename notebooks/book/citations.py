"""Citations in the text, such as Hinton (2002), and their keys in references.bib, such as hinton2002."""

import functools
import pathlib
import re
import unicodedata

BIBLIOGRAPHY = pathlib.Path(__file__).parent.parent / "references.bib"
NAME = r"[A-Z][^\W\d_]+(?:-[A-Z][^\W\d_]+)?"
CITATION = re.compile(
    rf"\b({NAME}(?:, {NAME})*(?:,? and {NAME}| and others| et al\.)?),? \(?((?:1[89]|20)\d\d)\b"
)


@functools.cache
def keys():
    """The keys of all entries of the bibliography, which is read once."""
    return tuple(re.findall(r"^@\w+\{(\w+),", BIBLIOGRAPHY.read_text(), re.MULTILINE))


def citations(text):
    """The matches of citations in a text, and for each the keys that it may have, by its names."""
    for found in CITATION.finditer(text):
        plain = unicodedata.normalize("NFKD", found[1]).encode("ascii", "ignore").decode().lower()
        names = re.findall(r"[a-z]+", re.sub(r" and others| et al\.", "", plain))
        yield found, [f"{name}{found[2]}" for name in names if name != "and"]
