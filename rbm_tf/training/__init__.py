"""Training an RBM: the model's side of the gradient, the loss, and what to watch."""

from rbm_tf.training.coordinates import Coordinates, Gradients
from rbm_tf.training.discriminative import label_loss
from rbm_tf.training.free_energy_gap import free_energy_gap
from rbm_tf.training.gauge import fix_gauge
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
from rbm_tf.training.penalties import SquaredL1
from rbm_tf.training.rbm_fit import RBMFit
from rbm_tf.training.rbm_variables import RBMVariables

__all__ = [
    "ContrastiveDivergence",
    "Coordinates",
    "ExactPhase",
    "FreeEnergyGap",
    "Gradients",
    "LogLikelihood",
    "MeanFieldPhase",
    "ModelMoments",
    "ModelStates",
    "ParallelTempering",
    "PersistentContrastiveDivergence",
    "PseudoLikelihood",
    "RBMFit",
    "RBMVariables",
    "SquaredL1",
    "StopWhenNotFinite",
    "check_data",
    "draw_missing",
    "fix_gauge",
    "free_energy_gap",
    "label_loss",
]
