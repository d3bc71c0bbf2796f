import functools
import pathlib

import jupytext
import pytest
from citations import citations, keys

NOTEBOOKS = pathlib.Path(__file__).parent.parent / "notebooks"
CHAPTERS = sorted(NOTEBOOKS.glob("[0-9]*.py"))


def prose(path):
    cells = jupytext.read(path).cells
    return " ".join(" ".join(cell.source for cell in cells).replace("\n# ", " ").split())


@functools.cache
def cited(path):
    """The entries that a chapter cites, and the citations that have none."""
    found = {match[0]: set(names) & set(keys()) for match, names in citations(prose(path))}
    missing = [text for text, entries in found.items() if not entries]
    return set().union(*found.values()), missing


def test_keys_are_there_once():
    assert len(keys()) == len(set(keys())) > 50


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_citation_of_a_chapter_is_in_the_bibliography(chapter):
    assert cited(chapter)[1] == []


def test_every_entry_is_cited_by_a_chapter():
    assert set(keys()) == set().union(*(cited(chapter)[0] for chapter in CHAPTERS))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("by Hinton (2002), who", "hinton2002"),
        ("(Burda, Grosse and Salakhutdinov 2016)", "burda2016"),
        ("(Noé et al. 2019)", "noe2019"),
        ("(WHAM, Ferrenberg and Swendsen 1989)", "ferrenberg1989"),
        ("(Bamler and others, 2017)", "bamler2017"),
    ],
)
def test_citations_are_found_by_first_author_and_year(text, key):
    ((_, names),) = citations(text)
    assert key in names


@pytest.mark.parametrize("text", ["in 1982 it was", "Chapter 2 has 1999 states", "(2.1) and 2048"])
def test_a_number_is_no_citation(text):
    assert list(citations(text)) == []
