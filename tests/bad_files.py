"""A folder of files that no command can use, each with one fault."""

import gzip
import os
import struct
import zipfile

import h5py
import numpy as np

from rbm_tf.rbm import RBM, BernoulliRBM
from rbm_tf.units import ReLU, Spin
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.vae import VAE

IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def good_arrays(num=6, shape=(4, 6)):
    """Random images and labels by the names of a .npz file."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (num, *shape)).astype("uint8"),
        "y_train": np.arange(num, dtype="uint8"),
        "x_test": rng.integers(0, 256, (3, *shape)).astype("uint8"),
        "y_test": np.arange(3, dtype="uint8"),
    }


def write_idx(folder, arrays, **broken):
    """Four gzipped IDX files; broken: bytes to write in place of one, by the array's name."""
    folder.mkdir()
    for name, (key, array) in zip(IDX, arrays.items(), strict=True):
        content = idx_header(*array.shape) + array.tobytes()
        content = broken.get(key, gzip.compress(content))
        (folder / f"{name}-ubyte.gz").write_bytes(content)


def idx_header(*shape):
    """The first bytes of an IDX file."""
    return struct.pack(">BBBB", 0, 0, 8, len(shape)) + struct.pack(f">{len(shape)}I", *shape)


def npy_header(shape, descr="|u1"):
    """The first bytes of a .npy file that claims a shape."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def write_npz(path, **members):
    """A .npz file in which some members are bytes instead of arrays."""
    np.savez(path, **{k: v for k, v in members.items() if not isinstance(v, bytes)})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            if isinstance(content, bytes):
                file.writestr(f"{name}.npy", content)


def encrypt(path):
    """Set the bit that says that each member of a zip file needs a password."""
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = content.find(mark)
        while start >= 0:
            content[start + flags] |= 1
            start = content.find(mark, start + 1)
    path.write_bytes(content)


def write_data_files(folder):
    """Files and folders of images with one fault each."""
    arrays = good_arrays()
    np.savez(folder / "good.npz", **arrays)
    good = (folder / "good.npz").read_bytes()
    np.savez_compressed(folder / "corrupted.npz", **good_arrays(200))
    content = bytearray((folder / "corrupted.npz").read_bytes())
    content[200:2000] = bytes(1800)
    (folder / "corrupted.npz").write_bytes(content)
    (folder / "wrong_sum.npz").write_bytes(
        good.replace(arrays["x_train"].tobytes()[:20], bytes(20))
    )
    (folder / "half.npz").write_bytes(good[: len(good) // 2])
    (folder / "empty.npz").touch()
    (folder / "text.npz").write_text("no arrays here")
    (folder / "encrypted.npz").write_bytes(good)
    encrypt(folder / "encrypted.npz")
    np.save(folder / "one.npy", arrays["x_train"])
    changes = {
        "flat": {"x_train": arrays["x_train"].reshape(6, -1)},
        "float": {"x_train": arrays["x_train"] / 255},
        "labels": {"y_train": arrays["y_train"][:-1]},
        "pickled": {"y_train": np.array([{}] * 6)},
        "no_rows": {"x_train": arrays["x_train"][:0], "y_train": arrays["y_train"][:0]},
        "no_tests": {"x_test": arrays["x_test"][:0], "y_test": arrays["y_test"][:0]},
        "no_pixels": {"x_train": arrays["x_train"][:, :0], "x_test": arrays["x_test"][:, :0]},
        "two_sizes": {"x_test": arrays["x_test"][:, 1:]},
        "claim": {"x_train": npy_header((10**9, 10**9, 10**9))},
        "negative": {"x_train": npy_header((-6, 4, 6)) + bytes(144)},
        "short": {"x_train": npy_header((6, 4, 6)) + bytes(143)},
        "long": {"x_train": npy_header((6, 4, 6)) + bytes(10**7)},
        "nested": {"x_train": npy_header("(" * 3000)},
        "no_header": {"x_train": b"\x93NUMPY\x07\x00"},
        "not_npy": {"x_train": b"something else"},
        "odd_dtype": {"x_train": npy_header((6, 4, 6), "no such")},
    }
    for name, change in changes.items():
        write_npz(folder / f"{name}.npz", **{**arrays, **change})
    np.savez(folder / "one_array.npz", x_train=arrays["x_train"])
    with zipfile.ZipFile(folder / "no_arrays.npz", "w"):
        pass


def write_idx_folders(folder):
    """Folders of IDX files with one fault each."""
    arrays = good_arrays()
    whole = gzip.compress(idx_header(6, 4, 6) + arrays["x_train"].tobytes())
    broken = {
        "text": b"not gzipped",
        "cut": whole[:-30],
        "rotten": whole[:40] + bytes(40) + whole[80:],
        "hollow": b"",
        "foreign": gzip.compress(b"something else"),
        "signed": gzip.compress(b"\0\0\x09" + idx_header(6, 4, 6)[3:] + bytes(144)),
        "claim": gzip.compress(idx_header(2**32 - 1, 2**32 - 1, 2**32 - 1)),
        "rank": gzip.compress(b"\0\0\x08\xff" + bytes(40)),
        "few": gzip.compress(idx_header(7, 4, 6) + bytes(144)),
        "more": gzip.compress(idx_header(6, 4, 6) + bytes(10**7)),
        "nothing": gzip.compress(idx_header(0, 4, 6)),
    }
    for name, content in broken.items():
        write_idx(folder / f"idx_{name}", arrays, x_train=content)
    (folder / "idx_none").mkdir()
    write_idx(folder / "idx_folder", arrays)
    images = folder / "idx_folder" / "t10k-images-idx3-ubyte.gz"
    images.unlink()
    images.mkdir()
    write_idx(folder / "idx_pipe", arrays)
    labels = folder / "idx_pipe" / "train-labels-idx1-ubyte.gz"
    labels.unlink()
    os.mkfifo(labels)


def write_models(folder):
    """Model files, good ones and with one fault each."""
    rbm = BernoulliRBM(64, 4, seed=0)
    rbm.save(folder / "rbm.keras")
    RBM(Spin(64), Spin(4), seed=0).save(folder / "spin.keras")
    RBM(ReLU(4), Spin(4), seed=0).save(folder / "rectified.keras")
    vae = VAE(
        dense_encoder((8, 8), 2, hidden_units=(8,)),
        dense_decoder((8, 8), 2, hidden_units=(8,)),
        seed=0,
    )
    vae.save(folder / "vae.keras")
    dense_decoder((8, 8), 2, hidden_units=(8,)).save(folder / "decoder.keras")
    rbm.kernel.assign(np.full((64, 4), np.nan))
    rbm.save(folder / "nan_rbm.keras")
    vae.set_weights([np.full_like(weight, np.inf) for weight in vae.get_weights()])
    vae.save(folder / "inf_vae.keras")
    for name in ("rbm", "vae"):
        content = (folder / f"{name}.keras").read_bytes()
        (folder / f"half_{name}.keras").write_bytes(content[: len(content) // 2])
        (folder / f"encrypted_{name}.keras").write_bytes(content)
        encrypt(folder / f"encrypted_{name}.keras")
    for name, config in {"list": "[]", "text": "?", "deep": "[" * 10**5, "bare": "{}"}.items():
        with zipfile.ZipFile(folder / f"config_{name}.keras", "w") as file:
            file.writestr("config.json", config)
    with zipfile.ZipFile(folder / "rbm.keras") as old:
        config = old.read("config.json")
        for name, text in {"no_weights": config, "no_units": config.replace(b"64", b"-1")}.items():
            with zipfile.ZipFile(folder / f"{name}.keras", "w") as file:
                file.writestr("config.json", text)
    with h5py.File(folder / "model.h5", "w") as file:
        file["weights"] = np.zeros(3)
    (folder / "text.keras").write_text("not a model")
    (folder / "empty.keras").touch()


def write_all(folder):
    """All of them, and places that are no regular files."""
    write_data_files(folder)
    write_idx_folders(folder)
    write_models(folder)
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "file").touch()
    for package in ("rbm", "vae"):
        (folder / "taken_model" / f"{package}.keras").mkdir(parents=True)
        (folder / "taken_results" / f"{package}_evaluate.json").mkdir(parents=True)
        (folder / "taken_pipe").mkdir(exist_ok=True)
        os.mkfifo(folder / "taken_pipe" / f"{package}_samples.npy")
    (folder / "nowhere_link").symlink_to(folder / "nowhere")
    (folder / "loop").symlink_to(folder / "loop")
