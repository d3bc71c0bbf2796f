"""ln Z by the best road there is, and whether to trust it."""

from __future__ import annotations

from typing import NamedTuple

from rbm_tf.annealing import ais, reverse_ais
from rbm_tf.enumeration import log_z
from rbm_tf.estimates import LogZEstimate, Verdict, verdict
from rbm_tf.rbm import RBM
from rbm_tf.shared.progress import bars
from rbm_tf.shared.types import ArrayLike
from rbm_tf.stability import check_z
from rbm_tf.state_sums import is_quick

_NUM_CHAINS = 100


class JudgedLogZ(NamedTuple):
    """Estimates of one ln Z, and what they say of each other."""

    estimates: dict[str, LogZEstimate]  # by method, the best first
    verdict: Verdict

    @property
    def best(self) -> LogZEstimate:
        """The exact value, or the estimate by annealing from the data's means to the model."""
        return next(iter(self.estimates.values()))


def judged_log_z(
    rbm: RBM,
    *,
    betas: ArrayLike | None = None,
    num_steps: int = 1000,
    progress: bool = True,
    seed: int = 0,
) -> JudgedLogZ:
    """ln Z exactly where that takes seconds, otherwise by annealing three times, with a verdict.

    The three walks, of 100 chains each, go forward from the means of the data, back from samples
    of the model, and forward from visible units without fields.

    Args:
        rbm: an `RBM`, which knows the means of its data.
        betas: the path, as `ais` takes it.
        num_steps: the number of Gibbs sweeps that samples of the model take.
        progress: whether to show progress bars, which appear after two seconds.
        seed: integer that fixes the draws.

    Returns:
        `JudgedLogZ`.

    Raises:
        ValueError: if Z is infinite for certain, a parameter is not finite, or `ais` refuses its
            arguments.

    Reference: `is_quick`, `verdict`.

    Example:
        >>> judged_log_z(BernoulliRBM(64, 16, seed=0)).verdict.message
        'ln Z is exact.'
    """
    check_z(rbm)
    if is_quick(rbm):
        return JudgedLogZ({"exact": LogZEstimate(log_z(rbm))}, Verdict(True, "ln Z is exact.", {}))
    with bars(progress):
        samples = rbm.sample(_NUM_CHAINS, num_steps, seed=seed)
        estimates = {
            "AIS forward": ais(rbm, betas=betas, seed=seed),
            "AIS reverse": reverse_ais(rbm, samples, betas=betas, seed=seed),
            "AIS forward, uniform base": ais(rbm, betas=betas, base="uniform", seed=seed + 1),
        }
    return JudgedLogZ(estimates, verdict(*estimates.values()))
