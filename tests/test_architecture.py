"""The house: who may import whom, one row a folder, and what importing costs."""

import ast
import importlib
import pathlib
import subprocess
import sys
from dataclasses import is_dataclass

import pytest

ROOT = pathlib.Path(__file__).parent.parent
MODULES = [path for name in ("rbm_tf", "vae_keras") for path in sorted((ROOT / name).rglob("*.py"))]

GROUND = {"rbm_tf/shared"}
PHYSICS = GROUND | {"rbm_tf/cumulants", "rbm_tf/mean_field", "rbm_tf/gibbs", "rbm_tf/machine"}
PHYSICS |= {"rbm_tf/estimates", "rbm_tf/stability", "rbm_tf/units"}
KERAS = {"rbm_tf/shared", "vae_keras/shared"}
RULES = {  # a folder: what of ours it may import besides itself
    "rbm_tf/shared": set(),
    "rbm_tf/conditional": {"rbm_tf"},
    "rbm_tf/cumulants": GROUND,
    "rbm_tf/datasets": GROUND,
    "rbm_tf/ising": GROUND | {"rbm_tf/cumulants"},
    "rbm_tf/mean_field": PHYSICS,
    "rbm_tf/training": {"rbm_tf"},
    "rbm_tf/units": GROUND,
    "rbm_tf/command_line": GROUND | {"rbm_tf/datasets", "rbm_tf/quiet"},
    "rbm_tf": {"rbm_tf"},
    "vae_keras/shared": GROUND,
    "vae_keras/layers": KERAS | {"vae_keras/parts"},
    "vae_keras/objectives": KERAS | {"vae_keras/parts"},
    "vae_keras/parts": KERAS,
    "vae_keras/gradients": PHYSICS,
    "vae_keras/evidence": PHYSICS | KERAS | {"vae_keras/parts"},
    "vae_keras/black_box": PHYSICS | KERAS | {"rbm_tf/diagnostics", "vae_keras/evidence"},
    "vae_keras/structured": KERAS | {"vae_keras", "vae_keras/parts"},
    "vae_keras": {"rbm_tf", "vae_keras"},
}
EVERY_BACKEND = (  # Keras alone when they are imported: no TensorFlow
    "rbm_tf/shared",
    "vae_keras/shared",
    "vae_keras/layers",
    "vae_keras/objectives",
    "vae_keras/parts",
    "vae_keras/structured",
    "vae_keras",
)
COMMANDS = ("__main__", "demo")  # which run on TensorFlow
TENSORFLOW_ONLY = (
    "rbm_tf.shared.batches",
    "rbm_tf.shared.betas",
    "rbm_tf.shared.log_weights",
    "rbm_tf.shared.replicas",
)


def imports(path, at_once=False):
    """All modules that a file imports, anywhere or as it is imported itself, by dotted names."""
    tree, names = ast.parse(path.read_text()), set()
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def place(name):
    """The file or folder that a dotted name of ours leads to, or None."""
    parts = name.split(".")
    while parts and parts[0] in ("rbm_tf", "vae_keras"):
        path = ROOT.joinpath(*parts)
        if path.is_dir() or path.with_suffix(".py").is_file():
            return "/".join(parts)
        parts.pop()
    return None


def folder_of(path):
    return str(path.relative_to(ROOT).parent)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_folder_imports_what_its_row_allows(path):
    folder, faces = folder_of(path), {"rbm_tf", "vae_keras"}
    for target in {place(name) for name in imports(path)} - {None} - faces:
        allowed = RULES[folder] | {folder}
        assert any(target == row or target.startswith(f"{row}/") for row in allowed), target


def test_every_folder_has_a_row_and_every_row_a_folder():
    assert {folder_of(path) for path in MODULES} == set(RULES)


def test_no_modules_import_each_other_in_a_circle():
    modules = {dotted(path): path for path in MODULES if path.stem != "__init__"}
    below = {name: imports(path, at_once=True) & set(modules) for name, path in modules.items()}
    while free := {name for name, names in below.items() if not names}:
        below = {name: names - free for name, names in below.items() if name not in free}
    assert not below


@pytest.mark.parametrize("folder", EVERY_BACKEND)
def test_what_runs_on_every_backend_imports_no_tensorflow(folder):
    for path in sorted((ROOT / folder).glob("*.py")):
        if path.stem in COMMANDS or dotted(path) in TENSORFLOW_ONLY:
            continue
        names = imports(path, at_once=True)
        packages = {name.split(".")[0] for name in names} - sys.stdlib_module_names
        assert packages <= {"keras", "lazy_loader", "numpy", "rbm_tf", "vae_keras"}, path
        assert not names & set(TENSORFLOW_ONLY), path
        for target in {place(name) for name in names} - {None}:
            ours = target.startswith(("rbm_tf/shared", "vae_keras")) or target == "rbm_tf"
            assert ours and not target.startswith(("vae_keras/evidence", "vae_keras/gradients"))


def test_the_physics_knows_nothing_of_autoencoders():
    for path in sorted((ROOT / "rbm_tf").rglob("*.py")):
        assert not any(name.startswith("vae_keras") for name in imports(path))


@pytest.mark.parametrize("package", ["rbm_tf", "vae_keras"])
def test_a_face_lists_what_there_is_and_loads_nothing_before_it_is_used(package):
    code = (
        f"import sys, {package} as package; names = dir(package); version = package.__version__\n"
        "assert not {'tensorflow', 'keras', 'numpy', 'scipy'} & set(sys.modules), sys.modules\n"
        "print(version, *names)"
    )
    run = [sys.executable, "-c", code]
    output = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    version, *names = output.split()
    face = importlib.import_module(package)
    assert version == face.__version__ and version[0].isdecimal()
    stub = ast.parse((ROOT / package / "__init__.pyi").read_text())
    listed = {alias.name for node in stub.body for alias in getattr(node, "names", [])}
    assert set(names) == listed and len(names) > 10
    for name in names:
        assert getattr(face, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = face.nonsense


@pytest.mark.parametrize("path", [p for p in MODULES if p.stem == "__init__"], ids=dotted)
def test_the_face_of_a_folder_hands_on_every_public_name_in_it(path):
    folder = folder_of(path)
    if folder in ("rbm_tf", "vae_keras") or folder.endswith(("shared", "command_line")):
        return
    face = importlib.import_module(dotted(path))
    assert sorted(face.__all__) == sorted(set(face.__all__))
    for module in sorted(path.parent.glob("[a-z]*.py")):
        for key, value in vars(importlib.import_module(dotted(module))).items():
            own = getattr(value, "__module__", None) == dotted(module) and callable(value)
            if own and not key.startswith("_") and module.stem not in INTERNAL_FILES:
                assert key in face.__all__, f"{folder} does not hand on {key}"


INTERNAL_FILES = (
    "files",
    "paths",
    "inputs",
    "values",
    "count_quantile",
    "kl_layer",
    "random_layer",
    "relaxed_layer",
    "autodiff",
    "given",
)

PUBLIC = [dotted(path) for path in MODULES if path.stem not in ("__init__", "program", *COMMANDS)]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_function_and_class_has_an_example(name):
    module = importlib.import_module(name)
    for key, value in vars(module).items():
        own = getattr(value, "__module__", None) == name and callable(value)
        if own and not key.startswith("_") and key not in ("MeanField", "Moments"):
            internal = value.__doc__ and ("Example" in value.__doc__ or name in INTERNAL)
            assert internal or is_record(value), f"{name}.{key} has no example"


def parts_of(body):
    """What stands in a module or class, and in its classes, whatever their names."""
    for node in body:
        yield node
        if isinstance(node, ast.ClassDef):
            yield from parts_of(node.body)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_every_public_function_method_and_field_has_its_types(path):
    for node in parts_of(ast.parse(path.read_text()).body):
        if not isinstance(node, ast.FunctionDef) or (
            node.name.startswith("_") and node.name != "__init__"
        ):
            continue
        given = node.args
        named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        bare = [a.arg for a in named if a and not a.annotation and a.arg not in ("self", "cls")]
        assert node.returns and not bare, f"{node.name} lacks the types of {bare or 'its result'}"


INTERNAL = {"rbm_tf.gibbs"}  # tensor programs behind the model's methods


def is_record(value):
    """A NamedTuple or dataclass of results, documented by the function that returns it."""
    return isinstance(value, type) and (issubclass(value, tuple) or is_dataclass(value))
