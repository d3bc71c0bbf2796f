"""Grade a folder of submissions: `grade.py NAME-autograder_*.zip FOLDER grades.csv`.

The table has one row for each notebook in the folder: its path, the points of every question, their
sum, and, where a notebook could not be graded at all, the reason. What students hand in runs on this
machine with your rights, so grade where that does no harm.
"""

import argparse
import csv
import pathlib
import sys

from nbconvert.preprocessors import ExecutePreprocessor
from otter.api import grade_submission

from rbm_tf.quiet import muted_stderr

MAX_SECONDS = 120  # of one cell; then it is interrupted, and the next one runs


def grade(notebook, autograder):
    """Grade one notebook: a pair of points and highest possible points for each question."""
    with muted_stderr():  # every kernel repeats the remarks of Jupyter and TensorFlow
        results = grade_submission(str(notebook.resolve()), str(autograder.resolve()), quiet=True)
    if results.catastrophic_error:
        raise results.catastrophic_error
    return {name: (result.score, result.possible) for name, result in results.results.items()}


def limit_cells():
    """Interrupt cells that never end; otter itself would wait for them."""
    ExecutePreprocessor.timeout = MAX_SECONDS
    ExecutePreprocessor.interrupt_on_timeout = True


def row_of(notebook, autograder, folder):
    """The row of one notebook; a single bad file must not stop a class."""
    row = {"notebook": notebook.relative_to(folder).as_posix()}
    try:
        points = {name: score for name, (score, _) in grade(notebook, autograder).items()}
        return row | points | {"points": sum(points.values())}
    except Exception as error:
        return row | {"points": 0, "not graded": f"{type(error).__name__}: {error}"}


def write_table(rows, path):
    """Write rows as CSV; the questions are the columns in between."""
    questions = sorted({key for row in rows for key in row} - {"notebook", "points", "not graded"})
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, ["notebook", *questions, "points", "not graded"])
        table.writeheader()
        table.writerows(rows)


def main():
    """Grade and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("autograder", type=pathlib.Path, help="the zip of the assignment")
    parser.add_argument("folder", type=pathlib.Path, help="where the notebooks are, at any depth")
    parser.add_argument("table", type=pathlib.Path, help="the CSV file to write")
    given = parser.parse_args()
    limit_cells()
    rows = []
    notebooks = sorted(given.folder.rglob("*.ipynb"))
    for notebook in (path for path in notebooks if ".ipynb_checkpoints" not in path.parts):
        rows.append(row_of(notebook, given.autograder, given.folder))
        print(*rows[-1].values(), flush=True)
    write_table(rows, given.table)


if __name__ == "__main__":
    sys.exit(main())
