"""Training an RBM: the model's side of the gradient, the loss, and what to watch."""

from rbm_tf.training.free_energy_gap import free_energy_gap
from rbm_tf.training.monitors import (
    FreeEnergyGap,
    LogLikelihood,
    PseudoLikelihood,
    StopWhenNotFinite,
)
from rbm_tf.training.negative_phase import (
    ContrastiveDivergence,
    ExactPhase,
    MeanFieldPhase,
    ModelMoments,
    ModelStates,
    ParallelTempering,
    PersistentContrastiveDivergence,
)
from rbm_tf.training.rbm_fit import RBMFit

__all__ = [
    "ContrastiveDivergence",
    "ExactPhase",
    "FreeEnergyGap",
    "LogLikelihood",
    "MeanFieldPhase",
    "ModelMoments",
    "ModelStates",
    "ParallelTempering",
    "PersistentContrastiveDivergence",
    "PseudoLikelihood",
    "RBMFit",
    "StopWhenNotFinite",
    "free_energy_gap",
]
