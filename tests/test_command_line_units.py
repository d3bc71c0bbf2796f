"""The command line of RBMs with other units than binary ones, at exact numbers and at twins."""

import argparse
import json

import keras
import numpy as np
import pytest

import rbm_tf.__main__ as rbm_command
from rbm_tf.annealing import ais
from rbm_tf.command_line import kinds
from rbm_tf.datasets import LOADERS_BY_UNITS, load_digit_levels, load_digits, load_wine
from rbm_tf.enumeration import log_z
from rbm_tf.rbm import RBM, BernoulliRBM
from rbm_tf.units import (
    UNITS_BY_NAME,
    Binary,
    Gaussian,
    Mixed,
    Potts,
    ReLU,
    Spin,
    TruncatedExponential,
    Unit,
    name_of_units,
    units_by_name,
)


def output_of(line, capsys, *more):
    rbm_command.main([*line.split(), *map(str, more)])
    return capsys.readouterr().out


def flat(data):
    return [x.reshape(len(x), -1) for x, _ in data]


CASES = [  # what train is told, the layers that come of it, and the data in their coding
    ("--visible gaussian", Gaussian(13), Binary(3), lambda: flat(load_wine())),
    (
        "--visible spin --hidden-units potts:3",
        Spin(64),
        Potts(3, 3),
        lambda: [2 * x - 1 for x in flat(load_digits("bernoulli", seed=0))],
    ),
    (
        "--visible potts:5 --hidden-units spin",
        Potts(64, 5),
        Spin(3),
        lambda: flat(load_digit_levels(5)),
    ),
    (
        "--visible truncated_exponential",
        TruncatedExponential(64),
        Binary(3),
        lambda: flat(load_digits()),
    ),
    ("--hidden-units relu", Binary(64), ReLU(3), lambda: flat(load_digits("bernoulli", seed=0))),
]


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(("told", "visible", "hidden", "data"), CASES, ids=[c[0] for c in CASES])
def test_train_evaluate_and_sample_take_all_kinds(
    told, visible, hidden, data, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(rbm_command, "_long_path", lambda: np.linspace(0, 1, 101))
    path = tmp_path / "rbm.keras"
    output_of(f"train {told} --hidden 3 --epochs 2 --output {tmp_path}", capsys)
    rbm = keras.models.load_model(path)
    assert (repr(rbm.visible), repr(rbm.hidden)) == (repr(visible), repr(hidden))
    results = json.loads(output_of(f"evaluate {path} --json --output {tmp_path}", capsys))
    row = results["estimates"][0]
    ln_z = log_z(rbm) if hidden.is_finite else ais(rbm, betas=np.linspace(0, 1, 101), seed=0).log_z
    assert row["method"] == ("exact" if hidden.is_finite else "AIS forward")
    assert row["ln Z"] == pytest.approx(ln_z, abs=1e-9)
    for name, x in zip(("train", "test"), data(), strict=True):
        expected = -rbm.free_energy(x).numpy().mean(dtype=float) - ln_z
        assert row[f"{name} ln p(v)"] == pytest.approx(expected, abs=1e-9)
    files = json.loads(output_of(f"sample {path} --num 4 --json --output {tmp_path}", capsys))[
        "files"
    ]
    rbm.visible.check(np.load(files[0]))
    assert len(files) == (1 if repr(visible) == "Gaussian(13)" else 2)  # 13 is no square


@pytest.mark.slow
def test_spins_are_evaluated_as_the_binary_units_that_they_are(tmp_path, capsys):
    rng = np.random.default_rng(0)
    w, a, b = 0.1 * rng.normal(size=(64, 5)), 0.1 * rng.normal(size=64), rng.normal(size=5)
    RBM.from_parameters(Spin(64), Spin(5), w, a, b).save(tmp_path / "spin.keras")
    binary = 4 * w, 2 * (a - w.sum(1)), 2 * (b - w.sum(0))
    BernoulliRBM.from_parameters(*binary).save(tmp_path / "binary.keras")
    rows = []
    for name in ("spin", "binary"):
        line = f"evaluate {tmp_path / name}.keras --json --output {tmp_path}"
        rows.append(json.loads(output_of(line, capsys))["estimates"][0])
    for key in ("train ln p(v)", "test ln p(v)"):
        assert rows[0][key] == pytest.approx(rows[1][key], abs=1e-3)  # F_c is float32


@pytest.mark.slow
def test_a_density_is_called_one(tmp_path, capsys):
    RBM(Gaussian(13), Binary(2), seed=0).save(tmp_path / "gaussian.keras")
    output = output_of(f"evaluate {tmp_path}/gaussian.keras --output {tmp_path}", capsys)
    assert output.startswith("Mean log-density ln p(v), nats per example (wine)\n")
    assert "Of a density" in output
    BernoulliRBM(64, 2, seed=0).save(tmp_path / "binary.keras")
    output = output_of(f"evaluate {tmp_path}/binary.keras --output {tmp_path}", capsys)
    assert output.startswith("Mean log-likelihood, nats (digits, pixels: bernoulli)\n")
    assert "density" not in output


def refused(line, capsys):
    with pytest.raises(SystemExit) as stop:
        rbm_command.main(line.split())
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1
    return error


@pytest.mark.slow
def test_an_infinite_z_is_one_line(tmp_path, capsys):
    layers = Gaussian(13), Gaussian(2)
    grows = RBM.from_parameters(*layers, np.full((13, 2), 1.5), np.ones(13), np.ones(2))
    grows.save(tmp_path / "grows.keras")
    line = f"{tmp_path}/grows.keras --output {tmp_path}"
    assert "Z is infinite" in refused(f"evaluate {line}", capsys)
    assert "run away, as where Z is infinite" in refused(f"sample {line} --num 2", capsys)


def test_pictures_are_of_what_is_square(tmp_path):
    v = np.eye(3)[np.arange(8).reshape(2, 4) % 3].reshape(2, 12)
    expected = [[[0, 1], [2, 0]], [[1, 2], [0, 1]]]
    assert rbm_command._images(Potts(4, 3), v).tolist() == expected
    assert rbm_command._images(Gaussian(4), v[:, :4]).shape == (2, 2, 2)
    assert rbm_command._images(Gaussian(12), v) is None
    assert rbm_command._images(Mixed([Binary(2), Gaussian(2)]), v[:, :4]) is None


@pytest.mark.parametrize(
    ("kind", "given", "dataset", "binarization"),
    [
        ("binary", (None, None), "digits", "bernoulli"),
        ("spin", ("mnist_5k", "threshold"), "mnist_5k", "threshold"),
        ("truncated_exponential", (None, None), "digits", "none"),
        ("truncated_exponential", ("mnist_5k", "none"), "mnist_5k", "none"),
        ("gaussian", (None, None), "wine", "none"),
        ("gaussian", ("patches", None), "patches", "none"),
        ("potts:17", (None, None), "digit_levels", "none"),
    ],
)
def test_data_follow_from_the_kind_of_visible_units(kind, given, dataset, binarization):
    options = argparse.Namespace(dataset=given[0], binarization=given[1], data_path=None, seed=0)
    kinds.settle(options, kind)
    assert (options.dataset, options.binarization) == (dataset, binarization)
    if dataset != "mnist_5k":
        for x in kinds.load_states(options, kind):
            units_by_name(kind, num_columns=x.shape[1]).check(x)


def test_names_of_kinds_and_data_sets_are_those_that_there_are():
    assert {kind.removesuffix(":q") for kind in kinds.HIDDEN} == set(UNITS_BY_NAME)
    for units, names in kinds.OF_OTHERS.items():
        assert set(names) == set(LOADERS_BY_UNITS[units])
    loaders = [name for names in LOADERS_BY_UNITS.values() for name in names]
    assert sorted(kinds.ALL_DATASETS) == sorted(loaders)


def test_units_have_one_name():
    for name, kind in UNITS_BY_NAME.items():
        full = "potts:7" if name == "potts" else name
        unit = units_by_name(full, num=3)
        assert type(unit) is kind and unit.num == 3
        assert name_of_units(unit) == full
        assert repr(units_by_name(full, num_columns=unit.size)) == repr(unit)

    class Own(Unit):
        pass

    assert name_of_units(Own(2)) is name_of_units(Mixed([Binary(2)])) is None


@pytest.mark.parametrize(
    "name", ["", "Binary", "binary:2", "potts", "potts:1", "potts:-3", 3, None]
)
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match=r"Units are called binary, spin, .* or potts:q"):
        units_by_name(name, num=3)


def test_columns_that_are_no_whole_units_are_refused():
    with pytest.raises(ValueError, match="Units potts:3 take 3 columns each, one-hot; got 10"):
        units_by_name("potts:3", num_columns=10)
