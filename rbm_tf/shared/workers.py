"""Independent pieces of work, one after the other in this process or on the workers of Dask."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from rbm_tf.shared.progress import Progress

_AHEAD = 64  # pieces at least that are handed out before the first comes back


def in_order(
    function: Callable[..., Any],
    pieces: Iterable[tuple[Any, ...]],
    *,
    client: Any = None,
    sizes: Sequence[int],
    unit: str,
    description: str,
    progress: bool = True,
    done: int = 0,
) -> Generator[Any, None, None]:
    """function(*piece) for each piece, in their order, whichever is computed first, and by whom.

    A piece has a number, and the result of that number is yielded once. A worker that dies takes
    with it what it has not handed over: others compute these pieces again. So the results are those
    of one process, as far as function is one of its arguments alone and processors round alike.

    Args:
        function: what is done, a function that pickles; cloudpickle takes lambdas and Keras models.
        pieces: the arguments of each; a generator makes them as they are needed.
        client: a `distributed.Client`, or the address of its scheduler; None computes here.
        sizes: how much each piece moves the progress bar.
        unit: what is counted.
        description: what the bar says.
        progress: whether to show the bar, which appears after two seconds.
        done: how much was done before.

    Yields:
        The results.

    Raises:
        ImportError: if there is a client and no Dask.

    Example:
        >>> list(in_order(pow, [(2, 3), (3, 2)], sizes=[1, 1], unit="power", description="powers"))
        [8, 9]
    """
    total = done + sum(sizes)
    with Progress(total, description, unit, done=done, shown=progress) as bar:
        if client is None:
            for piece, size in zip(pieces, sizes, strict=True):
                yield function(*piece)
                bar.update(size)
            return
        ready: dict[int, Any] = {}
        number = 0
        with contextlib.closing(_as_they_come(function, pieces, client)) as results:
            for finished, result in results:
                ready[finished] = result
                bar.update(sizes[finished])
                while number in ready:
                    yield ready.pop(number)
                    number += 1


def _as_they_come(function, pieces, client):
    """Pairs of a piece's number and its result, in the order in which workers hand them over."""
    distributed = _distributed()
    import cloudpickle
    import dask

    with contextlib.ExitStack() as stack:
        if isinstance(client, str):
            client = stack.enter_context(distributed.Client(client, set_as_default=False))
        # The scheduler keeps what was submitted, and makes it anew where a worker took it with it.
        stack.enter_context(dask.config.set({_LARGE: "1GB"}))
        held = client.submit(cloudpickle.loads, cloudpickle.dumps(function), pure=False)
        numbers: dict[Any, int] = {}
        rest = enumerate(pieces)
        running = distributed.as_completed(loop=client.loop, with_results=True)
        stack.callback(lambda: client.cancel([held, *numbers]))

        def hand_out(count):
            for _, (number, piece) in zip(range(count), rest, strict=False):
                future = client.submit(_apply, held, *piece, pure=False)
                numbers[future] = number
                running.add(future)

        hand_out(max(_AHEAD, 4 * sum(client.nthreads().values())))
        for future, result in running:
            yield numbers.pop(future), result
            hand_out(1)


_LARGE = "distributed.admin.large-graph-warning-threshold"


def _apply(function, *piece):
    return function(*piece)


def _distributed():
    try:
        import distributed
    except ImportError as error:
        raise ImportError(
            "client=.. hands work to the workers of Dask, which is not installed: pip install "
            "'free-energies[workers]', or leave client away to compute in this process."
        ) from error
    return distributed
