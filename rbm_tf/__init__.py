"""Statistical mechanics of restricted Boltzmann machines, in TensorFlow.

Import the modules you need: `rbm`, `enumeration`, `annealing`, `reweighting`, `mean_field`,
`cumulants`, `datasets`, `plotting`. This file imports none, so that `python -m rbm_tf --help`
answers at once.
"""
