"""Variational inference in Keras: layers, variational autoencoders, estimators of the evidence.

Nothing heavy is imported before a name is used. The names, and where each comes from, stand in
`__init__.pyi` beside this file.
"""

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name):
    if name == "__version__":
        from importlib.metadata import version

        return version("free-energies")
    return _load(name)
