"""python -m benchmarks: measure, keep the figures in benchmarks/results, and make the report of them."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks import epochs, equality, machine, results, scaling, whole
from benchmarks.peers import PEERS, is_ours
from benchmarks.results import RESULTS, Record, latest
from benchmarks.session import Session
from benchmarks.workloads import EPOCHS, WORKLOADS

PARTS = {"epochs": epochs, "whole": whole, "equality": equality, "scaling": scaling}
DEFAULTS = {"epochs": PEERS, "whole": PEERS, "equality": equality.DEFAULT_PEERS, "scaling": scaling.DEFAULT_PEERS}
QUICK_PEERS = ("kerascli-eager", "kerascli-compiled", "pytorch")
QUICK_WORKS = ("mnist_mlp", "cnn")
TITLES = {
    "epochs": "Seconds an epoch", "whole": "Whole processes", "equality": "Equality", "scaling": "Scaling",
}  # fmt: skip

TAKEN_BY = {
    "works": {"epochs"}, "epochs": {"whole", "equality"}, "peers": set(PARTS), "rounds": set(PARTS),
    "python": set(PARTS),
}  # fmt: skip
"""Option -> the parts that it says something to."""


def main() -> int:
    given = _arguments()
    folder = RESULTS / "quick" if given.quick else RESULTS
    if given.parts != ["report"]:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".work-") as work:  # on the disk that runs are written to
            for part in given.parts:
                _measure(part, _session(given, part, Path(work)), folder)
    if not (folder / results.FILE).exists():
        sys.exit("nothing has been measured yet")
    text = report(folder)
    (folder / "report.md").write_text(text, encoding="utf-8")
    print(text)
    print(f"written to {folder / 'report.md'}", file=sys.stderr)
    equal = equality.holds({title: record.data for title, record in latest(folder, "equality").items()})
    return 0 if equal or "equality" not in given.parts else 1


def report(folder: Path) -> str:
    """The latest figures of everything, with where they are from."""
    sections = ["# kerascli beside its peers"]
    for part, module in PARTS.items():
        records = latest(folder, part)
        if records:
            data = {title: record.data for title, record in records.items()}
            sections += [f"## {TITLES[part]}", _origin(records.values()), *module.page(data, folder)]
    return "\n\n".join(sections) + "\n"


def _origin(records: Iterable[Record]) -> str:
    """A line for each measuring that had a part in it."""
    lines = {}
    for record in records:
        lines.setdefault("; ".join(f"{name}: {value}" for name, value in record.facts.items()), []).append(record.title)
    return "\n".join(f"- {', '.join(titles)}: {facts}" for facts, titles in lines.items())


def _measure(part: str, session: Session, folder: Path) -> None:
    """Every figure is kept as soon as it is there."""
    facts = machine.facts(session.python)
    started = time.monotonic()
    for title, data in PARTS[part].measure(session):
        results.append(folder, Record(part, title, facts, data))
        print(f"{part} {title}: done after {time.monotonic() - started:.0f} s", file=sys.stderr)


def _session(given: argparse.Namespace, part: str, folder: Path) -> Session:
    peers = given.peers or (QUICK_PEERS if given.quick else tuple(DEFAULTS[part]))
    light = all(is_ours(peer) or peer.startswith("pytorch") for peer in peers)  # kerascli's own environment has these
    return Session(
        python=given.python or (Path(sys.executable) if light else machine.peers_python()),
        folder=folder,
        peers=peers,
        works=given.works or (QUICK_WORKS if given.quick else tuple(WORKLOADS)),
        rounds=given.rounds or (2 if given.quick and part in ("epochs", "scaling") else None),
        epochs=given.epochs or (2 if given.quick else EPOCHS),
        quick=given.quick,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="kerascli and its peers, side by side")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all; "
                        "`report` alone measures nothing")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all works: not to measure")
    parser.add_argument("--works", nargs="+", choices=WORKLOADS, metavar="WORK", help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--peers", nargs="+", choices=PEERS, metavar="PEER", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=_count, help="of every peer; of equality: seeds. Default: as the part needs")
    parser.add_argument("--epochs", type=_count, help=f"of whole and equality; default: {EPOCHS}")
    parser.add_argument("--python", type=_path, help="an interpreter with all peers, instead of benchmarks/.venv")
    given = parser.parse_args()
    given.parts = given.parts or list(PARTS)
    if given.parts != ["report"] and not PARTS.keys() >= set(given.parts):
        parser.error(f"there are the parts {', '.join(PARTS)}, and 'report' alone, not: {' '.join(given.parts)}")
    for option, parts in TAKEN_BY.items():
        if getattr(given, option) and not parts & set(given.parts):
            parser.error(f"--{option} does not go with {' '.join(given.parts)}")
    if "scaling" in given.parts and not all(peer in scaling.KNOWN for peer in given.peers or ()):
        parser.error(f"scaling knows only the peers {', '.join(scaling.KNOWN)}")
    if given.rounds and given.rounds >= EPOCHS:
        parser.error(f"--rounds: fewer than {EPOCHS}, the epochs of a training")
    return given


def _path(text: str) -> Path:
    """Absolute, but not resolved: an environment's interpreter is a link."""
    return Path(text).absolute()


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
