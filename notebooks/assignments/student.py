"""The student edition: `student.py outputs/student` writes the chapters without their solutions.

Of a solution stay its checks, which are the `check(..)` and `assert` statements that stand in no loop
or function. Before them comes a stub with the names that they ask for.
"""

import argparse
import ast
import pathlib
import re
import shutil
import sys

import nbformat

sys.path.append(str(pathlib.Path(__file__).parent.parent / "book"))

from address import fill_in

NOTEBOOKS = pathlib.Path(__file__).parent.parent
FOLDED = "The solutions are in the cells below, folded: click on one to open it."
YOURS = "Your code goes into the cells below. The cell after each says whether the answer is right."
NO_CHECK = "# (No check: an argument.)"
NUMBER = re.compile(r"# (\d+)\.")


def is_check(statement):
    """Whether a statement does nothing but compare."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    is_call = isinstance(call, ast.Call) and getattr(call.func, "id", None) == "check"
    return is_call or isinstance(statement, ast.Assert)


def names_in(statements, context):
    """The names that statements store (ast.Store) or load (ast.Load), in the order of the text."""
    names = {}
    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            if context is ast.Store:
                names[statement.name] = statement
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, context):
                names.setdefault(node.id, None)
    return names


def heading(definition):
    """The first line of a function or of a class."""
    if isinstance(definition, ast.FunctionDef):
        return f"def {definition.name}({ast.unparse(definition.args)}):"
    bases = ", ".join(map(ast.unparse, definition.bases))
    return f"class {definition.name}({bases}):" if bases else f"class {definition.name}:"


def stub_and_checks(source):
    """Split a solution into a stub for a student's own code and the checks of it."""
    statements = ast.parse(source).body
    checks = [statement for statement in statements if is_check(statement)]
    asked = names_in(checks, ast.Load)
    own = names_in([one for one in statements if not is_check(one)], ast.Store)
    number = NUMBER.match(source)
    lines = [f"# Exercise {number[1]}: your code." if number else "# Your code."]
    for name, definition in own.items():
        if name in asked and definition is not None:
            lines += ["", "", heading(definition), "    ..."]
        elif name in asked:
            lines.append(f"{name} = ...")
    segments = [ast.get_source_segment(source, statement) for statement in checks]
    return "\n".join(lines), "\n".join(segments)


def whole_solutions(cells):
    """The cells, with those that go on with a solution, without a number of their own, joined to it."""
    joined = []
    for cell in cells:
        if (
            is_solution(cell)
            and joined
            and is_solution(joined[-1])
            and not NUMBER.match(cell.source)
        ):
            joined[-1].source += f"\n\n\n{cell.source}"
        else:
            joined.append(cell)
    return joined


def is_solution(cell):
    """Whether a cell is one of a solution's."""
    return "solution" in cell.metadata.get("tags", [])


def student_edition(notebook):
    """A chapter in which stubs and checks take the place of solutions with all that they print."""
    cells = []
    for cell in whole_solutions(notebook.cells):
        if not is_solution(cell):
            cell.source = cell.source.replace(FOLDED, YOURS)
            cells.append(cell)
            continue
        for tag, text in zip(("exercise", "check"), stub_and_checks(cell.source), strict=True):
            if text:
                cells.append(nbformat.v4.new_code_cell(text, metadata={"tags": [tag]}))
    notebook.cells = cells
    notebook.metadata.pop("widgets", None)
    return notebook


def main():
    """Write the student edition of all chapters, with the tables that they name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="where the copies go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        edition = student_edition(nbformat.read(path, as_version=4))
        fill_in(edition.cells, path.stem)
        nbformat.write(edition, folder / path.name)
    tables = [NOTEBOOKS / f"{name}.md" for name in ("EQUATIONS", "GLOSSARY", "SYMBOLS")]
    for path in (*tables, NOTEBOOKS / "references.bib", *NOTEBOOKS.glob("*.png")):
        shutil.copy(path, folder)
    shutil.copytree(NOTEBOOKS / "models", folder / "models", dirs_exist_ok=True)


if __name__ == "__main__":
    sys.exit(main())
