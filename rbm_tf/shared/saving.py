"""Models saved in another process: their classes are imported before Keras asks for them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import pathlib
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

_OWN = "rbm_tf", "vae_keras"


def load_model(path: str | pathlib.Path, **options: Any) -> Any:
    """The model in a .keras file, with layers, units and parts of both packages wherever in it.

    `keras.models.load_model` knows a class once its module has been imported, and a package
    imports nothing before it is used. This imports the modules that the file names.

    Args:
        path: of the file.
        options: of `keras.models.load_model`, such as compile=False.

    Returns:
        The model.

    Raises:
        ValueError: if there is no such file, or it is no .keras file.

    Example:
        >>> BernoulliRBM(6, 2, seed=0).save("rbm.keras")
        >>> load_model("rbm.keras").num_hidden
        2
    """
    import keras

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            import_named(json.loads(file.read("config.json")))
    return keras.models.load_model(path, **options)


def import_named(config: Any) -> None:
    """Import the modules of both packages that a serialised object names, and no others.

    Args:
        config: nested dicts and lists, as `keras.saving.serialize_keras_object` returns them.

    Example:
        >>> import_named({"module": "rbm_tf.rbm", "config": {"unit": {"module": "os"}}})
    """
    if isinstance(config, dict):
        module = config.get("module")
        if isinstance(module, str) and module.partition(".")[0] in _OWN:
            importlib.import_module(module)
    for value in config.values() if isinstance(config, dict) else config:
        if isinstance(value, (dict, list, tuple)):
            import_named(value)


@contextlib.contextmanager
def sharing() -> Iterator[None]:
    """Within the block Keras serialises an object that comes twice as one, as it does in a file.

    It is also a decorator, of `from_config` of what holds several objects; see `as_one`.

    Example:
        >>> with sharing():
        ...     import_named({"module": "rbm_tf.rbm"})
    """
    from keras.src.backend.common.global_state import get_global_attribute
    from keras.src.saving.serialization_lib import ObjectSharingScope

    # A second scope would end the first, in which Keras saves or loads a whole model.
    is_open = get_global_attribute("shared_objects/id_to_obj_map") is not None
    with contextlib.nullcontext() if is_open else ObjectSharingScope():
        yield


def as_one(get_config: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """`get_config` of what holds several objects: those that come twice are named as one.

    But for policies of dtypes, which layers have in common and are equal if they are two.

    Args:
        get_config: the method.

    Returns:
        The method.

    Example:
        >>> as_one(lambda layer: {"unit": {"class_name": "Unit"}})(None)
        {'unit': {'class_name': 'Unit'}}
    """

    @functools.wraps(get_config)
    def of_all(self):
        with sharing():
            config = get_config(self)
        _drop_ids_of_policies(config)
        return config

    return of_all


def _drop_ids_of_policies(config):
    """In place: Keras marks an object that it has written once when it meets it again."""
    if isinstance(config, dict) and str(config.get("class_name")).endswith("DTypePolicy"):
        config.pop("shared_object_id", None)
    for value in config.values() if isinstance(config, dict) else config:
        if isinstance(value, (dict, list, tuple)):
            _drop_ids_of_policies(value)
