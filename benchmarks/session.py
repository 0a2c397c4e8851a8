"""One run of the benchmarks: what was asked for, the interpreter, and a folder for all that is thrown away."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes
from benchmarks.machine import environment
from benchmarks.peers import PEERS
from benchmarks.workloads import EPOCHS, Job


@dataclass(frozen=True, slots=True)
class Session:
    python: Path
    folder: Path
    peers: Sequence[str]
    works: Sequence[str]
    rounds: int | None = None
    """None: as each part thinks best."""
    epochs: int = EPOCHS
    """Of whole trainings."""
    quick: bool = False
    """Small sizes: to see that all works, not to measure."""

    def job(self, peer: str, work: str, *, epochs: int = EPOCHS) -> Job:
        return Job(peer, work, str(self.folder / work), epochs)

    def prepare(self, work: str, peers: Sequence[str], rows: int) -> None:
        """Make the data, the `.keras` file and the verdicts that the peers of a workload train with. Raises Died."""
        (self.folder / work).mkdir(exist_ok=True)
        job = self.job("kerascli-traced", work)
        processes.run(self.child("prepare", job.to_json(), str(rows), *peers), self.env("kerascli-traced"))

    def child(self, task: str, *arguments: str) -> list[str]:
        return [str(self.python), "-m", "benchmarks.child", task, *arguments]

    def env(self, peer: str | None = None, *, caches: Path | None = None) -> dict[str, str]:
        """What a process sees; `caches` keeps what is compiled, by default one folder for the session."""
        return environment(caches or self.folder / "caches") | (dict(PEERS[peer].env) if peer else {})

    def empty_caches(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))
