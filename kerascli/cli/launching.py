"""Start a command on several processes of this machine, by torch's elastic launcher."""

import logging
import signal
import sys
import uuid
from collections.abc import Mapping

from kerascli.cli import options
from kerascli.foundation.errors import ProcessLost
from kerascli.foundation.interrupts import count_as_handled


def launch(processes: int, max_restarts: int) -> int:
    """Run the current command on several processes; return the exit code of the first process that failed, else 0.

    After a failure all are ended, and up to `max_restarts` times started again, which resumes the run of a training.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.CRITICAL)  # the processes themselves report what failed
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, run_id=uuid.uuid4().hex, rdzv_backend="c10d",
        rdzv_endpoint="localhost:0", max_restarts=max_restarts, monitor_interval=0.1,
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)("-P", "-m", "kerascli", *sys.argv[1:])
    except ChildFailedError as error:
        return _code_of({rank: failure.exitcode for rank, failure in error.failures.items()})
    except SignalException as error:  # the processes got the signal, too, and have reported it
        count_as_handled()
        return 128 + error.sigval.value
    return 0


def _code_of(codes: Mapping[int, int]) -> int:
    """Return the exit code of the processes that failed, by rank; say which of them was killed.

    Torch's first failure is that of rank 0 if several end in the same second.
    """
    reasons = [code for code in codes.values() if code not in _AFTER_ANOTHER and code > 0]
    if reasons:
        return reasons[0]
    for rank, code in codes.items():
        if code < 0 and code not in _AFTER_ANOTHER:  # as by a lack of memory
            options.note(f"process {rank} was ended by {signal.Signals(-code).name}")
            return ProcessLost.exit_code
    return min(code if code > 0 else 128 - code for code in codes.values())


_AFTER_ANOTHER = (ProcessLost.exit_code, 128 + signal.SIGTERM, -signal.SIGTERM)
"""Exit codes of a process that ends since another one has failed, which torch's launcher tells it by SIGTERM."""
