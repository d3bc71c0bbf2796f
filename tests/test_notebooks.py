import datetime
import linecache
import pathlib
import re

import jupytext
import keras
import matplotlib.pyplot as plt
import nbformat
import pytest
from markdown_it import MarkdownIt
from student import is_solution, stub_and_checks, whole_solutions

SOURCES = sorted((pathlib.Path(__file__).parent.parent / "notebooks").glob("[0-9]*.py"))
MAX_BYTES = 600_000
MAX_LINES = 15
REFUSED = """try:
    exec({!r}, dict(globals()))
except Exception:
    pass
else:
    raise AssertionError("these checks pass without an answer")"""


def duration(source):
    """The time that the executed twin took; none before it is there."""
    twin = source.with_suffix(".ipynb")
    cells = nbformat.read(twin, as_version=4).cells if twin.exists() else []
    times = [
        datetime.datetime.fromisoformat(time)
        for cell in cells
        for time in cell.metadata.get("execution", {}).values()
    ]
    return max(times) - min(times) if times else datetime.timedelta(0)


def is_code(cell):
    return cell.cell_type == "code"


def with_empty_answers(notebook):
    """The notebook, in which each exercise is handed in empty before its solution is read."""
    cells = []
    for cell in whole_solutions(notebook.cells):
        if is_solution(cell):
            stub, checks = stub_and_checks(cell.source)
            if checks:
                cells.append(nbformat.v4.new_code_cell(REFUSED.format(f"{stub}\n{checks}")))
        cells.append(cell)
    notebook.cells = cells
    return notebook


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_executed_twin_holds_the_same_cells_and_ran_without_error(source):
    twin_path = source.with_suffix(".ipynb")
    assert twin_path.stat().st_size <= MAX_BYTES
    cells, twin = jupytext.read(source).cells, nbformat.read(twin_path, as_version=4).cells
    assert [(cell.cell_type, cell.source) for cell in cells] == [
        (cell.cell_type, cell.source) for cell in twin
    ], f"run: jupytext --to ipynb --execute {source.name}"
    code = [cell for cell in twin if is_code(cell)]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    streams = [
        out for cell in code for out in cell.outputs if out.output_type in ("error", "stream")
    ]
    assert not any(out.output_type == "error" for out in streams)
    assert not any(out.get("name") == "stderr" for out in streams)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_has_short_cells_checks_a_picture_and_solutions(source):
    cells = jupytext.read(source).cells
    code = [cell for cell in cells if is_code(cell)]
    for cell in code:
        assert len(cell.source.splitlines()) <= MAX_LINES, cell.source
    text = "\n".join(cell.source for cell in cells)
    assert "assert" in "\n".join(cell.source for cell in code)
    assert "plt." in text
    assert any("solution" in cell.metadata.get("tags", []) for cell in code)
    for heading in ("What you will do", "Summary", "Exercises"):
        assert heading.lower() in text.lower(), heading


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_formula_is_cut_by_a_list_or_a_heading(source):
    # A line that begins with - or + within a formula is an item of a list for Markdown.
    prose = [cell.source for cell in jupytext.read(source).cells if not is_code(cell)]
    blocks = [block for text in prose for block in MarkdownIt().parse(text) if block.children]
    assert blocks
    for block in blocks:
        text = "".join(part.content for part in block.children if part.type != "code_inline")
        assert text.count("$") % 2 == 0, block.content


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_pictures_take_their_black_from_the_style(source):
    # Else they vanish on the page of rbm_tf.dark.
    cells = [cell.source for cell in jupytext.read(source).cells if is_code(cell)]
    found = re.findall(r"""["'](?:k[-.:o]*|black)["'](?=[,)\]}])""", "\n".join(cells))
    assert not found, found


@pytest.fixture
def names(tmp_path, monkeypatch):
    """Where a chapter keeps its names, in a folder with the models; all gone before the next."""
    monkeypatch.setenv("TQDM_DISABLE", "1")  # bars depend on the machine
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(SOURCES[0].parent / "models")
    policy, floats = keras.config.dtype_policy(), keras.config.floatx()
    chapter = {"__name__": "__main__"}
    with plt.rc_context():
        yield chapter
    chapter.clear()  # what Keras has registered of it would keep all of it
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx(floats)
    keras.backend.clear_session()


@pytest.mark.slow
@pytest.mark.parametrize(
    "source", sorted(SOURCES, key=duration, reverse=True), ids=lambda path: path.stem
)
def test_notebook_runs_from_top_to_bottom_and_refuses_empty_answers(source, names):
    # In this process, which has TensorFlow already; that it runs by itself is what its twin shows.
    code = [cell for cell in with_empty_answers(jupytext.read(source)).cells if is_code(cell)]
    for number, cell in enumerate(code, 1):
        name = f"{source.stem}, cell {number}"  # where TensorFlow and a traceback find its lines
        lines = (cell.source + "\n").splitlines(keepends=True)
        linecache.cache[name] = len(cell.source), None, lines, name
        exec(compile(cell.source, name, "exec"), names)
