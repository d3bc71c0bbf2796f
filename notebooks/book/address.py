"""The address of the repository in the chapters, from the variable FREE_ENERGIES_URL.

With an address, the first cell of a chapter installs the course on Colab, and a line below the title
opens the chapter there and on Binder; without, the line is not there. The book and the student edition fill it
in by themselves; `address.py` writes it into the chapters of the repository.
"""

import os
import pathlib
import re
import sys

import jupytext

NOTEBOOKS = pathlib.Path(__file__).parent.parent
URL = os.environ.get("FREE_ENERGIES_URL", "").rstrip("/")
COURSE = re.compile(r'(?<=^COURSE = ")[^"]*', re.MULTILINE)
LINKS = re.compile(r"\n\n\[Open in Colab\]\([^\n]*")
VERSION = re.compile(r"^# +jupytext_version: .*\n", re.MULTILINE)  # of who wrote it last
GITHUB = "https://github.com/"


def fill_in(cells, name, url=URL):
    """Write an address, or none, into the title and the first cell of code of the chapter `name`."""
    title, setup = cells[0], next(cell for cell in cells if cell["cell_type"] == "code")
    setup["source"] = COURSE.sub(f"git+{url}" if url else "", "".join(setup["source"]))
    text = LINKS.sub("", "".join(title["source"]))
    if url.startswith(GITHUB):
        place, path = url.removeprefix(GITHUB), f"notebooks/{name}.ipynb"
        colab = f"https://colab.research.google.com/github/{place}/blob/HEAD/{path}"
        binder = f"https://mybinder.org/v2/gh/{place}/HEAD?urlpath=lab/tree/{path}"
        links = f"\n\n[Open in Colab]({colab}) or [in Binder]({binder})."
        text = text.replace("\n\n", f"{links}\n\n", 1)
    title["source"] = text


def main():
    """Write the address into all chapters, sources and executed twins."""
    for path in sorted(NOTEBOOKS.glob("[0-9]*.py")):
        for file, form in ((path, "py:percent"), (path.with_suffix(".ipynb"), "ipynb")):
            notebook = jupytext.read(file)
            fill_in(notebook.cells, path.stem)
            file.write_text(VERSION.sub("", jupytext.writes(notebook, fmt=form)))


if __name__ == "__main__":
    sys.exit(main())
