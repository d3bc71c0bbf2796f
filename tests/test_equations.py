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


ROWS = table()


def test_rows_are_b1_to_b33_in_order():
    assert list(ROWS) == [f"B{number}" for number in range(1, 34)]
    assert all(len(cells) == 4 and cells[0] for cells in ROWS.values())


@pytest.mark.parametrize("row", ROWS)
def test_row_names_code_test_and_section_that_exist(row):
    _, code, test, sections = ROWS[row]
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
    for notebook, numbers in re.findall(r"\(([^)]+)\.ipynb\) ((?:(?:, )?§\d+)+)", sections):
        source = (NOTEBOOKS / f"{notebook}.py").read_text()
        for number in re.findall(r"\d+", numbers):
            assert re.search(rf"^# ## {number}\. ", source, re.MULTILINE)
        assert re.search(rf"\b{row}", source)
    assert sections.count("§") == len(re.findall(r"§\d", sections))


def test_every_row_that_code_and_notebooks_cite_exists():
    files = [*ROOT.glob("*_*/*.py"), *ROOT.glob("tests/*.py"), *NOTEBOOKS.glob("*.py")]
    cited = {row for file in files for row in re.findall(r"\bB\d+\b", file.read_text())}
    assert cited <= set(ROWS)
