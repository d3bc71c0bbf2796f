"""Machines of other packages: files of rbms, and models of scikit-learn.

Both have our energy E(v, h) = -a.v - b.h - v^T W h with units {0, 1} (B1), so parameters move over
as they are.
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

_BINARY = "BBRBM"  # rbms calls it Bernoulli-Bernoulli
_NAMES = {"kernel": "weight_matrix", "visible_bias": "vbias", "hidden_bias": "hbias"}


def read_rbms(path: PathLike, *, update: int | None = None) -> Machine:
    """The parameters of a binary RBM from an HDF5 file of the package rbms.

    The file holds the machine after several updates of training, each as weight_matrix W
    (num_visible, num_hidden), vbias a and hbias b in a group `update_<number>/params`. Chains and
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
            group = _update(file, update)
            arrays = [_array(group, name) for name in _NAMES.values()]
        return machine_of(Machine(*arrays))
    except Exception as error:  # damaged files raise OSError, RuntimeError, KeyError, ..
        raise ValueError(f"{path} cannot be read as an RBM of the package rbms: {error}") from error


def _update(file, update):
    """The group with the parameters after so many updates."""
    kind = file["model_type"][()].decode() if "model_type" in file else "not there"
    if kind != _BINARY:
        raise ValueError(f"its model_type must be {_BINARY}, of binary units; it is {kind}.")
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
        rbm: `BernoulliRBM` or `Machine`; float64 stays, other dtypes become float32.
        path: the file to write.

    Raises:
        OSError: if the file cannot be written.
        ValueError: if a layer is not binary.

    Reference: as `read_rbms`.

    Example:
        >>> write_rbms(Machine(tf.zeros((3, 2)), tf.zeros(3), tf.zeros(2)), "zeros.h5")
        >>> read_rbms("zeros.h5").kernel.numpy().tolist()
        [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    import h5py

    if not machine_of(rbm).is_binary:
        raise ValueError(
            f"write_rbms writes machines of binary units; got {machine_of(rbm).visible!r} and "
            f"{machine_of(rbm).hidden!r}. Save the model with rbm.save."
        )
    dtype = tf.float64 if machine_of(rbm).dtype == tf.float64 else tf.float32
    machine = machine_of(rbm, dtype=dtype)
    with written_whole(path) as partial, h5py.File(partial, "w") as file:
        file["model_type"] = _BINARY
        for ours, theirs in _NAMES.items():
            file[f"update_1/params/{theirs}"] = getattr(machine, ours).numpy()


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
