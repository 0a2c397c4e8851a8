"""Run a command as one of several processes: connect the processes before its work, and report an error only once."""

import contextlib
import secrets
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kerascli.cli.printing import print_to_stderr
from kerascli.foundation.disk.files import read_bytes
from kerascli.foundation.errors import ConfigError, FileRefused, Interrupted, KerasCliError, ProcessLost
from kerascli.foundation.interrupts import Signalled, count_as_handled, end_with_parent
from kerascli.foundation.user_code import exits_as_errors, line_of_user_code
from kerascli.foundation.world import launch_of, restarts_of, world_of
from kerascli.workflow.fitting.options import Options

if TYPE_CHECKING:
    from kerascli.config.yaml.document import Document
    from kerascli.runs.record import RunRecord
    from kerascli.training.strategies.group import Group


TIMEOUT = 600.0
"""Default of `--timeout`, in seconds."""


def launch_processes(
    processes: int | None, timeout: float, max_restarts: int | None = None, *, alone: Mapping[str, bool]
) -> None:
    """Start the command on several processes and exit, if an option asks for it and no launcher has done so.

    `alone` has sentences about arguments that need one process; ConfigError is raised for the first that is given.
    """
    if max_restarts is not None and (processes or 1) == 1:
        raise ConfigError("--max-restarts needs --processes of 2 or more; with torchrun, give it to torchrun")
    started = world_of().size
    if started > 1 and processes not in (None, started):
        raise ConfigError(f"--processes {processes}: the launcher has started {started}", hint="leave it out")
    if max(started, processes or 1) == 1:
        if timeout != TIMEOUT:
            raise ConfigError("--timeout needs --processes of 2 or more, or a launcher")
        return
    for why, is_set in alone.items():
        if is_set:
            raise ConfigError(f"{why}, on one process only", hint=_ALONE)
    if processes is not None and started == 1:
        from kerascli.cli.launching import launch

        raise SystemExit(launch(processes, max_restarts or 0))


def refuse_several(command: str | None) -> None:
    """Raise ConfigError for a command that runs on one process, where a launcher has started several."""
    if command not in _COMMANDS and (size := world_of().size) > 1:
        text = f"'{command}' runs on one process, and a launcher has started {size}"
        raise ConfigError(text, hint=f"{', '.join(_COMMANDS)} run on several")


_COMMANDS = ("train", "evaluate", "predict")
"""Commands that run on several processes."""
_ALONE = "leave out --processes, and start it without a launcher"


@contextlib.contextmanager
def dealing(device: str, timeout: float) -> Iterator["Group | None"]:
    """Context manager that connects the processes that share batches, as `connected` does; all leave together."""
    try:
        with connected(device, timeout) as group:
            yield group
            if group is not None:
                group.agree(None)  # process 0 has then read what the others have sent
    except ProcessLost as error:  # its hint is to resume a training
        faults = [replace(fault, hint="nothing was written; start it again") for fault in error.faults]
        raise ProcessLost(faults, exit_code=error.exit_code) from None


@contextlib.contextmanager
def connected(device: str, timeout: float) -> Iterator["Group | None"]:
    """Context manager that connects the processes started by a launcher; for a single process it yields None.

    Of all processes only the first that fails reports its error; the others end with their exit codes.
    """
    world = world_of()
    if launch_of() is not None:
        end_with_parent()  # a launcher that is killed cannot end its processes
    if world.size == 1:
        yield None
        return
    from kerascli.foundation.device import choose_device
    from kerascli.training.strategies.group import Group

    chosen, fault = "cpu", None
    try:
        chosen = choose_device(device).value
    except KerasCliError as error:  # all processes may have it: they meet on the CPU, and it is reported once
        fault = error
    try:
        group = Group.join(world, chosen, timeout=timeout)
    except Signalled as error:
        if world.leads:
            raise
        count_as_handled()
        raise SystemExit(error.code) from None
    try:
        if fault is not None:
            raise fault
        with exits_as_errors():
            yield group
    except (Exception, Signalled) as error:
        if (code := _code_of_silent(error, group)) is None:
            raise
        raise SystemExit(code) from None
    group.leave()


def _code_of_silent(error: "Exception | Signalled", group: "Group") -> int | None:
    """Return the exit code of this process if another one reports why all of them end; None if this one does."""
    if isinstance(error, Interrupted):  # process 0 has saved the run, and says so
        group.leave()
        return None if group.world.leads else error.exit_code
    if isinstance(error, KerasCliError):
        return None if group.is_first_to_fail(error, error.exit_code) else error.exit_code
    if isinstance(error, Signalled):  # before the training: the others must not wait for this process
        if group.is_first_to_fail(error, error.code, "interrupted"):
            print_to_stderr("error: interrupted")
        count_as_handled()
        return error.code
    code = 1 if line_of_user_code(error) is None else 2
    return None if group.is_first_to_fail(error, code, f"{type(error).__name__}: {error}") else code


def interrupted_run(options: Options, config: Path | None) -> str | None:
    """Return the run that this launch has begun and not ended; None if it has none.

    A launcher starts processes again after a failure, or with others when machines have joined or left; or it is itself
    started again by the same name (--rdzv-id), command and config.
    """
    if launch_of() is None:
        return None
    from kerascli.runs.index import list_runs

    path: str | None = None
    if options.group is None or options.group.world.leads:
        path = next((str(run.path) for run in list_runs(options.runs_dir) if _goes_on(run, options, config)), None)
    return path if options.group is None else options.group.agree(path)[0]


def _goes_on(run: "RunRecord", options: Options, config: Path | None) -> bool:
    """Return True if this launch has begun the run, and is to go on with it."""
    try:
        facts = run.facts()
        if facts.get("launch") != launch_of():
            return False
        same_command = facts.get("command") == shlex.join(["kerascli", *options.command])
        is_run = config is not None and not config.is_file()
        unchanged = is_run or (config is not None and run.config().encode() == read_bytes(config, 2**24))
    except (FileRefused, OSError):
        return False
    return restarts_of() > 0 or (same_command and unchanged and facts["status"] not in ("completed", "stopped"))


def with_common_seed(document: "Document", group: "Group") -> "Document":
    """Return a config with a seed: its own, or a random one that is the same on all processes."""
    from kerascli.config.composition.overrides import override

    drawn = group.agree(secrets.randbelow(2**31))[0]
    return document if document.at(("seed",)) is not None else override(document, [f"seed={drawn}"])
