"""Check kerascli against files that Keras makes: python -m benchmarks.keras_files

Each model is made, saved by Keras, imported, asked what it predicts, exported, opened by Keras and asked again, in a
forked process: one that dies or hangs ends no other. It needs the packages keras and h5py. `--parts` and `--only`
choose; with `--keep FILE`, results are appended to it, and models that have one there are not checked again. The exit
code is 1 if a model differs or fails.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import argparse
import fnmatch
import importlib
import json
import shutil
import signal
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.keras_files.report import report
from benchmarks.keras_files.round_trip import KerasModel, Result, round_trip

PARTS = ("applications", "published", "layers", "graphs")
"""Modules beside this one; each has `models(...)`, which yields what it is made of."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keras_files", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    help_of_only = "names of models, such as 'ConvNeXt*' or 'LSTM 3'"
    parser.add_argument("--only", nargs="+", metavar="GLOB", default=["*"], help=help_of_only)
    parser.add_argument("--seed", type=int, default=0, help="seed of the parts that are drawn: layers and graphs")
    parser.add_argument("--seconds", type=float, default=600, help="limit on one model")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="results as JSON lines, to go on from")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as Markdown, name by name, too")
    given = parser.parse_args()
    results = _checked(given)
    print(report(results))
    if given.report:
        given.report.write_text(report(results, each=True) + "\n", encoding="utf-8")
    outcomes = Counter(each.outcome for part in results.values() for each in part)
    return 1 if outcomes["differs"] or outcomes["failed"] else 0


def _checked(given: argparse.Namespace) -> dict[str, list[Result]]:
    results: defaultdict[str, list[Result]] = defaultdict(list)
    lines = given.keep.read_text(encoding="utf-8").splitlines() if given.keep and given.keep.exists() else ()
    kept = {(part, row["name"]): Result(**row) for part, row in map(json.loads, lines)}
    with tempfile.TemporaryDirectory(prefix="keras-files-") as folder:
        for part in given.parts:
            for number, model in enumerate(_chosen(part, given.only, given.seed)):
                result = kept.get((part, model.name)) or _in_child(model, Path(folder), given.seconds)
                if given.keep and (part, model.name) not in kept:
                    with given.keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps([part, asdict(result)]) + "\n")
                kind = f"{part}: {model.kind}" if model.kind else part
                results[kind].append(result)
                _say(part, number, result)
    return results


def _in_child(model: KerasModel, folder: Path, seconds: float) -> Result:
    """Check a model in a forked process; one that died or took too long has failed."""
    work = Path(tempfile.mkdtemp(dir=folder))
    child = os.fork()
    if child == 0:
        _work(model, work, seconds)
    _, status = os.waitpid(child, 0)
    try:
        return Result(**json.loads((work / "result.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        why = f"took more than {seconds:g} s" if number == signal.SIGALRM else f"the process died: status {status}"
        return Result(model.name, "failed", "process", why)
    finally:
        shutil.rmtree(work)


def _work(model: KerasModel, work: Path, seconds: float) -> None:
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        with (work / "log.txt").open("w") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
        result = round_trip(model, work)
        (work / "result.json").write_text(json.dumps(asdict(result)), encoding="utf-8")
    finally:
        os._exit(0)


def _chosen(part: str, patterns: Sequence[str], seed: int) -> Iterator[KerasModel]:
    module: Any = importlib.import_module(f"benchmarks.keras_files.{part}")
    found = module.models() if part in {"applications", "published"} else module.models(seed)
    return (model for model in found if any(fnmatch.fnmatchcase(model.name, each) for each in patterns))


def _say(part: str, number: int, result: Result) -> None:
    gaps = " ".join(f"{gap:.1e}" for gap in (result.gap, result.gap_again, result.spread) if gap is not None)
    found = f"{result.outcome} {result.step} {gaps} {result.detail}"
    print(f"{part} {number} {result.name}: {' '.join(found.split())}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
