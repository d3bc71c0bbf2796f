"""Given some visible units: probabilities of the others, draws and means of them."""

from rbm_tf.conditional.annealing import clamped_ais
from rbm_tf.conditional.clamping import (
    clamped_machine,
    conditional_machine,
    observed_states,
    over_units,
    with_means,
)
from rbm_tf.conditional.exact import clamped_log_z, log_conditional, log_marginal
from rbm_tf.conditional.inpainting import Inpainting, inpaint
from rbm_tf.conditional.sampling import chains_of

__all__ = [
    "Inpainting",
    "chains_of",
    "clamped_ais",
    "clamped_log_z",
    "clamped_machine",
    "conditional_machine",
    "inpaint",
    "log_conditional",
    "log_marginal",
    "observed_states",
    "over_units",
    "with_means",
]
