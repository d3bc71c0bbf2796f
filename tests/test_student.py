import ast
import pathlib

import nbformat
import pytest
from student import NO_CHECK, YOURS, stub_and_checks, student_edition, whole_solutions

TWINS = sorted((pathlib.Path(__file__).parent.parent / "notebooks").glob("[0-9]*.ipynb"))
SOLUTION = """\
# 3. The derivation, which is the answer.
def square(x, power=2):
    return x**power


grid = np.linspace(0, 1, 5)
total = sum(square(grid))
for name, value in (("total", total),):
    check(value, 1.875)  # in a loop: goes
print(total)
check(total, 1.875)  # stays
assert square(3.0) == 9
"""


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def test_a_solution_leaves_its_names_and_its_checks():
    stub, checks = stub_and_checks(SOLUTION)
    assert stub.splitlines() == [
        "# Exercise 3: your code.",
        "",
        "",
        "def square(x, power=2):",
        "    ...",
        "total = ...",
    ]
    assert checks.splitlines() == ["check(total, 1.875)", "assert square(3.0) == 9"]


def test_a_class_leaves_its_heading():
    stub, checks = stub_and_checks("class Copies(Unit):\n    num = 2\n\n\ncheck(Copies(1).num, 2)")
    assert stub.splitlines()[-2:] == ["class Copies(Unit):", "    ..."]
    assert checks == "check(Copies(1).num, 2)"


@pytest.mark.parametrize("path", TWINS, ids=lambda path: path.stem)
def test_the_student_edition_holds_no_solution_and_nothing_that_one_printed(path):
    chapter = nbformat.read(path, as_version=4)
    chapter.cells = whole_solutions(chapter.cells)
    solutions = [cell.source for cell in tagged(chapter, "solution")]
    rest = "\n".join(cell.source for cell in chapter.cells if cell.source not in solutions)
    edition = student_edition(chapter)
    text = "\n".join(cell.source for cell in edition.cells)
    assert not tagged(edition, "solution")
    left = "\n".join(text for solution in solutions for text in stub_and_checks(solution))
    for line in "\n".join(solutions).splitlines():
        code = line.strip()
        if len(code) > 30 and code not in rest and code not in left:
            assert code not in text, f"still there: {code}"
    assert len(tagged(edition, "exercise")) == len(solutions)
    assert not any(cell.outputs for cell in tagged(edition, "exercise") + tagged(edition, "check"))
    assert YOURS in text


@pytest.mark.parametrize("path", TWINS, ids=lambda path: path.stem)
def test_each_exercise_has_a_check_or_says_that_it_is_an_argument(path):
    chapter = nbformat.read(path, as_version=4)
    chapter.cells = whole_solutions(chapter.cells)
    for cell in tagged(chapter, "solution"):
        stub, checks = stub_and_checks(cell.source)
        ast.parse(stub), ast.parse(checks)
        assert bool(checks) != cell.source.endswith(NO_CHECK), cell.source
        if checks:
            assert "..." in stub, f"the checks ask for nothing that is the student's: {cell.source}"
