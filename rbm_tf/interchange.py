"""Machines of other packages: files of rbms, and models of scikit-learn.

All have our energy E(v, h) = -a.v - b.h - v^T W h (B1), so parameters move over as they are.
"""

from __future__ import annotations

import pathlib
import re
from typing import Any

import numpy as np
import tensorflow as tf

from rbm_tf.machine import Machine, machine_of
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.shared.files import written_whole
from rbm_tf.shared.memory import check_memory
from rbm_tf.shared.types import PathLike, RBMLike
from rbm_tf.units import Binary, Potts

_BINARY, _POTTS = "BBRBM", "PBRBM"  # what rbms calls binary and Potts visible units
_NAMES = {"kernel": "weight_matrix", "visible_bias": "vbias", "hidden_bias": "hbias"}


def read_rbms(path: PathLike, *, update: int | None = None) -> Machine:
    """An RBM of binary or Potts visible units from an HDF5 file of the package rbms.

    The file holds the machine after several updates of training, each as weight_matrix W
    (num_visible, num_hidden), or (num, num_states, num_hidden) of Potts units, vbias a and hbias b
    in a group `update_<number>/params`. Chains and
    random states, which are there too, are left alone:
    `BernoulliRBM.from_parameters(*machine.parameters)`
    makes a model to train on.

    Args:
        path: the file; neither rbms nor PyTorch needs to be installed.
        update: the number of updates after which; the default is the last that was saved.

    Returns:
        `Machine` in the dtype of the file, float32 at least.

    Raises:
        ValueError: if the file is not of this kind, has other units or no such update.

    Reference: Béreux, Decelle, Furtlehner, Navas, Rosset and Seoane, rbms 0.5,
    https://github.com/DsysDML/rbms.

    Example:
        >>> write_rbms(BernoulliRBM(6, 4), "rbm.h5")
        >>> machine = read_rbms("rbm.h5")
        >>> machine.num_visible, machine.num_hidden
        (6, 4)
    """
    import h5py

    if not pathlib.Path(path).is_file():
        raise ValueError(f"{path} is no file: give the path of an HDF5 file that rbms saved.")
    try:
        with h5py.File(path, "r") as file:
            kind = _kind(file)
            group = _update(file, update)
            arrays = [_array(group, name) for name in _NAMES.values()]
        return _potts(*arrays) if kind == _POTTS else machine_of(Machine(*arrays))
    except Exception as error:  # damaged files raise OSError, RuntimeError, KeyError, ..
        raise ValueError(f"{path} cannot be read as an RBM of the package rbms: {error}") from error


def _kind(file):
    kind = file["model_type"][()].decode() if "model_type" in file else "not there"
    if kind not in (_BINARY, _POTTS):
        raise ValueError(f"its model_type must be {_BINARY} or {_POTTS}; it is {kind}.")
    return kind


def _potts(kernel, visible_bias, hidden_bias):
    """A machine of Potts units, whose states are columns here and an axis of their own there."""
    if kernel.ndim != 3 or visible_bias.shape != kernel.shape[:2]:
        raise ValueError(
            "weight_matrix and vbias must have shapes (num, num_states, num_hidden) and "
            f"(num, num_states); got {kernel.shape} and {visible_bias.shape}."
        )
    flat = kernel.reshape(-1, kernel.shape[2]), visible_bias.ravel()
    return machine_of(Machine(*flat, hidden_bias, visible=Potts(*kernel.shape[:2])))


def _update(file, update):
    """The group with the parameters after so many updates."""
    names = (re.fullmatch("update_([0-9]{1,18})", name) for name in file)
    updates = sorted(int(name[1]) for name in names if name)
    if not updates or update not in (None, *updates):
        raise ValueError(f"there is no update {update}; there are {updates}. Choose one of them.")
    return file[f"update_{updates[-1] if update is None else update}"]["params"]


def _array(group, name):
    shape, dtype = group[name].shape, group[name].dtype
    if dtype.kind != "f":
        raise ValueError(f"{name} must hold floats; its dtype is {dtype}.")
    check_memory(16 * group[name].size, f"{name}, {shape},", "take a machine of fewer units")
    array = group[name][()].astype(np.result_type(dtype, np.float32))
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} holds NaN or infinity.")
    return array


def write_rbms(rbm: RBMLike, path: PathLike) -> None:
    """Write the parameters of an RBM as a file that `rbms.io.load_params` reads as update 1.

    The file has no chains and no random state, so rbms evaluates and samples the machine, but does
    not go on with its training. What stands at path is replaced.

    Args:
        rbm: `RBM` or `Machine` with binary or Potts visible units and binary hidden ones; float64
            stays, other dtypes become float32.
        path: the file to write.

    Raises:
        OSError: if the file cannot be written.
        ValueError: if a layer has other units.

    Reference: as `read_rbms`.

    Example:
        >>> write_rbms(Machine(tf.zeros((3, 2)), tf.zeros(3), tf.zeros(2)), "zeros.h5")
        >>> read_rbms("zeros.h5").kernel.numpy().tolist()
        [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    import h5py

    visible, hidden = machine_of(rbm).visible, machine_of(rbm).hidden
    if not (isinstance(visible, (Binary, Potts)) and isinstance(hidden, Binary)):
        raise ValueError(
            "write_rbms writes machines with binary or Potts visible units and binary hidden ones;"
            f" got {visible!r} and {hidden!r}. Save the model with rbm.save."
        )
    dtype = tf.float64 if machine_of(rbm).dtype == tf.float64 else tf.float32
    machine = machine_of(rbm, dtype=dtype)
    with written_whole(path) as partial, h5py.File(partial, "w") as file:
        file["model_type"] = _POTTS if isinstance(visible, Potts) else _BINARY
        for ours, theirs in _NAMES.items():
            array = getattr(machine, ours).numpy()
            if isinstance(visible, Potts) and ours != "hidden_bias":  # the states have an axis
                array = array.reshape(visible.num, visible.num_states, *array.shape[1:])
            file[f"update_1/params/{theirs}"] = array


def from_sklearn(model: Any, **kwargs: Any) -> BernoulliRBM:
    """Our model with the parameters of a fitted `sklearn.neural_network.BernoulliRBM`.

    W = components_^T, a = intercept_visible_, b = intercept_hidden_; `transform` of the one is the
    call of the other.

    Args:
        model: a fitted `sklearn.neural_network.BernoulliRBM`.
        **kwargs: arguments of `BernoulliRBM` other than the sizes, such as dtype="float64", which
            keeps all digits.

    Returns:
        `BernoulliRBM`.

    Raises:
        ValueError: if the model is not fitted, or is of another kind.

    Example:
        >>> from sklearn import neural_network
        >>> theirs = neural_network.BernoulliRBM(n_components=3, random_state=0).fit(np.eye(4))
        >>> rbm = from_sklearn(theirs)
        >>> rbm.num_visible, rbm.num_hidden
        (4, 3)
    """
    try:
        kernel = model.components_.T
        visible_bias, hidden_bias = model.intercept_visible_, model.intercept_hidden_
    except AttributeError as error:
        raise ValueError(
            "model must be a sklearn.neural_network.BernoulliRBM after fit, with components_, "
            f"intercept_visible_ and intercept_hidden_; {error}."
        ) from error
    return BernoulliRBM.from_parameters(kernel, visible_bias, hidden_bias, **kwargs)
