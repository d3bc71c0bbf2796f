import keras
import numpy as np
import pytest

from rbm_tf.checkpoints import BackupAndRestore
from rbm_tf.negative_phase import MeanFieldPhase
from rbm_tf.rbm import BernoulliRBM


@pytest.fixture
def rbm():
    rbm = BernoulliRBM(6, 4, seed=0)
    rbm.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    rbm.fit(np.eye(6), epochs=2, verbose=0)
    return rbm


def weights_of(model):
    return [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]


def assert_same(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


def fail_half_way(self, filepath, *args, **kwargs):
    filepath.write_bytes(b"half")
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("method", ["save", "save_weights"])
def test_full_disk_leaves_the_old_file_and_no_other(rbm, tmp_path, monkeypatch, method):
    path = tmp_path / {"save": "rbm.keras", "save_weights": "rbm.weights.h5"}[method]
    getattr(rbm, method)(path)
    before = path.read_bytes()
    monkeypatch.setattr(keras.Model, method, fail_half_way)
    with pytest.raises(OSError, match="untouched: free some space"):
        getattr(rbm, method)(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_saved_weights_come_back_with_the_optimizer(rbm, tmp_path):
    rbm.save_weights(tmp_path / "rbm.weights.h5")
    saved = weights_of(rbm)
    rbm.fit(np.eye(6), epochs=1, verbose=0)
    rbm.load_weights(tmp_path / "rbm.weights.h5")
    assert_same(weights_of(rbm), saved)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_weights_leave_the_model_as_it_was(rbm, tmp_path, share):
    path = tmp_path / "rbm.weights.h5"
    rbm.save_weights(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    before = weights_of(rbm)
    with pytest.raises(OSError, match="not a whole file of weights: take an earlier checkpoint"):
        rbm.load_weights(path)
    assert_same(weights_of(rbm), before)


@pytest.mark.parametrize("sizes", [(6, 5), (7, 4)])
def test_weights_of_another_layout_are_refused_with_the_remedy(rbm, tmp_path, sizes):
    path = tmp_path / "other.weights.h5"
    BernoulliRBM(*sizes, seed=1).save_weights(path)
    before = weights_of(rbm)
    with pytest.raises(ValueError, match="another layout: build the model with the sizes"):
        rbm.load_weights(path)
    assert_same(weights_of(rbm), before)


def test_another_negative_phase_is_another_layout(rbm, tmp_path):
    path = tmp_path / "other.weights.h5"
    BernoulliRBM(6, 4, negative_phase=MeanFieldPhase(), seed=1).save_weights(path)
    with pytest.raises(ValueError, match="another layout"):
        rbm.load_weights(path)


def test_missing_file_and_missing_folder_say_so(rbm, tmp_path):
    with pytest.raises(FileNotFoundError):
        rbm.load_weights(tmp_path / "none.weights.h5")
    with pytest.raises(OSError, match="choose another folder"):
        rbm.save(tmp_path / "none" / "rbm.keras")


def test_a_truncated_backup_is_named_when_training_resumes(rbm, tmp_path):
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    rbm.fit(np.eye(6), epochs=2, verbose=0, callbacks=[backup])
    (file,) = tmp_path.glob("*.weights.h5")
    file.write_bytes(file.read_bytes()[:1000])
    resumed = BackupAndRestore(tmp_path)
    with pytest.raises(OSError, match="not a whole file of weights"):
        rbm.fit(np.eye(6), epochs=2, verbose=0, callbacks=[resumed])
