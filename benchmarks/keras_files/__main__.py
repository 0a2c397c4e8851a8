"""Check kerascli against files that Keras makes: python -m benchmarks.keras_files

Each model is made, saved by Keras, imported, asked what it predicts, exported, opened by Keras and asked again, in a
forked process: one that dies or hangs ends no other. It needs the packages keras and h5py. `--parts` and `--only`
choose. Results are written with `--json`, and `--merge` reports those of several such files. The exit code is 1 if a
model differs or fails.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import argparse
import fnmatch
import importlib
import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.keras_files.forked import checked
from benchmarks.keras_files.models import KerasModel
from benchmarks.keras_files.report import report
from benchmarks.keras_files.round_trip import Result

PARTS = ("applications", "layers", "graphs")
"""Modules beside this one; each has `models(...)`, which yields what it is made of."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keras_files", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    help_of_only = "names of models, such as 'ConvNeXt*' or 'LSTM 3'"
    parser.add_argument("--only", nargs="+", metavar="GLOB", default=["*"], help=help_of_only)
    parser.add_argument("--seed", type=int, default=0, help="seed of the parts that are drawn: layers and graphs")
    parser.add_argument("--seconds", type=float, default=600, help="limit on one model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the result of each model, as JSON Lines")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as Markdown, name by name, too")
    parser.add_argument("--merge", nargs="+", type=Path, metavar="FILE", help="make no model: report these JSON Lines")
    given = parser.parse_args()
    results = _merged(given.merge) if given.merge else _checked(given)
    print(report(results))
    if given.report:
        given.report.write_text(report(results, each=True) + "\n", encoding="utf-8")
    outcomes = Counter(each.outcome for part in results.values() for each in part)
    return 1 if outcomes["differs"] or outcomes["failed"] else 0


def _merged(files: Sequence[Path]) -> dict[str, list[Result]]:
    """Return the results in files; of several for one model the last one."""
    found: dict[str, dict[str, Result]] = {}
    for line in (line for file in files for line in file.read_text(encoding="utf-8").splitlines()):
        fields = json.loads(line)
        part = found.setdefault(fields.pop("part"), {})
        part[fields["name"]] = Result(**fields)
    return {part: list(by_name.values()) for part, by_name in found.items()}


def _checked(given: argparse.Namespace) -> dict[str, list[Result]]:
    results: defaultdict[str, list[Result]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="keras-files-") as folder:
        for part in given.parts:
            for number, model in enumerate(_chosen(part, given.only, given.seed)):
                result = checked(model, Path(folder), given.seconds)
                kind = f"{part}: {model.kind}" if model.kind else part
                results[kind].append(result)
                _say(part, number, result)
                if given.json:
                    with given.json.open("a", encoding="utf-8") as file:
                        print(json.dumps({"part": kind, **asdict(result)}), file=file)
    return results


def _chosen(part: str, patterns: Sequence[str], seed: int) -> Iterator[KerasModel]:
    module: Any = importlib.import_module(f"benchmarks.keras_files.{part}")
    found = module.models() if part == "applications" else module.models(seed)
    return (model for model in found if any(fnmatch.fnmatchcase(model.name, each) for each in patterns))


def _say(part: str, number: int, result: Result) -> None:
    gaps = " ".join(f"{gap:.1e}" for gap in (result.gap, result.gap_again, result.spread) if gap is not None)
    found = f"{result.outcome} {result.step} {gaps} {result.detail}"
    print(f"{part} {number} {result.name}: {' '.join(found.split())}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
