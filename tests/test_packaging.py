"""What a checkout becomes: an archive of everything, metadata without inventions, two commands."""

import configparser
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FOLDERS = (".binder", ".ci", ".github", "benchmarks", "notebooks", "rbm_tf", "tests", "vae_keras")
FETCHED_OR_MADE = {"chapters", "generated", "mathjax", "reveal"}
LEFT_OUT = {"__pycache__", ".ipynb_checkpoints", "outputs"} | FETCHED_OR_MADE
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
SCRIPTS = SETUP["options.entry_points"]["console_scripts"].split("\n")[1:]
ADDRESS = "https://example.org/free-energies"


def egg_info(folder, url):
    """What setuptools would put into an archive, and the metadata, with the repository at url."""
    run = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", folder]
    environment = os.environ | {"FREE_ENERGIES_URL": url}
    subprocess.run(run, cwd=ROOT, env=environment, check=True, capture_output=True)
    (made,) = folder.glob("*.egg-info")
    sources = (made / "SOURCES.txt").read_text().splitlines()
    return set(sources), importlib.metadata.PathDistribution(made).metadata


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return {url: egg_info(tmp_path_factory.mktemp("made"), url) for url in ("", ADDRESS)}


@pytest.mark.long
def test_the_archive_holds_every_file_of_the_repository(made):
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [
        path
        for path in ROOT.glob("*.*")
        if path.suffix in (".md", ".cff", ".cfg", ".toml", ".yaml")
    ]
    files += [ROOT / name for name in ("LICENSE", "Makefile", ".gitignore", "MANIFEST.in")]
    files = [path.relative_to(ROOT) for path in files]
    names = {path.as_posix() for path in files if not LEFT_OUT & set(path.parts)}
    assert len(names) > 200
    assert names - made[""][0] == set()


def test_without_an_address_the_metadata_name_none_and_no_picture_is_broken(made):
    metadata = made[""][1]
    text = metadata.get_payload()
    assert text.startswith("# free-energies")
    assert not metadata.get_all("Project-URL") and not metadata.get_all("Home-page")
    assert not re.findall(r"!?\[[^]]*\]\([^)]*\)", text)
    assert "\nErrors of eleven estimates of ln Z against the exact value\n" in text


def test_with_an_address_every_link_and_picture_of_the_readme_is_below_it(made):
    metadata, readme = made[ADDRESS][1], (ROOT / "README.md").read_text()
    links = re.findall(r"(!?)\[[^]]*\]\(([^)]*)\)", readme)
    kinds = {"!": "raw", "": "blob"}
    expected = [f"{ADDRESS}/{kinds[picture]}/HEAD/{target}" for picture, target in links]
    assert len(expected) > 5
    assert re.findall(r"\]\(([^)]*)\)", metadata.get_payload()) == expected
    assert f"Source, {ADDRESS}" in metadata.get_all("Project-URL")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_calls_main_and_help_names_it_at_once(script):
    name, package, function = re.fullmatch(r"(.*) = (.*)\.__main__:(.*)", script).groups()
    code = (
        f"import sys, {package}.__main__ as command; sys.argv = ['bin/{name}', '--help']\n"
        f"try: command.{function}()\n"
        "finally: print({'tensorflow', 'keras', 'numpy'} & set(sys.modules))"
    )
    runs = {name: ["-c", code], f"python -m {package}": ["-m", package, "--help"]}
    for typed, run in runs.items():
        run = [sys.executable, *run]
        output = subprocess.run(run, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        assert output.startswith(f"usage: {typed} COMMAND")
        assert output.endswith("set()\n") or run[1] == "-m"


def test_every_requirement_has_a_lowest_version_that_make_lowest_installs():
    requirements = SETUP["options"]["install_requires"].split("\n")[1:]
    program = re.search(r"sed -En '(.*)' setup.cfg", (ROOT / "Makefile").read_text()).group(1)
    run = ["sed", "-En", program.replace("$$", "$"), ROOT / "setup.cfg"]
    lowest = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    bounded = [
        line.split("[")[0].split()[0] for line in requirements if "python_version" not in line
    ]
    assert [line.split("==")[0] for line in lowest] == bounded


INSTALLER = """#!/bin/sh
echo "$*" >> installed.txt
mkdir -p .venv/bin
for name in python ruff mypy; do printf '#!/bin/sh\\n' > .venv/bin/$name; done
chmod +x .venv/bin/*
"""


def test_the_demo_installs_the_package_alone_and_nothing_is_installed_twice(tmp_path):
    for name in ("Makefile", "setup.cfg"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "uv").write_text(INSTALLER)
    (tmp_path / "uv").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "MAKEFLAGS": ""}

    def installed_by(target):
        (tmp_path / "installed.txt").write_text("")
        run = {"cwd": tmp_path, "env": environment, "check": True, "capture_output": True}
        subprocess.run(["make", target], **run)
        lines = (tmp_path / "installed.txt").read_text().splitlines()
        return [line.split(" --editable ")[1] for line in lines if "--editable" in line]

    assert installed_by("demo") == ["."]
    assert installed_by("demo") == []
    assert installed_by("lint") == [".[dev,notebooks]"]
    assert installed_by("test") == installed_by("demo") == []
    shutil.rmtree(tmp_path / ".venv")
    assert installed_by("test") == [".[dev,notebooks]"]
    assert installed_by("demo") == installed_by("lint") == []


def test_the_workflow_runs_the_one_command_on_every_python_of_the_metadata():
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text()
    assert re.findall(r"- run: (.*)", workflow) == [".ci/run"]
    pythons = re.search(r"python: \[(.*)\]", workflow).group(1).replace('"', "").split(", ")
    classifiers = SETUP["metadata"]["classifiers"]
    assert pythons == re.findall(r"Python :: (3\.\d+)", classifiers)
    assert "secrets" not in workflow
    assert all(re.fullmatch(r"[\w/-]+@v\d+", use) for use in re.findall(r"uses: (.*)", workflow))


def test_what_ci_runs_are_targets_of_the_makefile():
    calls = re.findall(r"^ *make (.+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    targets = " ".join(calls).split()
    assert {"lint", "test", "long", "lowest", "book-check", "slides-check"} == set(targets)
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}: " in makefile for target in targets)
