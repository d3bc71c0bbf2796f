"""Arrays from .npz files and from folders of gzipped IDX files that nobody vouches for.

A header's claim is held against the file's size and the memory before anything of that size is
read, so that damaged and malicious files end in a ValueError.
"""

import gzip
import math
import pathlib
import zipfile

import numpy as np
from numpy.lib import format as npy

from rbm_tf.shared.memory import check_memory

_IDX_FILES = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}
_DEFLATE = 1032  # bytes at most that one compressed byte may stand for
_COPIES = 16  # bytes of memory for each byte of the file: float32, and the draw of binary pixels


def read_arrays(path: pathlib.Path) -> tuple[np.ndarray, ...]:
    """Read x_train, y_train, x_test and y_test, and check that they fit together.

    Args:
        path: where a .npz file, or a folder with four -ubyte.gz files, stands.

    Returns:
        Four arrays in this order: images uint8 (num, height, width), labels (num,).

    Raises:
        ValueError: if the path does not hold them; it says what was found.

    Example:
        >>> arrays = read_arrays(pathlib.Path("mnist.npz"))  # doctest: +SKIP
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist: give a .npz file or a folder of -ubyte.gz files.")
    try:
        if path.is_dir():
            arrays = {key: _read_idx(path / name) for key, name in _IDX_FILES.items()}
        else:
            _check_regular(path)
            with zipfile.ZipFile(path) as file:
                arrays = {key: _read_npy(file, f"{key}.npy") for key in _IDX_FILES}
    except Exception as error:  # damaged files raise a dozen types, zlib.error among them
        raise ValueError(
            f"{path} must be a .npz file with the arrays {', '.join(_IDX_FILES)}, or a folder with "
            f"{', '.join(_IDX_FILES.values())}: {error}"
        ) from error
    _check(path, arrays)
    return tuple(arrays[key] for key in _IDX_FILES)


def _check(path, arrays):
    for part in ("train", "test"):
        images, labels = arrays["x_" + part], arrays["y_" + part]
        if images.dtype != np.uint8 or images.ndim != 3 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{path}: x_{part} must be uint8 (num, height, width) and y_{part} (num,); found "
                f"{images.dtype} {images.shape} and {labels.shape}."
            )
        if images.size and images.max() == 1:
            raise ValueError(
                f"{path}: x_{part} must hold grey levels from 0 to 255, and has none above 1: "
                "multiply binary pixels by 255."
            )
        if not images.size or images.shape[1:] != arrays["x_train"].shape[1:]:
            raise ValueError(
                f"{path}: x_train and x_test must hold images, all of the same height and width; "
                f"found {arrays['x_train'].shape} and {arrays['x_test'].shape}."
            )


def _check_regular(path):
    if not path.is_file():
        raise ValueError(f"{path} is {'no regular file' if path.exists() else 'missing'}.")


def _check_claim(name, shape, fits, num_bytes):
    if not fits:
        raise ValueError(f"the header of {name} claims {shape}, which is not what the file holds.")
    check_memory(_COPIES * num_bytes, f"{name}, {shape},", "take a part of the data")


def _read_idx(path):
    """Read one gzipped IDX file: two zero bytes, type 8 (uint8), rank, sizes, then the data."""
    _check_regular(path)
    with gzip.open(path) as file:
        header = file.read(4)
        if len(header) != 4 or header[:3] != b"\0\0\x08":
            raise ValueError(f"{path.name} is not an IDX file of unsigned bytes.")
        shape = tuple(np.frombuffer(file.read(4 * header[3]), ">u4").tolist())
        num_bytes = math.prod(shape)
        possible = num_bytes <= _DEFLATE * path.stat().st_size
        _check_claim(path.name, shape, possible and len(shape) == header[3], num_bytes)
        data = file.read(num_bytes + 1)
        _check_claim(path.name, shape, len(data) == num_bytes, num_bytes)
        return np.frombuffer(data, np.uint8).reshape(shape).copy()


def _read_npy(archive, name):
    """Read one member of a .npz file: a header with shape and dtype, then the data."""
    if name not in archive.namelist():
        raise ValueError(f"there is no {name} in it, only {', '.join(archive.namelist())}.")
    with archive.open(name) as file:
        if npy.read_magic(file) == (1, 0):
            shape, fortran_order, dtype = npy.read_array_header_1_0(file)
        else:
            file.seek(0)
            npy.read_magic(file)
            shape, fortran_order, dtype = npy.read_array_header_2_0(file)
        num_bytes = math.prod(shape) * dtype.itemsize
        held = archive.getinfo(name).file_size - file.tell()
        _check_claim(name, shape, num_bytes == held, num_bytes)
        data = np.frombuffer(file.read(num_bytes), dtype)
        return data.reshape(shape, order="F" if fortran_order else "C").copy()
