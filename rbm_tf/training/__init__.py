"""Training an RBM: the model's side of the gradient, the loss, and what to watch."""

from rbm_tf.training.discriminative import label_loss
from rbm_tf.training.free_energy_gap import free_energy_gap
from rbm_tf.training.missing import check_data, draw_missing
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
    "check_data",
    "draw_missing",
    "free_energy_gap",
    "label_loss",
]
