"""Commands on several processes, as a launcher starts them, without a new interpreter for each.

A server process imports torch and kerascli once, and forks: importing them takes seconds of CPU time in each process.
"""

import contextlib
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.support.quick import leave_out

_PRELOADED = ["torch", "kerascli.cli.commands", "kerascli.workflow.train", "kerascli.training.strategies.process_sum",
    "kerascli.training.strategies.fsdp", "kerascli.workflow.evaluate", "kerascli.workflow.predict",
    "kerascli.report.plots", "matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.colorbar",
    "mpl_toolkits.mplot3d", "pyarrow.compute", "pyarrow.csv", "torch.distributed.fsdp"]  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How the processes of a command ended: by rank, exit codes and what was printed."""

    codes: list[int | None]
    outputs: list[str]

    @property
    def text(self) -> str:
        return "".join(self.outputs)


class Launched:
    """Processes of commands that run one after the other, each process with its rank in its environment.

    `prepare` is called in each process before the first command.
    """

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        processes: int,
        folder: Path,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        context = fork_server()
        self._files = [folder / f"output-{rank}-{os.urandom(4).hex()}.txt" for rank in range(processes)]
        ports = [str(_free_port()) for _ in commands]
        self.processes: list[BaseProcess] = []
        for rank, file in enumerate(self._files):
            world = {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes),
                "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1",
            }  # fmt: skip
            work = ([list(each) for each in commands], ports, world if processes > 1 else {}, folder, file, prepare)
            self.processes.append(context.Process(target=_run, args=work, daemon=True))
        for process in self.processes:
            process.start()

    def wait(self, seconds: float = 60.0) -> Ended:
        """Wait until all have ended; those that have not after `seconds` are killed, and have no exit code."""
        codes: list[int | None] = []
        for process in self.processes:
            process.join(seconds)
            codes.append(process.exitcode)
            process.kill()
        return Ended(codes, [file.read_text() if file.exists() else "" for file in self._files])


def run_on(processes: int, folder: Path, *commands: Sequence[str]) -> Ended:
    """Run commands on several processes, one after the other, to their end or to the first that fails."""
    return Launched(commands, processes, folder).wait()


def _run(
    commands: list[list[str]],
    ports: list[str],
    environment: Mapping[str, str],
    folder: Path,
    file: Path,
    prepare: Callable[[], object] | None,
) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    leave_out()
    with file.open("w") as output, contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        from kerascli.cli.app import main

        if prepare is not None:
            prepare()
        for arguments, port in zip(commands, ports, strict=True):
            sys.argv = ["kerascli", *arguments]
            os.environ["MASTER_PORT"] = port
            try:
                main()
            except SystemExit as end:
                if end.code:
                    raise


def called_on(processes: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Return the results of function(rank, ...) in processes of a gloo group, by rank; None for one that failed."""
    context, port = fork_server(), _free_port()
    ends = [context.Pipe(duplex=False) for _ in range(processes)]
    started = []
    for rank, (_, end) in enumerate(ends):
        process = context.Process(target=_call, args=(rank, processes, port, end, function, arguments), daemon=True)
        process.start()
        end.close()
        started.append(process)
    found = []
    for process, (end, _) in zip(started, ends, strict=True):
        process.join(60.0)
        found.append(end.recv() if process.exitcode == 0 else None)
        process.kill()
    return found


def _call(rank: int, size: int, port: int, end: Any, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    end.send(function(rank, *arguments))
    dist.destroy_process_group()


def forked_kerascli(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a forked process with one thread, which has imported torch before."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("stdout", "stderr")]
        process = fork_server().Process(target=_run_alone, args=(arguments, env, cwd, files), daemon=True)
        process.start()
        process.join(600)
        process.kill()
        assert process.exitcode is not None, "it did not end"
        return subprocess.CompletedProcess(arguments, process.exitcode, *(file.read_text() for file in files))


def _run_alone(arguments: Sequence[str], environment: Mapping[str, str], folder: Path, files: Sequence[Path]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    leave_out()
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    from kerascli.cli.app import main

    sys.argv = ["kerascli", *arguments]
    main()


def fork_server() -> ForkServerContext:
    """Return the context whose processes are forked by the server."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # before the server imports torch
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
