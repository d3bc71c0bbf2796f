import os
import pathlib
import shutil
import subprocess
import sys

import jupytext
import pytest
from address import fill_in

ROOT = pathlib.Path(__file__).parent.parent
SOURCES = sorted((ROOT / "notebooks").glob("[0-9]*.py"))
ADDRESS = "https://github.com/someone/free-energies"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_chapters_have_no_address_and_can_be_given_one(path):
    notebook = jupytext.read(path)
    before = [cell.source for cell in notebook.cells]
    fill_in(notebook.cells, path.stem, ADDRESS)
    filled = [cell.source for cell in notebook.cells]
    assert f"{path.stem}.ipynb" in filled[0] and "colab" in filled[0] and "mybinder" in filled[0]
    assert f'COURSE = "git+{ADDRESS}"' in filled[1]
    assert filled[2:] == before[2:]
    fill_in(notebook.cells, path.stem, "")
    assert [cell.source for cell in notebook.cells] == before


@pytest.mark.long
def test_the_first_cell_installs_the_course_where_it_is_missing(tmp_path):
    pytest.importorskip("ensurepip")  # by which venv gets its pip
    source = tmp_path / "source"  # building leaves a folder behind
    for package in ("rbm_tf", "vae_keras"):
        shutil.copytree(ROOT / package, source / package)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(tmp_path)!r})"
    run = [sys.executable, "-c", build]  # an environment of uv has no pip
    subprocess.run(run, cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "empty"], check=True)
    cell = jupytext.read(SOURCES[0]).cells[1].source
    program = cell.replace('COURSE = ""', f'COURSE = "{wheel}"')
    assert program != cell
    program += "\nimport importlib.metadata\nprint(importlib.metadata.version('free-energies'))"
    environment = {**os.environ, "PIP_NO_DEPS": "1"}  # not TensorFlow once more
    environment.pop("PYTHONPATH", None)
    run = [tmp_path / "empty" / "bin" / "python", "-c", program]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1].count(".") == 2
