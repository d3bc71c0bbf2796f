import gzip
import pathlib

import h5py
import numpy as np
import pytest
import tensorflow as tf
from sklearn.decomposition import PCA
from sklearn.neural_network import BernoulliRBM as SklearnRBM

from rbm_tf.enumeration import log_z
from rbm_tf.interchange import from_sklearn, read_rbms, write_rbms
from rbm_tf.machine import Machine, clamped_free_energy, machine_of
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.units import Spin

# Written by rbms 0.5.0 on PyTorch 2.14 from four images of six pixels, samples in bars.h5 =
# np.eye(4, 6) + np.eye(4, 6, 2), and compressed with gzip -9:
#   rbms train -d bars.h5 -o rbms_0_5_0.h5 --num_hiddens 3 --batch_size 4 --gibbs_steps 1
#       --num_chains 8 --learning_rate 0.5 --num_updates 81 --n_save 2 --spacing exp --seed 0
#       --train_size 1.0 --device cpu
FIXTURE = pathlib.Path(__file__).parent / "data" / "rbms_0_5_0.h5.gz"
# What rbms says of it in float64: after so many updates, ln Z by compute_partition_function, and
# compute_energy_visibles of (1, 0, 1, 0, 0, 0).
THEIRS = {
    1: (4.61654737803454, -0.9810922088219316),
    9: (4.770059736221073, -1.2060889127035672),
    81: (6.17275485287296, -3.6790845326415074),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rbms.h5"
    path.write_bytes(gzip.decompress(FIXTURE.read_bytes()))
    return path


@pytest.mark.parametrize("update", THEIRS)
def test_a_file_of_rbms_has_the_ln_z_and_the_free_energy_that_rbms_computes(file, update):
    machine = machine_of(read_rbms(file, update=update), dtype="float64")
    free_energy = clamped_free_energy(machine, tf.constant([[1, 0, 1, 0, 0, 0]], tf.float64))
    found = log_z(machine), float(free_energy[0])
    np.testing.assert_allclose(found, THEIRS[update], rtol=1e-13)


def test_a_file_of_potts_units_has_the_numbers_of_rbms_too(tmp_path):
    # rbms 0.5.0, from the sequences ACGU, AACC, GGUU and -CG- with --alphabet rna --num_hiddens 2
    # and the options above; what it says of -ACG and UU-A, and of ln Z, after 81 updates
    path = tmp_path / "potts.h5"
    path.write_bytes(gzip.decompress(FIXTURE.with_name("rbms_0_5_0_potts.h5.gz").read_bytes()))
    machine = machine_of(read_rbms(path), dtype="float64")
    states = np.eye(5)[[[0, 1, 2, 3], [4, 4, 0, 1]]].reshape(2, 20)
    found = clamped_free_energy(machine, tf.constant(states))
    np.testing.assert_allclose(found, [-9.666073303136233, 34.741465490960046], rtol=1e-13)
    assert log_z(machine) == pytest.approx(29.78688949125413, rel=1e-13)
    write_rbms(machine, tmp_path / "again.h5")
    again = read_rbms(tmp_path / "again.h5")
    assert repr(again.visible) == "Potts(4, 5)"
    for ours, theirs in zip(again.parameters, machine.parameters, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match=r"binary or Potts.* got Spin\(3\)"):
        write_rbms(Machine(np.zeros((3, 2)), np.zeros(3), np.zeros(2), Spin(3)), path)


def test_the_last_update_is_the_greatest_number_and_not_the_last_name(file):
    for ours, theirs in zip(
        read_rbms(file).parameters, read_rbms(file, update=81).parameters, strict=True
    ):
        assert ours.dtype == tf.float32
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_float16"])
def test_what_was_written_comes_back_to_the_last_bit(tmp_path, random_rbm, dtype):
    rbm = random_rbm(5, 3, dtype=dtype)
    expected = rbm.kernel, rbm.visible_bias, rbm.hidden_bias
    write_rbms(rbm, tmp_path / "rbm.h5")
    machine = read_rbms(tmp_path / "rbm.h5", update=1)
    write_rbms(machine, tmp_path / "again.h5")
    for found in (machine, read_rbms(tmp_path / "again.h5")):
        for ours, theirs in zip(found.parameters, expected, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs.numpy())


def test_what_we_write_is_a_part_of_what_rbms_writes(file, tmp_path):
    write_rbms(read_rbms(file), tmp_path / "ours.h5")
    with h5py.File(file) as theirs, h5py.File(tmp_path / "ours.h5") as ours:
        assert set(ours) == {"model_type", "update_1"}
        assert ours["model_type"][()] == theirs["model_type"][()]
        params = ours["update_1/params"]
        assert set(params) == set(theirs["update_81/params"])
        for name, array in params.items():
            np.testing.assert_array_equal(array[()], theirs["update_81/params"][name][()])
            assert array.dtype == theirs["update_81/params"][name].dtype


def test_half_precision_becomes_float32(file):
    with h5py.File(file, "a") as archive:
        for name in ("weight_matrix", "vbias", "hbias"):
            half = archive["update_81/params"][name][()].astype("float16")
            replace(archive, f"update_81/params/{name}", half)
    machine = read_rbms(file)
    assert machine.dtype == machine.kernel.dtype == tf.float32
    np.testing.assert_array_equal(machine.hidden_bias, half.astype("float32"))


def replace(archive, name, value):
    del archive[name]
    if value is not None:
        archive[name] = value


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model_type", "GBRBM", "must be BBRBM or PBRBM; it is GBRBM"),
        ("model_type", "PBRBM", r"\(6, 3\) and \(6,\)"),
        ("model_type", None, "it is not there"),
        ("update_81/params/hbias", None, "hbias"),
        ("update_81/params", None, "params"),
        ("update_81/params/hbias", np.zeros(4, "f4"), r"\(6, 3\), \(6,\), \(4,\)"),
        ("update_81/params/vbias", np.full(6, np.nan, "f4"), "vbias holds NaN"),
        ("update_81/params/vbias", np.zeros(6, int), "floats; its dtype is int64"),
        ("update_81/params/weight_matrix", np.zeros((6, 2, 3), "f4"), "must have shapes"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(file, name, value, message):
    with h5py.File(file, "a") as archive:
        replace(archive, name, value)
    with pytest.raises(ValueError, match=f"rbms.h5 cannot be read as an RBM.*{message}"):
        read_rbms(file)


def test_an_update_that_is_not_there_and_a_file_that_is_none_are_refused(file, tmp_path):
    with pytest.raises(ValueError, match=r"no update 2; there are \[1, 9, 81\]"):
        read_rbms(file, update=2)
    with pytest.raises(ValueError, match="is no file"):
        read_rbms(tmp_path / "nowhere.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(ValueError, match="cannot be read"):
        read_rbms(tmp_path / "text.h5")
    with h5py.File(tmp_path / "empty.h5", "w") as archive:
        archive["model_type"] = "BBRBM"
    with pytest.raises(ValueError, match=r"no update None; there are \[\]"):
        read_rbms(tmp_path / "empty.h5")


def test_a_claim_of_more_numbers_than_memory_is_refused_before_they_are_read(tmp_path):
    write_rbms(Machine(tf.zeros((3, 2)), tf.zeros(3), tf.zeros(2)), tmp_path / "bomb.h5")
    with h5py.File(tmp_path / "bomb.h5", "a") as archive:
        params = archive["update_1/params"]
        del params["weight_matrix"]
        params.create_dataset("weight_matrix", (10**7, 10**7), "f4", chunks=(1000, 1000))
    with pytest.raises(ValueError, match="memory"):
        read_rbms(tmp_path / "bomb.h5")


@pytest.fixture
def fitted():
    x = (np.random.default_rng(0).random((50, 6)) < 0.3).astype(float)
    return SklearnRBM(n_components=4, learning_rate=0.5, n_iter=20, random_state=0).fit(x), x


def test_our_call_is_transform_of_scikit_learn(fitted):
    model, x = fitted
    rbm = from_sklearn(model, dtype="float64")
    np.testing.assert_allclose(rbm(x), model.transform(x), rtol=1e-12)
    np.testing.assert_allclose(from_sklearn(model)(x), model.transform(x), rtol=1e-5)


def test_our_free_energies_give_score_samples_of_scikit_learn(fitted):
    model, x = fitted
    flip = np.random.RandomState(0).randint(0, 6, len(x))  # the pixel that score_samples flips
    other = x.copy()
    other[np.arange(len(x)), flip] = 1 - other[np.arange(len(x)), flip]
    rbm = from_sklearn(model, dtype="float64")
    difference = rbm.free_energy(other) - rbm.free_energy(x)
    expected = -6 * np.logaddexp(0, -difference)
    np.testing.assert_allclose(model.score_samples(x), expected, rtol=1e-10)


@pytest.mark.parametrize("model", [SklearnRBM(), PCA().fit(np.eye(3)), None])
def test_a_model_without_the_three_parameters_is_refused(model):
    with pytest.raises(ValueError, match=r"BernoulliRBM after fit.*no attribute"):
        from_sklearn(model)


def test_a_model_from_elsewhere_is_trained_further(fitted):
    model, x = fitted
    rbm = from_sklearn(model, seed=0)
    assert isinstance(rbm, BernoulliRBM)
    rbm.fit(x, epochs=1, verbose=0)
    assert np.any(rbm.kernel.numpy() != model.components_.T.astype("float32"))
