import contextlib
import os
import resource

import keras
import numpy as np
import pytest

from rbm_tf.plotting import save_images
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.shared.checkpoints import BackupAndRestore
from rbm_tf.training.monitors import StopWhenNotFinite
from rbm_tf.training.negative_phase import MeanFieldPhase


@pytest.fixture
def rbm():
    rbm = BernoulliRBM(6, 4, seed=0)
    rbm.compile(
        keras.optimizers.SGD(0.1, momentum=0.9), run_eagerly=True
    )  # no graphs for a few steps
    rbm.fit(np.eye(6), epochs=2, verbose=0)
    return rbm


def weights_of(model):
    return [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]


def assert_same(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


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


@pytest.mark.parametrize("method", ["save", "save_weights"])
def test_file_that_is_there_is_kept_where_overwrite_is_false(rbm, tmp_path, method):
    path = tmp_path / {"save": "rbm.keras", "save_weights": "rbm.weights.h5"}[method]
    getattr(rbm, method)(path, overwrite=False)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="choose another name, or pass overwrite=True"):
        getattr(rbm, method)(path, overwrite=False)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_weights_in_several_files_are_refused(rbm, tmp_path):
    with pytest.raises(ValueError, match="leave max_shard_size away"):
        rbm.save_weights(tmp_path / "rbm.weights.json", max_shard_size=0.1)


@pytest.mark.parametrize("name", ["rbm.keras", "rbm.weights.h5", "backup.npz", "filters.png"])
@pytest.mark.parametrize("size", [0, 1000, 2500])  # bytes that the disk still takes
def test_disk_that_fills_up_leaves_the_old_file_and_no_other(rbm, tmp_path, name, size):
    backup = BackupAndRestore(tmp_path)
    backup.set_model(rbm)
    backup.set_params({"steps": 1})
    backup.on_train_begin()
    write = {
        "rbm.keras": rbm.save,
        "rbm.weights.h5": rbm.save_weights,
        "backup.npz": lambda path: backup.on_epoch_end(0),
        "filters.png": lambda path: save_images(path, np.random.rand(20, 8, 8), "Filters"),
    }[name]
    path = tmp_path / name
    if name == "backup.npz":  # which would refuse the file of somebody else
        write(path)
    else:
        path.write_bytes(b"what was there")
    before = path.read_bytes()
    with largest_file(size), pytest.raises(OSError, match="untouched: free some space"):
        write(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [name]
    write(path)
    assert path.stat().st_size > size


@contextlib.contextmanager
def largest_file(size):
    """The system refuses to make a file longer, in the way of a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_planted_link_is_not_written_through(rbm, tmp_path):
    victim = tmp_path / "a_file_of_the_user"
    victim.write_text("precious")
    (tmp_path / f".{os.getpid()}_rbm.keras").symlink_to(victim)
    rbm.save(tmp_path / "rbm.keras")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_broken_backup_is_named_when_training_resumes(rbm, tmp_path, content):
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    rbm.fit(np.eye(6), epochs=2, verbose=0, callbacks=[backup])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000] if content is None else content)
    before = weights_of(rbm)
    with pytest.raises(ValueError, match="is not a whole backup: delete it and train again"):
        rbm.fit(np.eye(6), epochs=2, verbose=0, callbacks=[BackupAndRestore(tmp_path)])
    assert_same(weights_of(rbm), before)


def test_backup_of_another_layout_is_refused(rbm, tmp_path):
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    rbm.fit(np.eye(6), epochs=2, verbose=0, callbacks=[backup])
    with pytest.raises(ValueError, match="another layout: build the model and its optimizer"):
        BernoulliRBM(6, 5).fit(np.eye(6), verbose=0, callbacks=[BackupAndRestore(tmp_path)])


def test_backup_is_made_at_the_end_of_epochs_alone():
    with pytest.raises(ValueError, match="leave save_freq away; got 5"):
        BackupAndRestore("backup", save_freq=5)
    with pytest.raises(ValueError, match="name a folder"):
        BackupAndRestore("")


def test_model_without_weights_has_no_backup(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"begin it with keras.Input"):
        model.fit(np.ones((4, 6)), np.ones(4), callbacks=[BackupAndRestore(tmp_path)])


def test_only_the_backup_is_deleted_and_the_next_fit_starts_at_the_first_epoch(rbm, tmp_path):
    (tmp_path / "a_file_of_the_user").touch()
    (tmp_path / ".partial_of_a_kill").mkdir()
    kept = BackupAndRestore(tmp_path, delete_checkpoint=False)
    rbm.fit(np.eye(6), epochs=2, verbose=0, callbacks=[kept])
    resumed = rbm.fit(np.eye(6), epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path)])
    assert resumed.epoch == [2]
    assert [file.name for file in tmp_path.iterdir()] == ["a_file_of_the_user"]
    assert rbm.fit(np.eye(6), epochs=2, verbose=0).epoch == [0, 1]


def test_mixed_precision_is_backed_up(tmp_path):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, dtype="bfloat16")])
    model.compile("adam", "mse")
    data = np.eye(6), np.ones((6, 2))
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    model.fit(*data, verbose=0, callbacks=[backup])
    before = [array.astype("float32") for array in weights_of(model)]
    model.set_weights([0 * w for w in model.get_weights()])
    model.fit(*data, verbose=0, callbacks=[backup])
    assert_same([array.astype("float32") for array in weights_of(model)], before)


def blow_up(epoch):
    return keras.callbacks.LearningRateScheduler(lambda at, _: 1e38 if at >= epoch else 0.1)


def kept_in(folder):
    with np.load(folder / "backup.npz") as backup:
        return {name: backup[name] for name in backup.files}


@pytest.mark.long
def test_a_blow_up_leaves_the_last_good_backup(rbm, tmp_path):
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    rbm.fit(np.eye(6), epochs=2, verbose=0, callbacks=[backup])
    good = kept_in(tmp_path)
    callbacks = [BackupAndRestore(tmp_path), blow_up(2)]
    rbm.fit(np.eye(6), batch_size=1, epochs=9, verbose=0, callbacks=callbacks)
    assert np.any(np.isnan(rbm.kernel))
    for name, array in kept_in(tmp_path).items():
        np.testing.assert_array_equal(array, good[name])


@pytest.mark.parametrize("first", [True, False])
def test_blow_up_after_a_resumption_goes_back_to_the_backup(rbm, tmp_path, first):
    rbm.fit(np.eye(6), epochs=2, verbose=0, callbacks=[BackupAndRestore(tmp_path, "epoch", False)])
    good, trained = kept_in(tmp_path), weights_of(rbm)
    new = BernoulliRBM(6, 4, seed=0)
    new.compile(keras.optimizers.SGD(0.1, momentum=0.9), run_eagerly=True)
    callbacks = [StopWhenNotFinite(), BackupAndRestore(tmp_path)][:: 1 if first else -1]
    with pytest.warns(UserWarning, match="lower the learning rate, or scale the data"):
        callbacks.append(blow_up(2))
        new.fit(np.eye(6), batch_size=1, epochs=9, verbose=0, callbacks=callbacks)
    assert_same(weights_of(new), trained)
    for name, array in kept_in(tmp_path).items():
        np.testing.assert_array_equal(array, good[name])


def test_an_epoch_that_is_cut_short_is_not_backed_up(rbm, tmp_path):
    cut = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: setattr(
            rbm, "stop_training", int(rbm.optimizer.iterations) >= 8 + 2
        )
    )
    before = int(rbm.optimizer.iterations)
    backup = BackupAndRestore(tmp_path)
    rbm.fit(np.eye(6), batch_size=1, epochs=3, verbose=0, callbacks=[cut, backup])
    assert int(rbm.optimizer.iterations) == 10
    assert int(kept_in(tmp_path)["epoch"]) == (10 - before) // 6


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_backup_of_another_training_is_not_overwritten(rbm, tmp_path, epoch):
    def train_another(at, logs):
        if at == epoch:
            other = BernoulliRBM(6, 5, seed=1)
            backup = BackupAndRestore(tmp_path / "other", delete_checkpoint=False)
            other.fit(np.eye(6), epochs=1, verbose=0, callbacks=[backup])
            (tmp_path / "other" / "backup.npz").replace(tmp_path / "backup.npz")

    another = keras.callbacks.LambdaCallback(on_epoch_end=train_another)
    callbacks = [BackupAndRestore(tmp_path), another]
    with pytest.raises(ValueError, match="written by another training since this one began"):
        rbm.fit(np.eye(6), epochs=4, verbose=0, callbacks=callbacks)
    assert kept_in(tmp_path)["arr_0"].shape == (6, 5)
