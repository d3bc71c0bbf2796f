"""Assignments for a class: `build.py outputs/assignments` makes what is handed out, and the graders.

Each source beside this file is a notebook for otter-assign. In it every solution is followed by a
typical wrong answer, a cell with the tag `wrong`, which is for check.py alone and does not get far:
it is gone before otter-assign sees the notebook. Of the assignment NAME there are then

    NAME/student/NAME.ipynb                    for students, with the visible tests
    NAME/autograder/NAME.ipynb                 the solutions
    NAME/autograder/NAME-autograder_*.zip      all tests, for grade.py
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import jupytext
import nbformat

HERE = pathlib.Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("[0-9]*.py"))


def is_wrong(cell):
    """Whether a cell holds a typical wrong answer."""
    return "wrong" in cell.metadata.get("tags", [])


def read_source(name):
    """The cells of an assignment's source, wrong answers among them, as a notebook."""
    notebook = jupytext.read(HERE / f"{name}.py")
    del notebook.metadata["jupytext"]
    for cell in notebook.cells:
        cell.metadata.pop("lines_to_next_cell", None)
    return notebook


def build(name, folder, *, run_tests=True):
    """Make one assignment in folder/name, without LaTeX; otter grades its solutions if it is to."""
    notebook = read_source(name)
    notebook.cells = [cell for cell in notebook.cells if not is_wrong(cell)]
    with tempfile.TemporaryDirectory() as master_folder:
        master = pathlib.Path(master_folder).resolve() / f"{name}.ipynb"
        nbformat.write(notebook, master)
        options = ["--no-pdfs"] if run_tests else ["--no-pdfs", "--no-run-tests"]
        run = [sys.executable, "-m", "otter", "assign", master, folder.resolve() / name, *options]
        done = subprocess.run(run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"otter-assign cannot make {name}:\n{done.stdout}")


def arguments(description):
    """The command line that building and checking share: a folder, and names of assignments."""
    parser = argparse.ArgumentParser(description=description)
    default = pathlib.Path("outputs/assignments")
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=default, help=str(default))
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}; all")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"no assignment {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return given.folder, given.names or NAMES


def main():
    """Build the assignments that are asked for."""
    folder, names = arguments(__doc__.splitlines()[0])
    for name in names:
        build(name, folder)
        print(f"{folder / name / 'student' / name}.ipynb")


if __name__ == "__main__":
    sys.exit(main())
