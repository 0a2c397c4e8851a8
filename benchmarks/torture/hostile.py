"""python -m benchmarks.torture.hostile: files that mean harm, each read by the command that reads such files.

Each has to be refused with an exit code of its own (2, 3 or 4), in few lines, in little time and memory. Nothing in it
may run, and nothing of another file may be shown. `--control` takes caps away: then it must be seen.
"""

import argparse
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.torture import hostile_data, hostile_runs
from benchmarks.torture.children import Ended, run
from benchmarks.torture.hostile_data import Attack

CODES = {2, 3, 4}
EXPECTED = {"csv_of_memory": {6}, "csv_loop": {2}, "regex_deep": {2}, "regex_long": {2}}
"""Other exit codes: of files that the system itself cannot read, and of faults of the config."""
CPU_SECONDS = 5.0
MEMORY = 500 * 2**20
LINES = 120
CPU_LIMIT, ADDRESS_ROOM = 10, 6 * 2**30
"""Seconds after which the kernel ends a child; bytes of address space that it may take beside its parent's."""

_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def all_attacks() -> dict[str, Attack]:
    """Return every attack by its name."""
    return {**hostile_data.attacks(), **hostile_runs.attacks()}


def attack(name: str, make: Attack, folder: Path, prepare: Callable[[], None] | None = None) -> tuple[Ended, str]:
    """Run one; return how it ended, and what is wrong with that, if anything."""
    place = folder / name
    place.mkdir()

    def confined() -> None:
        _confine()
        if prepare is not None:
            prepare()

    ended = run(make(place), place, confined)
    of_data = {3, 4} if name in hostile_data.attacks() else CODES
    return ended, wrong(ended, place, EXPECTED.get(name, of_data))


def _confine() -> None:
    """Put this process, a child, under limits of CPU time, memory and the network."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, CPU_LIMIT)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + ADDRESS_ROOM)
    sys.addaudithook(_watch)


def _limit(what: int, most: int) -> None:
    """Set a soft limit, which a child of this process may set anew."""
    resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse the network, and report each attempt to run something."""
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}:
        raise OSError(101, "Network is unreachable")
    is_run = event in {"pickle.find_class", "os.system", "os.exec", "os.posix_spawn"}
    if is_run and "site-packages" not in repr(arguments)[:300]:
        os.write(2, f"AUDIT {event}\n".encode())


def wrong(ended: Ended, place: Path, codes: set[int]) -> str:
    """Return all that is wrong with how a command ended."""
    said = ended.out + ended.err
    checks: Mapping[str, object] = {
        f"exit code {ended.code}": ended.code not in codes,
        f"{ended.cpu_seconds:.1f} s of CPU": ended.cpu_seconds > CPU_SECONDS,
        f"{ended.memory >> 20} MiB of memory": ended.memory > MEMORY,
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
    parser.add_argument("--control", action="store_true", help="take the caps away: it must be seen")
    given = parser.parse_args()
    attacks = all_attacks()
    names = given.only or list(attacks)
    warm()
    failed, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kerascli-hostile-") as place:
        os.environ.update(TMPDIR=place, HOME=place)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for name in names:
            ended, why = attack(name, attacks[name], Path(place), no_caps if given.control else None)
            used = f"exit {ended.code}, {ended.cpu_seconds:.2f} s, {ended.memory >> 20} MiB"
            print(f"{name:<28} {used:<32} {'WRONG: ' + why if why else 'refused'}", flush=True)
            failed += bool(why)
            lines = (ended.out + ended.err).splitlines()
            first = next((line for line in lines if "error" in line), "")
            print(f"    {first[:160]}", flush=True)
            if why or given.only:
                print("\n".join(f"    {line[:200]}" for line in lines[:12]), flush=True)
    print(f"{len(names)} hostile files in {time.monotonic() - began:.0f} s: {failed} not refused as they should be")
    return int(not failed) if given.control else int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
