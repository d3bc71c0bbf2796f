import importlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"


def table():
    lines = (NOTEBOOKS / "EQUATIONS.md").read_text().splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("| B")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def numbered_sections(notebook):
    """The text of each section of a source, from its heading "## N. " to the next "## "."""
    source = (NOTEBOOKS / f"{notebook}.py").read_text()
    heading = r"^# ## (\d+)\. [^\n]*\n(.*?)(?=^# ## |\Z)"
    return dict(re.findall(heading, source, re.MULTILINE | re.DOTALL))


def named_sections(row):
    """The sections that the table names for a row, as pairs of notebook and number."""
    cells = re.findall(r"\(([^)]+)\.ipynb\) ((?:(?:, )?§\d+)+)", ROWS[row][3])
    return {(notebook, number) for notebook, part in cells for number in re.findall(r"\d+", part)}


ROWS = table()
SECTIONS = {path.stem: numbered_sections(path.stem) for path in NOTEBOOKS.glob("[0-9]*.py")}


def test_rows_are_numbered_in_order():
    assert list(ROWS) == [f"B{number}" for number in range(1, 60)]
    assert all(len(cells) == 4 and cells[0] for cells in ROWS.values())


@pytest.mark.parametrize("row", ROWS)
def test_row_names_code_and_test_that_exist(row):
    _, code, test, _ = ROWS[row]
    assert bool(code) == bool(test), "a row has both code and a test, or neither"
    for name in re.findall(r"`([^`]+)`", code):
        package, module, *attributes = name.split(".")
        value = importlib.import_module(f"{package}.{module}")
        for attribute in attributes:
            value = getattr(value, attribute)
    for file, function in re.findall(r"`([^`:]+)::([^`]+)`", test):
        source = (ROOT / "tests" / file).read_text()
        assert re.search(rf"^def {function}\(", source, re.MULTILINE)
        start = source.index(f"def {function}(")
        assert re.search(rf"\b{row}\b", source[start:].split("\ndef ")[0]), (
            f"{function} cites {row}"
        )


@pytest.mark.parametrize("row", ROWS)
def test_every_section_that_a_row_names_cites_the_row(row):
    assert len(named_sections(row)) == ROWS[row][3].count("§") > 0
    for notebook, number in sorted(named_sections(row)):
        cited = re.search(rf"\b{row}[a-z]?\b", SECTIONS[notebook][number])  # B26, or its part B26a
        assert cited, f"{notebook}, section {number}, never cites {row}"


@pytest.mark.parametrize("notebook", sorted(SECTIONS))
def test_every_row_that_tags_an_equation_of_a_section_names_that_section(notebook):
    for number, text in SECTIONS[notebook].items():
        for tag in re.findall(r"\\tag\{([^}]*)\}", text):
            for row in re.findall(r"\bB\d+", tag):
                assert (notebook, number) in named_sections(row), f"{row} omits section {number}"


def test_every_row_that_code_and_notebooks_cite_exists():
    files = [*ROOT.glob("*_*/*.py"), *ROOT.glob("tests/*.py"), *NOTEBOOKS.glob("*.py")]
    cited = {row for file in files for row in re.findall(r"\bB[1-9]\d*\b", file.read_text())}
    assert cited <= set(ROWS)
