"""Variational inference in Keras: layers, variational autoencoders and estimators of the evidence.

Import the modules you need: `layers`, `networks`, `lambda_vae`, `vae`, `evidence`. This file
imports none, so that `python -m vae_keras --help` answers at once.
"""
