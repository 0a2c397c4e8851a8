"""python -m benchmarks.torture.configs: change configs at random and look for wrong answers.

Each case is a config of this project, changed in its structure or in its text, and goes through `validate`; some go
through `summary`, too, and some of those that are said to be good through `train --smoke`. A case is decided by its
number and the seed alone: `--only N` runs it again and keeps it, whatever comes of it.
"""

import argparse
import gc
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.torture.config_cases import Case, Cases
from benchmarks.torture.config_corpus import ROOT, make_workplace
from benchmarks.torture.config_verdict import wrong
from benchmarks.torture.forked import WALL_LIMIT, Outcome, confine, run, run_here

BATCH = 50
"""Cases that a child runs before another one begins afresh."""


@dataclass(slots=True)
class Tally:
    """Counts of the outcomes of the cases."""

    cases: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Fuzzer:
    """Runs cases in children, some at a time."""

    cases: Cases
    workplace: Path
    kept: Path | None = None
    prepare: Callable[[], None] | None = None
    keep_all: bool = False

    def go(self, numbers: Iterator[int], processes: int, until: float) -> Tally:
        """All cases, or those that begin before the clock says `until`."""
        tally, batches = Tally(), [Batch(self, part) for part in range(processes)]
        while batches:
            for batch in list(batches):
                if batch.is_alive():
                    batch.read(tally)
                    continue
                batch.read(tally)
                batch.tell_death(tally)
                left = batch.left or list(islice(numbers, BATCH))
                if not left or time.monotonic() > until:
                    batches.remove(batch)
                else:
                    batch.start(left)
            time.sleep(0.02)
        return tally

    def work(self, numbers: list[int], journal: Path) -> None:
        """Run cases in this process, a child; what comes of each is written to the journal."""
        confine(self.workplace)
        if self.prepare is not None:
            self.prepare()
        with journal.open("a", encoding="utf-8") as file:
            for number in numbers:
                print(json.dumps({"begin": number}), file=file, flush=True)
                for facts in self._judge(self.cases.case(number)):
                    print(json.dumps({"number": number, **facts}), file=file, flush=True)
                print(json.dumps({"end": number}), file=file, flush=True)

    def _judge(self, case: Case) -> Iterator[dict[str, Any]]:
        folder = self.workplace / case.folder
        file = folder / f"case-{case.number}.yaml"
        file.write_bytes(case.text)
        output, sound = self.workplace / f"output-{case.number}", False
        os.chdir(folder)
        for arguments in case.commands():
            command = arguments[0]
            if command == "train":
                if not sound:
                    continue
                outcome = run(arguments, folder=folder, output=output)
            else:
                outcome = run_here(arguments, output)
            sound = sound or outcome.code == 0
            why = wrong(command, outcome)
            if why is not None or self.keep_all:
                self.keep(case, f"{why}\n{_told(arguments, outcome)}")
            yield {
                "name": case.name,
                "command": command,
                "code": "too long" if outcome.ended_by_cpu_limit else outcome.code,
                "wrong": why,
            }
        output.unlink(missing_ok=True)
        file.unlink()

    def keep(self, case: Case, text: str) -> None:
        """The config, and what was said to it."""
        if self.kept is None:
            return
        self.kept.mkdir(parents=True, exist_ok=True)
        (self.kept / f"case-{case.number}.yaml").write_bytes(case.text)
        with (self.kept / f"case-{case.number}.txt").open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"seed {self.cases.seed}, case {case.number} ({case.name}), in {case.folder}: {text}\n")


class Batch:
    """A child that runs some cases one after the other, seen from its parent."""

    def __init__(self, fuzzer: Fuzzer, part: int) -> None:
        self._fuzzer = fuzzer
        self._journal = fuzzer.workplace / f"journal-{part}"
        self._journal.touch()
        self._read = 0
        self._pid = 0
        self._status = 0
        self._active = 0.0
        self._begun: int | None = None
        self.left: list[int] = []

    def start(self, numbers: list[int]) -> None:
        self.left, self._active = numbers, time.monotonic()
        self._pid = os.fork()
        if self._pid == 0:
            _end_with(lambda: self._fuzzer.work(numbers, self._journal))

    def is_alive(self) -> bool:
        if self._pid == 0:
            return False
        if time.monotonic() - self._active > 2.5 * WALL_LIMIT:
            os.kill(self._pid, signal.SIGKILL)
        pid, self._status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            self._pid = 0
        return not pid

    def read(self, tally: Tally) -> None:
        """Count what the child has recorded since the last call."""
        with self._journal.open(encoding="utf-8") as file:
            file.seek(self._read)
            lines = file.read()
        lines = lines[: lines.rfind("\n") + 1]
        self._read += len(lines.encode())
        for facts in map(json.loads, lines.splitlines()):
            self._active = time.monotonic()
            if "begin" in facts:
                self._begun = facts["begin"]
                tally.cases += 1
            elif "end" in facts:
                self.left.remove(facts["end"])
                self._begun = None
            else:
                tally.runs[f"{facts['command']} {facts['code']}"] += 1
                if facts["wrong"] is not None:
                    self._tell(tally, f"{facts['name']}: {facts['command']}: {facts['wrong']}", facts["number"])

    def tell_death(self, tally: Tally) -> None:
        """A child that ended in the middle of a case was ended by it."""
        if self._begun is None:
            return
        why = f"it ended the process: {_exit_words(os.waitstatus_to_exitcode(self._status))}"
        self._fuzzer.keep(self._fuzzer.cases.case(self._begun), why)
        self._tell(tally, why, self._begun)
        self.left.remove(self._begun)
        self._begun = None

    def _tell(self, tally: Tally, text: str, number: int) -> None:
        tally.wrong.append(f"case {number}: {text}")
        print(f"seed {self._fuzzer.cases.seed}, case {number}: {text}", flush=True)


def _exit_words(code: int) -> str:
    known = {-signal.SIGXCPU: "too much CPU time", -signal.SIGKILL: "it waited for something, or took all memory"}
    return known.get(code, f"exit code {code}")


def _told(arguments: list[str], outcome: Outcome) -> str:
    used = f"exit {outcome.code}, {outcome.cpu_seconds:.1f} s of CPU, {outcome.memory >> 20} MiB"
    return f"kerascli {' '.join(map(repr, arguments))}: {used}\n{outcome.output}"


def _end_with(work: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _locating(locate: Callable[[Any, Any], Any]) -> Callable[[], None]:
    """Every fault goes through this on its way to a place."""

    def change() -> None:
        from kerascli.config.yaml.document import Document

        Document.locate = locate  # type: ignore[method-assign]

    return change


CONTROLS: dict[str, Callable[[], None] | None] = {
    "": None,
    "raises": _locating(lambda self, fault: {}[fault]),
    "hangs": _locating(lambda self, fault: signal.pause()),
    "no-place": _locating(lambda self, fault: fault),
}
"""Checks that are broken on purpose: each of them has to be found."""


_WARMED = (
    "mnist_mlp", "penguins_features", "generative/vq_vae", "generative/tfprob_vae", "sequences/neural_turing_machine",
    "vision/mnist_siamese_graph", "vision/unet", "text/transformer_encoder", "generative/eager_cvae",
)  # fmt: skip
"""Configs to load before any child is forked, so that their imports are there."""


def warm() -> None:
    """Load what every command needs, so that a child finds it there."""
    import torch

    import kerascli.cli.app
    import kerascli.cli.commands
    import kerascli.compiler.cache
    import kerascli.report.plots
    import kerascli.workflow.smoke  # noqa: F401
    from kerascli.workflow.check import check

    torch.set_num_threads(1)
    for name in _WARMED:
        check(ROOT / "configs" / f"{name}.yaml", sets=[], flags=[])
    gc.collect()
    gc.freeze()  # else each child copies the pages of all objects as it collects


def fuzz(
    numbers: range,
    seed: int,
    *,
    processes: int = 1,
    minutes: float = 1e6,
    kept: Path | None = None,
    control: str = "",
    keep_all: bool = False,
) -> Tally:
    """Run cases in some processes; what was wrong is printed as it is found."""
    with tempfile.TemporaryDirectory(prefix="kerascli-configs-") as place:
        workplace = Path(place)
        make_workplace(workplace)
        os.environ.update(TMPDIR=str(workplace / "tmp"), HOME=str(workplace), XDG_CACHE_HOME=str(workplace / "cache"))
        tempfile.tempdir = None
        warm()
        fuzzer = Fuzzer(Cases(seed), workplace, kept and kept.absolute(), CONTROLS[control], keep_all)
        return fuzzer.go(iter(numbers), processes, time.monotonic() + 60 * minutes)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture.configs", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after so many")
    parser.add_argument("--keep", type=Path, default=Path("torture-configs"), help="where configs are kept that failed")
    parser.add_argument("--only", type=int, help="run this case alone, and keep it")
    parser.add_argument("--control", choices=CONTROLS, default="", help="break a check on purpose: it must be found")
    given = parser.parse_args()
    only = given.only is not None
    numbers = range(given.only, given.only + 1) if only else range(given.first, given.first + given.cases)
    began = time.monotonic()
    tally = fuzz(
        numbers, given.seed, processes=given.processes, minutes=given.minutes, kept=given.keep,
        control=given.control, keep_all=only,
    )  # fmt: skip
    seconds = time.monotonic() - began
    rate = f"{tally.cases:,} cases in {seconds:.0f} s ({tally.cases / seconds:.1f} a second)"
    print(f"seed {given.seed}: {rate}; {len(tally.wrong)} wrong")
    print(", ".join(f"{what}: {count:,}" for what, count in sorted(tally.runs.items())))
    return int(not tally.wrong) if given.control else int(bool(tally.wrong))


if __name__ == "__main__":
    sys.exit(main())
