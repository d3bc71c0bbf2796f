"""Saved models in another process, as for Boltzmann machines."""

from rbm_tf.shared.saving import load_model

__all__ = ["load_model"]
