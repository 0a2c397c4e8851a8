"""Deal out the batches of an evaluation or prediction to several processes, which agree on what they compute."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256

from kerascli.data.batches.loader import Batch, BatchSource
from kerascli.data.batches.rows import Split
from kerascli.foundation.errors import ConfigError, ProcessLost
from kerascli.foundation.interrupts import Signalled, deferred
from kerascli.training.distributed.turns import Turns
from kerascli.workflow.opened import OpenedRun


@contextmanager
def shared(run: OpenedRun, rows: Split) -> Iterator[None]:
    """Context manager in which processes share the batches of rows; alone, it does nothing.

    A signal ends the work after a round of batches. Raises ConfigError if the processes have different runs or rows,
    or if a batch depends on the one before it.
    """
    if run.processes.world.size == 1:
        yield
        return
    for node in run.experiment.spec.built.model.nodes:
        if node.layer.keeps_states():
            text = f"'{node.name}' is stateful: row i of a batch continues row i of the one before, on one process only"
            raise ConfigError(text, hint="leave out --processes, and start it without a launcher")
    from kerascli.workflow.fitting.follow import checked_members  # loads the training loop, which one process spares

    checked_members(run.processes, run.record.resolved(), _digests(rows), weights=run.weights_digest)
    with deferred() as stop:
        run.processes.signal = lambda: stop.number
        try:
            with run.processes.heard():
                yield
        except ProcessLost:
            # It has left on a signal that all got, and says so. By SIGTERM launchers end the rest after a failure.
            if stop.number not in (None, signal.SIGTERM):
                raise SystemExit(128 + stop.number) from None
            raise


def dealt(run: OpenedRun, source: BatchSource) -> Iterable[Batch] | Turns:
    """Return all batches of rows in order, dealt out to the processes of a run if there are several."""
    processes = run.processes

    def leave_on_signal() -> None:
        if (number := processes.signal()) is not None:
            raise Signalled(number)

    if processes.world.size == 1:
        return source.epoch(0)
    return Turns(source, processes, full_rounds=run.experiment.is_divided, after_each=leave_on_signal)


def _digests(rows: Split) -> dict[str, str]:
    """Return the number of rows, and digests of the first and the last of them."""
    ends = {name: rows.read(part) for name, part in (("first", slice(0, 1)), ("last", slice(rows.rows - 1, rows.rows)))}
    found = {"rows": str(rows.rows)}
    for name, end in ends.items():
        values = b"".join(each.tobytes() for section in end.sections() for each in section.values())
        found[name] = sha256(values).hexdigest()
    return found
