import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
MODULES = sorted((ROOT / "rbm_tf").glob("*.py")) + sorted((ROOT / "vae_keras").glob("*.py"))
LEAVES = {"cumulants", "datasets", "diagnostics", "plotting", "gibbs", "quiet"}
KERAS_ONLY = {"layers", "likelihoods", "networks", "lambda_vae", "vae"}


def imported(path):
    """All modules that a file imports anywhere, by their dotted names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_import_rules(path):
    package, names = path.parent.name, imported(path)
    if path.stem == "__init__":
        assert not names
    if package == "rbm_tf":
        assert not any(name.startswith("vae_keras") for name in names)
        if path.stem in LEAVES:
            assert not any(name.startswith("rbm_tf") for name in names)
    else:
        shared = {name.split(".")[1] for name in names if name.startswith("rbm_tf.")}
        assert shared <= LEAVES | {"command_line", *(n for n in shared if not is_module(n))}
        if path.stem in KERAS_ONLY:
            others = {name.split(".")[0] for name in names} - {"keras", "math", "vae_keras"}
            assert not others


def is_module(name):
    return (ROOT / "rbm_tf" / f"{name}.py").exists()


def test_importing_the_packages_imports_nothing_heavy():
    code = (
        "import sys, rbm_tf, vae_keras; print({'tensorflow', 'keras', 'numpy'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert output.stdout.strip() == "set()"


PUBLIC = [
    f"{path.parent.name}.{path.stem}"
    for path in MODULES
    if path.stem not in ("__init__", "__main__", "command_line", "demo")
]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_function_and_class_has_an_example(name):
    module = importlib.import_module(name)
    for key, value in vars(module).items():
        own = getattr(value, "__module__", None) == name and callable(value)
        if own and not key.startswith("_") and key not in ("Parameters", "MeanField", "Moments"):
            internal = value.__doc__ and ("Example" in value.__doc__ or name in INTERNAL)
            assert internal or is_record(value), f"{name}.{key} has no example"


INTERNAL = {"rbm_tf.gibbs"}  # tensor programs behind the model's methods


def is_record(value):
    """A NamedTuple of results, documented by the function that returns it."""
    return isinstance(value, type) and issubclass(value, tuple)
