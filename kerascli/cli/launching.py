"""Start a command on several processes of this machine, by torch's elastic launcher."""

import logging
import signal
import sys
import uuid
from collections.abc import Sequence

from kerascli.cli import options
from kerascli.foundation.interrupts import count_as_handled

_OWN_OPTIONS = ("--processes", "--max-restarts")


def launch(processes: int, max_restarts: int) -> int:
    """Run the current command on several processes; return the exit code of the first process that failed, else 0.

    After a failure all are ended, and up to `max_restarts` times started again, which resumes the run of a training.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.CRITICAL)  # the processes themselves report what failed
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=max_restarts,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, sys.executable)("-P", "-m", "kerascli", *without_own_options(sys.argv[1:]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode > 0:
            return failure.exitcode
        options.note(f"process {rank} was ended by {signal.Signals(-failure.exitcode).name}")  # as by a lack of memory
        return 5
    except SignalException as error:  # the processes got the signal, too, and have reported it
        count_as_handled()
        return 128 + error.sigval.value
    return 0


def without_own_options(arguments: Sequence[str]) -> list[str]:
    """Return the command-line arguments without the launcher's own options."""
    found: list[str] = []
    is_value = False
    for argument in arguments:
        if is_value:
            is_value = False
        elif argument in _OWN_OPTIONS:
            is_value = True
        elif not argument.startswith(tuple(f"{name}=" for name in _OWN_OPTIONS)):
            found.append(argument)
    return found
