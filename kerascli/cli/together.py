"""A command as one of several processes: joined before its work, with one report of what went wrong."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from kerascli.errors import KerasCliError
from kerascli.workflow.fitting.options import Options
from kerascli.world import world_of


@contextlib.contextmanager
def together(options: Options, timeout: float) -> Iterator[Options]:
    """Join the processes that a launcher has started, and give the options with them; alone, do nothing.

    Of all processes only the first that fails reports its error; the others end with their exit codes.
    """
    world = world_of()
    if world.size == 1:
        yield options
        return
    from kerascli.device import choose_device
    from kerascli.training.distributed.processes import Processes

    processes = Processes.join(world, choose_device(options.device).value, timeout=timeout)
    try:
        yield replace(options, processes=processes)
    except KerasCliError as error:
        if not processes.is_first_to_fail(str(error)):
            raise SystemExit(getattr(error, "code", None) or error.exit_code) from None
        raise
    except Exception as error:
        if not processes.is_first_to_fail(f"{type(error).__name__}: {error}"):
            raise SystemExit(1) from None
        raise
    processes.leave()
