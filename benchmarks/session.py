"""One run of the benchmarks: what was asked for, the interpreter, and a folder for all that is thrown away."""

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import environment
from benchmarks.peers import PEERS
from benchmarks.workloads import EPOCHS, ROOT, Job


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

    def job(self, peer: str, work: str, *, rows: int, epochs: int = EPOCHS) -> Job:
        return Job(peer, work, str(self.digits(rows)), epochs)

    def digits(self, rows: int) -> Path:
        """The file with so many digits, written when it is first asked for."""
        path = self.folder / f"digits-{rows}.npz"
        if not path.exists():
            subprocess.run(self.child("digits", str(path), str(rows)), cwd=ROOT, env=self.env(), check=True)
        return path

    def child(self, task: str, *arguments: str) -> list[str]:
        return [str(self.python), "-m", "benchmarks.child", task, *arguments]

    def env(self, peer: str | None = None, *, caches: Path | None = None) -> dict[str, str]:
        """What a process sees; `caches` keeps what is compiled, by default one folder for the session."""
        return environment(caches or self.folder / "caches") | (dict(PEERS[peer].env) if peer else {})

    def empty_caches(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))
