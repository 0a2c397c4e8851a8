"""python -m benchmarks.torture.hostile: files that mean harm, each read by the command that reads such files.

Each has to be refused with an exit code of its own (2, 3 or 4), in few lines, in little time and memory. Nothing in it
may run, and nothing of another file may be shown. `--control` takes caps away: then it must be seen.
"""

import argparse
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.torture import hostile_data, hostile_runs
from benchmarks.torture.forked import Outcome, run
from benchmarks.torture.hostile_data import Attack

CODES = {2, 3, 4}
EXPECTED = {"csv_of_memory": {6}, "csv_loop": {2}, "regex_deep": {2}, "regex_long": {2}}
"""Other exit codes: of files that the system itself cannot read, and of faults of the config."""
CPU_SECONDS = 5.0
MEMORY = 500 * 2**20
LINES = 120

_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def all_attacks(*, models: bool = False) -> dict[str, Attack]:
    """Every attack by its name; with those of tests/interop/test_attacks.py on `import`, if `models`."""
    found = {**hostile_data.attacks(), **hostile_runs.attacks()}
    if models:
        from tests.interop.test_attacks import ATTACKS  # needs pytest and h5py

        found |= {f"import_{name}": _importing(make) for name, (make, _) in ATTACKS.items()}
    return found


def _importing(make: Callable[[Path], Path]) -> Attack:
    return lambda folder: ["import", make(folder).name]


def attack(name: str, make: Attack, folder: Path, prepare: Callable[[], None] | None = None) -> tuple[Outcome, str]:
    """Run one; what is wrong with how it ended, or nothing."""
    place = folder / name
    place.mkdir()
    arguments = make(place)
    outcome = run(arguments, folder=place, output=folder / f"{name}.txt", prepare=prepare)
    of_data = {3, 4} if name in hostile_data.attacks() else CODES
    return outcome, wrong(outcome, place, EXPECTED.get(name, of_data))


def wrong(outcome: Outcome, place: Path, codes: set[int]) -> str:
    """All that is wrong with how a command ended, in words."""
    said = outcome.output
    checks: Mapping[str, object] = {
        "it did not end": outcome.timed_out,
        f"exit code {outcome.code}": outcome.code not in codes,
        f"{outcome.cpu_seconds:.1f} s of CPU": outcome.cpu_seconds > CPU_SECONDS,
        f"{outcome.memory >> 20} MiB of memory": outcome.memory > MEMORY,
        "it shows a bug": re.search(r"^(internal error|Traceback|AUDIT)", said, re.M),
        "no error is said": "error: " not in said,
        "control characters in the output": _CONTROLS.search(said),
        "something of another file": "root:x:0" in said or "CANARYSECRET" in said,
        "what was in it ran": (place / "CANARY").exists(),
        f"{said.count(chr(10))} lines": said.count("\n") > LINES,
        "files left behind": list(place.glob("runs/*/checkpoints")),
    }
    return ", ".join(text for text, is_so in checks.items() if is_so)


def no_caps() -> None:
    """Readers without their limits, in a child: what they are for must be seen."""
    from kerascli.data.storage import image_files
    from kerascli.data.text import patterns
    from kerascli.foundation.disk import files

    files.MAX_RATIO = 10**12
    image_files.MAX_PIXELS = 10**12
    patterns.SECONDS = 60.0


def warm() -> None:
    """Load what the commands need, so that a child finds it there."""
    import pyarrow.parquet  # noqa: F401
    import torch
    from PIL import Image

    import kerascli.cli.app
    import kerascli.cli.commands
    import kerascli.workflow.train  # noqa: F401
    from kerascli.workflow.check import check

    torch.set_num_threads(1)
    Image.init()
    check(Path(__file__).parents[2] / "configs" / "tiny.yaml", sets=[], flags=[])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture.hostile", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these attacks alone, with what is said to them")
    parser.add_argument("--models", action="store_true", help="the models of tests/interop/test_attacks.py, too")
    parser.add_argument("--control", action="store_true", help="take the caps away: it must be seen")
    given = parser.parse_args()
    attacks = all_attacks(models=given.models)
    names = given.only or list(attacks)
    warm()
    failed, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kerascli-hostile-") as place:
        os.environ.update(TMPDIR=place, HOME=place)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for name in names:
            outcome, why = attack(name, attacks[name], Path(place), no_caps if given.control else None)
            used = f"exit {outcome.code}, {outcome.cpu_seconds:.2f} s, {outcome.memory >> 20} MiB"
            print(f"{name:<28} {used:<32} {'WRONG: ' + why if why else 'refused'}", flush=True)
            failed += bool(why)
            first = next((line for line in outcome.output.splitlines() if "error" in line), "")
            print(f"    {first[:160]}", flush=True)
            if why or given.only:
                print("\n".join(f"    {line[:200]}" for line in outcome.output.splitlines()[:12]), flush=True)
    print(f"{len(names)} hostile files in {time.monotonic() - began:.0f} s: {failed} not refused as they should be")
    return int(not failed) if given.control else int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
