"""The roads to ln Z, side by side: one table row for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rbm_tf.annealing import ais, reverse_ais
from rbm_tf.enumeration import log_z
from rbm_tf.estimates import LogZEstimate
from rbm_tf.machine import machine_of
from rbm_tf.mean_field import cumulant_free_energy, tap
from rbm_tf.reweighting import importance_sampling, monte_carlo
from rbm_tf.shared.progress import Progress, bars
from rbm_tf.shared.types import RBMLike
from rbm_tf.state_sums import is_quick, num_terms
from rbm_tf.tempering import tempered_sample, tempered_windows
from rbm_tf.umbrella import mbar

_NUM_SAMPLES = 100_000  # of plain Monte Carlo and importance sampling
_COLUMNS = ("method", "ln Z", "s.e.", "ESS", "error", "bound", "seconds")
_SHORT = 5.0  # seconds; a road this quick is timed without the building of its graph


def _cumulants(order):
    bound = "lower" if order == 1 else None
    return lambda rbm, seed: LogZEstimate(-float(cumulant_free_energy(rbm, order)), bound=bound)


def _from_mean_field(rbm, seed):
    mean = machine_of(rbm).visible.inside(tap(rbm, order=1).visible)
    return importance_sampling(rbm, mean, num_samples=_NUM_SAMPLES, seed=seed)


def _base(rbm):
    """The base of annealing: the means of the data, where they are known."""
    return {"base": "data" if hasattr(rbm, "visible_offset") else "uniform"}


def _back(rbm, seed):
    samples = tempered_sample(rbm, 100, seed=seed, **_base(rbm))
    return reverse_ais(rbm, samples, seed=seed, **_base(rbm))


ROADS = {  # from a name to a function (rbm, seed) -> `LogZEstimate`
    "naive mean field": lambda rbm, seed: tap(rbm, order=1),
    "cumulants, order 1": _cumulants(1),
    "cumulants, order 2": _cumulants(2),
    "cumulants, order 3": _cumulants(3),
    "TAP, order 2": lambda rbm, seed: tap(rbm, order=2),
    "TAP, order 3": lambda rbm, seed: tap(rbm, order=3),
    "plain Monte Carlo": lambda rbm, seed: monte_carlo(rbm, num_samples=_NUM_SAMPLES, seed=seed),
    "importance sampling from mean field": _from_mean_field,
    "AIS forward": lambda rbm, seed: ais(rbm, seed=seed, **_base(rbm)),
    "AIS reverse": _back,
    "tempering, MBAR": lambda rbm, seed: mbar(tempered_windows(rbm, seed=seed, **_base(rbm))),
}


def compare(
    rbm: RBMLike,
    *,
    roads: Mapping[str, Callable[..., LogZEstimate]] | None = None,
    progress: bool = True,
    seed: int | None = None,
) -> list[dict[str, Any]]:
    """Walk several roads to ln Z and put what they say into a table, with the exact value if any.

    Args:
        rbm: `RBM`, `Machine`, or anything else with the parameters of an RBM.
        roads: for each name a function that maps (rbm, seed) to a `LogZEstimate`; the default is
            `ROADS`.
        progress: whether to show progress bars, those of the roads among them; they appear after
            two seconds.
        seed: integer that every road gets; the same seed gives the same estimates.

    Returns:
        List of dicts, ready for `pandas.DataFrame`, one for each road after the exact one: method,
        "ln Z" in nats, "s.e." its standard error, "ESS" the effective sample size, "error" against
        the exact value, bound, seconds. None stands for what a road does not say, and for the error
        where no layer has up to 2^20 states. A road that does not exist for the units says so in
        its name, and nothing else. A road that takes less than 5 seconds is walked
        twice, so that its seconds do not count the building of a TensorFlow graph.

    Example:
        >>> table = compare(BernoulliRBM(6, 4, seed=0), roads={"TAP": ROADS["TAP, order 2"]})
        >>> [row["method"] for row in table]
        ['exact, 2^4 states', 'TAP']
    """
    rows, exact = [], None
    if is_quick(rbm):
        exact, seconds = _timed(lambda: LogZEstimate(log_z(rbm)))
        rows.append(_row(_exact_name(rbm), exact, exact, seconds))
    roads = ROADS if roads is None else roads
    with bars(progress), Progress(len(roads), "ln Z", "road") as bar:
        for name, road in roads.items():
            try:
                estimate, seconds = _timed(lambda road=road: road(rbm, seed))
            except ValueError as error:  # such as an order that the units do not have
                rows.append(_row(f"{name} (none: {_first_sentence(error)})", None, exact, None))
            else:
                settled = getattr(estimate, "converged", True)
                rows.append(
                    _row(name if settled else f"{name} (not converged)", estimate, exact, seconds)
                )
            bar.update(1)
    return rows


def _exact_name(rbm):
    number = num_terms(rbm)
    if number is None:
        return "exact, an integral"
    power = number.bit_length() - 1
    return f"exact, {f'2^{power}' if number == 2**power else f'{number:,}'} states"


def _timed(function):
    for _ in range(2):
        start = time.perf_counter()
        result = function()
        seconds = time.perf_counter() - start
        if seconds > _SHORT:
            break
    return result, seconds


def _first_sentence(error):
    return str(error).split(". ")[0].removesuffix(".")


def _row(name, estimate, exact, seconds):
    if estimate is None:
        return dict.fromkeys(_COLUMNS) | {"method": name}
    sampled = estimate.standard_error is not None
    return {
        "method": name,
        "ln Z": estimate.log_z,
        "s.e.": estimate.standard_error,
        "ESS": estimate.effective_sample_size,
        "error": None if exact is None else estimate.log_z - exact.log_z,
        "bound": f"{estimate.bound}, on average" if sampled and estimate.bound else estimate.bound,
        "seconds": seconds,
    }
