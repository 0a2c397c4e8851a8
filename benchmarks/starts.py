"""python -m benchmarks.starts: CPU seconds from the prompt to the answer, of commands as a user types them.

Each is a process of its own, in turn, with its bytecode written; the medians are compared with importing typer and
rich, which every command does, and torch.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks import processes
from benchmarks.epochs import in_turn
from benchmarks.machine import environment, facts
from benchmarks.outcomes import table
from benchmarks.workloads import ROOT

FLOOR, TORCH = "import typer, rich", "import torch"
CONFIG = ROOT / "configs" / "penguins.yaml"
FIRST_STEP = """
import gc
import sys
from pathlib import Path
gc.disable()  # as the command does
from kerascli.foundation.cpus import prepare_environment
prepare_environment()
from kerascli.config.load import open_config
from kerascli.foundation.events import EpochBegin
from kerascli.workflow.train import Options, start
for event in start(open_config(Path(sys.argv[1])), Options(runs_dir=Path(sys.argv[2]))):
    if isinstance(event, EpochBegin):
        break
"""
UNWRITTEN = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "/nonexistent"}
"""Environment in which Python finds no bytecode, and writes none."""


def commands(runs: int) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return arguments of Python, and further environment variables, by what is measured."""
    train = str(ROOT / "configs" / "mnist_mlp.yaml")
    measured = {
        FLOOR: ["-c", FLOOR],
        TORCH: ["-c", TORCH],
        "kerascli --help": _ours("--help"),
        "kerascli validate penguins.yaml": _ours("validate", str(CONFIG)),
        "kerascli summary penguins.yaml": _ours("summary", str(CONFIG)),
        "kerascli summary RUN": _ours("summary", "latest"),
        "kerascli plot RUN": _ours("plot", "latest", "-o", "curves.png"),
        f"kerascli runs, of {runs}": _ours("runs", "--runs-dir", "many"),
        "kerascli evaluate RUN": _ours("evaluate", "latest"),
        "kerascli predict RUN, one row": _ours("predict", "latest", "row.csv"),
        "train mnist_mlp.yaml to its first step": ["-c", FIRST_STEP, train, "first"],
    }
    bare = {f"{name}, without bytecode": (measured[name], UNWRITTEN) for name in (FLOOR, "kerascli --help")}
    return {name: (arguments, {}) for name, arguments in measured.items()} | bare


def _ours(*arguments: str) -> list[str]:
    return ["-m", "kerascli", *arguments]


def prepare(folder: Path, runs: int, environ: Mapping[str, str]) -> None:
    """Train the run that commands use, write a row to predict, and copy a tiny run a thousand times."""

    def kerascli(*arguments: str) -> None:
        processes.run([sys.executable, *_ours(*arguments)], environ, folder)

    tiny = ROOT / "configs" / "tiny.yaml"
    kerascli("train", str(CONFIG), "-q", "--set", "fit.epochs=2")
    kerascli("train", str(tiny), "-q", "--set", "fit.epochs=2", "--runs-dir", "one")
    [recorded] = (folder / "one").glob("*/run.json")
    for number in range(runs):
        name = f"2026-11-{1 + number // 60 % 28:02d}T{number // 1680:02d}-{number % 60:02d}-00Z-tiny"
        shutil.copytree(recorded.parent, folder / "many" / name)
    lines = (CONFIG.parent / "data" / "penguins.csv").read_text(encoding="utf-8").splitlines()
    (folder / "row.csv").write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")


def measure(rounds: int, runs: int) -> str:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        environ = environment(folder / "caches") | {"PYTHONPATH": str(ROOT)}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        prepare(folder, runs, environ)
        chosen = commands(runs)
        seconds: dict[str, list[float]] = {name: [] for name in chosen}
        for number in range(rounds + 1):  # the first writes bytecode and fills caches
            for name in in_turn(list(chosen), number):
                arguments, more = chosen[name]
                found = processes.run([sys.executable, *arguments], {**environ, **more}, folder)
                seconds[name] += [found.cpu_seconds] if number else []
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    rows = [
        [
            name,
            f"{each:.3f}",
            f"{min(seconds[name]):.3f}",
            f"{each / medians[FLOOR]:.2f}",
            f"{each - medians[TORCH]:+.2f}",
        ]
        for name, each in medians.items()
    ]
    return table(["CPU seconds", "median", "least", "of typer and rich", "less import torch"], rows)


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.starts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runs", type=int, default=1_000, help="number of runs that `kerascli runs` lists")
    options = parser.parse_args()
    print("\n".join(f"- {name}: {value}" for name, value in facts(Path(sys.executable)).items()), flush=True)
    print(f"\n{measure(options.rounds, options.runs)}")


if __name__ == "__main__":
    main()
