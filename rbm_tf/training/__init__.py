"""Training an RBM: the model's side of the gradient, the loss, and what to watch."""

from rbm_tf.training.coordinates import Coordinates, Gradients
from rbm_tf.training.free_energy_gap import free_energy_gap
from rbm_tf.training.gauge import fix_gauge
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
from rbm_tf.training.stability import (
    are_unbounded,
    check_coupling,
    kept_stable,
    largest_coupling,
)

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
    "are_unbounded",
    "check_coupling",
    "fix_gauge",
    "free_energy_gap",
    "kept_stable",
    "largest_coupling",
]
