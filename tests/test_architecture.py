import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FOLDERS = ("rbm_tf", "vae_keras", "vae_keras/layers")
MODULES = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py"))]
LEAVES = {
    "arguments",
    "arrays",
    "batches",
    "betas",
    "carriers",
    "checked_fit",
    "checkpoints",
    "cumulant_errors",
    "cumulants",
    "data_files",
    "datasets",
    "diagnostics",
    "exact_cumulants",
    "files",
    "fourth_order",
    "gibbs",
    "interruptions",
    "ising",
    "lambda_path",
    "log_weights",
    "mean_over_batch",
    "memory",
    "plefka",
    "plotting",
    "quiet",
    "seeds",
    "streaming_cumulants",
    "training",
    "streams",
}
FOR_EVERY_BACKEND = (
    "arrays",
    "carriers",
    "checked_fit",
    "checkpoints",
    "mean_over_batch",
    "seeds",
)
KERAS_ONLY = {
    "checks",
    "conditional_vae",
    "cross_entropy",
    "cumulant_objectives",
    "draws",
    "lambda_vae",
    "layers",
    "likelihoods",
    "networks",
    "objectives",
    "vae",
}


def imported(path):
    """All modules that a file imports anywhere, by their dotted names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_import_rules(path):
    (package, module, *_), names = dotted(path).split("."), imported(path)
    shared = {name.split(".")[1] for name in names if name.startswith("rbm_tf.")}
    if module == "__init__":
        assert not names
    if package == "rbm_tf":
        assert not any(name.startswith("vae_keras") for name in names)
        if module in LEAVES:
            assert shared <= LEAVES
        if module in FOR_EVERY_BACKEND:
            statements = ast.parse(path.read_text()).body  # at once, not inside a function
            assert not {getattr(s, "module", None) for s in statements} & {"rbm_tf.batches"}
            assert "tensorflow" not in {a.name for s in statements for a in getattr(s, "names", ())}
    else:
        assert shared <= LEAVES | {"command_line", *(n for n in shared if not is_module(n))}
        if module in ("compiled", "optimizers"):
            assert {name.split(".")[0] for name in names} == {"keras", "tensorflow"}
        if module in KERAS_ONLY:
            packages = {name.split(".")[0] for name in names} - sys.stdlib_module_names
            assert packages <= {"keras", "numpy", "rbm_tf", "vae_keras"}
            assert shared <= {"checked_fit", "checkpoints", "mean_over_batch", "seeds"}


def is_module(name):
    return (ROOT / "rbm_tf" / f"{name}.py").exists()


def test_importing_the_packages_imports_nothing_heavy():
    code = (
        "import sys, rbm_tf, vae_keras; print({'tensorflow', 'keras', 'numpy'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert output.stdout.strip() == "set()"


PUBLIC = [
    dotted(path)
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
