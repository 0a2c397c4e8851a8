"""Run a command as one of several processes: connect the processes before its work, and report an error only once."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from kerascli.errors import ConfigError, Interrupted, KerasCliError
from kerascli.interrupts import Signalled, end_with_parent
from kerascli.workflow.fitting.options import Options
from kerascli.world import launch_of, restarts_of, world_of

if TYPE_CHECKING:
    from kerascli.config.yaml.document import Document
    from kerascli.training.distributed.processes import Processes


def launch_if_asked(processes: int | None, max_restarts: int | None) -> None:
    """Start the command on several processes and exit, if an option asks for it and no launcher has done so."""
    if max_restarts is not None and processes is None:
        raise ConfigError("--max-restarts needs --processes; with torchrun, give it to torchrun")
    if processes is not None and processes > 1 and world_of().size == 1:
        from kerascli.cli.launching import launch

        raise SystemExit(launch(processes, max_restarts or 0))


@contextlib.contextmanager
def together(options: Options, timeout: float) -> Iterator[Options]:
    """Context manager that connects the processes started by a launcher and yields options with them; it does nothing
    for a single process.

    Of all processes only the first that fails reports its error; the others end with their exit codes.
    """
    world = world_of()
    if world.size == 1:
        yield options
        return
    if launch_of() is not None:
        end_with_parent()  # a launcher that is killed cannot end its processes
    from kerascli.device import choose_device
    from kerascli.training.distributed.processes import Processes

    processes = Processes.join(world, choose_device(options.device).value, timeout=timeout)
    try:
        yield replace(options, processes=processes)
    except Interrupted as error:
        if not world.leads:  # process 0 has saved the run, and says so
            raise SystemExit(error.code) from None
        raise
    except KerasCliError as error:
        if not processes.is_first_to_fail(error):
            raise SystemExit(error.exit_code) from None
        raise
    except Signalled as error:  # before the training: the others must not wait for this process
        processes.is_first_to_fail(error, "interrupted")
        raise
    except Exception as error:
        if not processes.is_first_to_fail(error, f"{type(error).__name__}: {error}"):
            raise SystemExit(1) from None
        raise
    processes.leave()


def interrupted_run(options: Options) -> str | None:
    """Return the run that these processes had begun before their launcher restarted them; None at the first start."""
    if options.processes is None or restarts_of() == 0:
        return None
    from kerascli.runs.index import list_runs

    found: str | None = None
    if options.processes.world.leads:
        launch = launch_of()
        found = next(
            (str(run.path) for run in list_runs(options.runs_dir) if run.facts().get("launch") == launch), None
        )
    return options.processes.exchange(found)[0]


def with_common_seed(document: "Document", processes: "Processes") -> "Document":
    """Return a config with a seed: its own, or a random one that is the same on all processes."""
    from kerascli.config.composition.overrides import override

    drawn = processes.exchange(secrets.randbelow(2**31))[0]
    return document if document.at(("seed",)) is not None else override(document, [f"seed={drawn}"])
