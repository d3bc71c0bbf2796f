"""Prove that the assignments grade: `check.py outputs/assignments` builds them and hands in answers.

Three submissions of each assignment are graded, as otter-run does it: the solved one, one in which
the wrong answer beside every solution stands in its place, and the notebook as students get it. The
first must get all points, the second less than all at every question, the third none at any. What
students get must hold no solution, no hidden test and no wrong answer. Names after the folder choose
assignments; any fault ends with code 1.
"""

import concurrent.futures
import copy
import itertools
import multiprocessing
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from build import arguments, build, is_wrong, read_source
from grade import grade

MIN_LENGTH = 12  # of a line that can give something away


def wrong_answers(name):
    """From the text of each solution to that of the wrong answer that follows it."""
    cells = read_source(name).cells
    return {
        cells[index - 1].source: cell.source for index, cell in enumerate(cells) if is_wrong(cell)
    }


def answered_wrongly(solved, answers):
    """The solved notebook with all wrong answers, and with all of the rest as it was."""
    wrong = copy.deepcopy(solved)
    for cell in wrong.cells:
        cell.source = answers.get(cell.source, cell.source)
    return wrong


def lines_of(text):
    """The lines of a text that are long enough to give something away, without otter's marks."""
    lines = {line.removesuffix("# SOLUTION").strip() for line in text.splitlines()}
    return {line for line in lines if len(line) >= MIN_LENGTH}


def secrets(name):
    """Lines that students must not see, and no line that they do see elsewhere."""
    secret, public, answers = set(), set(), wrong_answers(name)
    for cell in read_source(name).cells:
        lines = lines_of(cell.source)
        if cell.source in answers or is_wrong(cell):
            secret |= {line for line in lines if not line.startswith("def ")}
        elif cell.source.startswith("# HIDDEN"):
            secret |= set(re.findall(r"def (test_\w+)", cell.source))
        else:
            public |= lines
    return secret - public


def faults_of(name, folder):
    """Grade one assignment, print its row, and say what is wrong with it, as a list."""
    return list(_faults_of(name, folder))


def _faults_of(name, folder):
    build(name, folder, run_tests=False)
    solved = nbformat.read(folder / name / "autograder" / f"{name}.ipynb", as_version=4)
    student = nbformat.read(folder / name / "student" / f"{name}.ipynb", as_version=4)
    (autograder,) = (folder / name / "autograder").glob("*.zip")
    answers = wrong_answers(name)
    if missing := set(answers) - {cell.source for cell in solved.cells}:
        yield f"{len(missing)} solutions are not where wrong answers stand beside them"
    seen = "\n".join([cell.source for cell in student.cells] + list(tests_of(student)))
    yield from (f"students see: {line}" for line in sorted(secrets(name)) if line in seen)

    start = time.perf_counter()
    wrong = answered_wrongly(solved, answers)
    right, wrong, empty = (points_of(notebook, autograder) for notebook in (solved, wrong, student))
    seconds = (time.perf_counter() - start) / 3
    totals = [sum(score for score, _ in points.values()) for points in (right, wrong, empty)]
    print(
        f"{name:26s} {totals[0]:6.2f} {totals[1]:6.2f} {totals[2]:6.2f} {seconds:8.1f}", flush=True
    )
    if len(answers) != len(right):
        yield f"{len(answers)} wrong answers to {len(right)} questions"
    for question, (score, highest) in right.items():
        if score != highest:
            yield f"{question}: the solution gets {score} of {highest} points"
        if not wrong[question][0] < highest:
            yield f"{question}: the wrong answer gets all {highest} points"
        if empty[question][0] != 0:
            yield f"{question}: without an answer it gets {empty[question][0]} points"


def tests_of(notebook):
    """The texts of the tests that a notebook brings along."""
    yield from notebook.metadata.otter.tests.values()


def points_of(notebook, autograder):
    """The points of a notebook, handed in as a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "submission.ipynb"
        nbformat.write(notebook, path)
        return grade(path, autograder)


def main():
    """Check the assignments that are asked for."""
    folder, names = arguments(__doc__.splitlines()[0])
    print(
        f"{'assignment':26s} {'right':>6s} {'wrong':>6s} {'empty':>6s} {'seconds':>8s}", flush=True
    )
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), context) as processes:
        found = processes.map(faults_of, names, itertools.repeat(folder))
        faults = [f"{name}: {fault}" for name in names for fault in next(found)]
    print("\n".join(faults) or "All assignments grade as they should.")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
