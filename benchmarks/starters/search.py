"""Measure a search over what `init --search` writes: python -m benchmarks.starters.search [--half HALF] [--write PAGE].

For each set and seed `init --from --search` writes a config, and `tune` trains its trials, one at a time on one thread.
The first trial is the config as `train` trains it; the seed draws weights, split and points. The space was chosen on
one half of the sets, every other one of `SETS`, and is reported on the other half.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.starters import sets
from benchmarks.starters.__main__ import PACKAGES, run, verdict
from benchmarks.starters.sets import DataSet, Missing
from kerascli.studies.folder import find_study
from kerascli.workflow.tuning.worker import Worker

SETS = sets.SETS | {"genres": replace(sets.SETS["genres"], write=partial(sets.genres, each=100))}
"""Data sets of `benchmarks.starters`, but fewer of the sentences, whose training is slow."""
HALVES = {"chosen": list(SETS)[::2], "reported": list(SETS)[1::2]}
NUMBERS = {name: number for number, name in enumerate(SETS)}
HEADING = "## What a search brings\n"
"""Heading of the page's section that is replaced, up to the end of its table."""
INTRODUCTION = """
`python -m benchmarks.starters.search` writes this section: the config as it is (trial 1) beside the best of up to 20
trials, those that begin within 10 minutes; the seeds also draw the split and the points. Every other set of the table
below served to choose the spaces; these are the rest. Test scores are accuracy, or R²; means over the seeds, with
standard errors. A tie: the mean difference of the test scores is within its standard error.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=list(HALVES), default="reported")
    parser.add_argument("--only", nargs="+", choices=list(SETS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--timeout", default="10m")
    parser.add_argument("--packages", type=Path, default=PACKAGES, help="folder of unpacked PyPI and npm packages")
    parser.add_argument("--results", type=Path, help="JSON file of results, to which new ones are added")
    parser.add_argument("--write", type=Path, help="Markdown page whose table is replaced")
    chosen = parser.parse_args()
    results: dict[str, Any] = {}
    if chosen.results and chosen.results.exists():
        results = json.loads(chosen.results.read_text(encoding="utf-8"))
    for name in chosen.only or HALVES[chosen.half]:
        for seed in range(chosen.seeds):
            if f"{name}/{seed}" in results:
                continue
            drawn = f"seed={100 * NUMBERS[name] + seed}"  # else all sets would have the same points
            budget = (f"tune.trials={chosen.trials}", f"tune.timeout={chosen.timeout}", drawn)
            try:
                results[f"{name}/{seed}"] = search(name, SETS[name], budget, chosen.packages.resolve())
            except Missing as missing:
                print(f"{name}: left out: {missing}", file=sys.stderr)
                break
            print(name, seed, results[f"{name}/{seed}"], flush=True)
            if chosen.results:
                chosen.results.write_text(json.dumps(results, indent=1), encoding="utf-8")
    text = table({name: [each for key, each in results.items() if key.startswith(f"{name}/")] for name in SETS})
    print(text)
    if chosen.write:
        page = chosen.write.read_text(encoding="utf-8")
        chosen.write.write_text(with_table(page, text), encoding="utf-8")


def search(name: str, which: DataSet, settings: tuple[str, ...], packages: Path) -> dict[str, Any]:
    """Search once; return value and score on the test rows, of the config as written and of the best trial."""
    folder = Path(tempfile.mkdtemp(prefix=f"search-{name}-"))
    try:
        config, runs = str(folder / "config.yaml"), folder / "runs"
        target = ("--target", which.target) if which.target else ()
        run("init", config, "--from", str(which.write(folder, packages)), "--search", *target)
        options = [word for each in settings for word in ("--set", each)]
        run("tune", config, "--runs-dir", str(runs), "--threads", "1", "--workers", "0", *options)
        study = find_study("latest", runs)
        deadline = time.time() + (study.tune.timeout or 600)
        while Worker(study, deadline=deadline).work():  # in this process, which has imported all that trials need
            pass
        trials = [_trial(path.parent) for path in sorted(runs.glob("*/trials/*/trial.json"))]
        done = [each for each in trials if each["status"] == "completed"]
        best = min(done, key=lambda each: each["value"])
        return {"default": trials[0], "best": best, "trials": len(trials), "completed": len(done)}
    finally:
        shutil.rmtree(folder)


def _trial(folder: Path) -> dict[str, Any]:
    """Return the facts of a trial, with its score on the test rows: accuracy for classes, else R²."""
    trial, record = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("trial.json", "run.json"))
    scores = record.get("results", {}).get("test", {})
    return {
        "status": trial["status"], "value": min(trial["values"], default=None), "point": trial["sets"],
        "score": scores.get("accuracy", scores.get("r2_score")), "seconds": trial["seconds"], "epochs": trial["epochs"],
    }  # fmt: skip


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the means over the seeds of each set, with standard errors, before and after the search."""
    lines = ["| data | seeds | trials | validation loss | after the search | test score | after the search | |",
             "|---|---:|---:|---:|---:|---:|---:|---|"]  # fmt: skip
    for name, searches in results.items():
        if searches:
            values, scores = (
                [[each[which][key] for each in searches] for which in ("default", "best")] for key in ("value", "score")
            )
            trials = round(float(np.mean([each["trials"] for each in searches])))
            cells = [*map(_mean, [*values, *scores]), verdict(scores[1], scores[0]) if len(searches) > 1 else ""]
            lines.append(f"| `{name}` ({SETS[name].kind}) | {len(searches)} | {trials} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def with_table(page: str, text: str) -> str:
    """Return a page with its table and introduction replaced; what stands below the table is kept."""
    before, _, after = page.partition(HEADING)
    rest = after[after.index("\n|") :].split("\n\n", 1)[1]
    return f"{before}{HEADING}{INTRODUCTION}\n{text}\n{rest}"


def _mean(values: list[float]) -> str:
    error = f" ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{error}"


if __name__ == "__main__":
    main()
