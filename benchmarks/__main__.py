"""python -m benchmarks: kerascli beside its peers, an epoch and whole processes; prints tables of Markdown."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import epochs, machine, whole
from benchmarks.peers import DEFAULT, PEERS, is_ours
from benchmarks.session import Session
from benchmarks.workloads import EPOCHS, TWELVE, WORKLOADS

PARTS = {"epochs": epochs, "whole": whole}
QUICK_PEERS = ("kerascli-traced", "kerascli-compiled", "pytorch")
QUICK_WORKS = ("mnist_mlp", "separable_cnn")
TAKEN_BY = {"works": "epochs", "epochs": "whole"}
"""Option -> the only part that uses it."""


def main() -> int:
    options = _arguments()
    with tempfile.TemporaryDirectory(dir=Path(), prefix=".benchmarks-") as work:  # on the disk that runs are written to
        session = _session(options, Path(work).resolve())
        print("\n".join(f"- {name}: {value}" for name, value in machine.facts(session.python).items()), flush=True)
        for part in options.parts:
            for table in PARTS[part].measure(session):
                print(f"\n{table}", flush=True)
    return 0


def _session(options: argparse.Namespace, folder: Path) -> Session:
    peers = options.peers or (QUICK_PEERS if options.quick else DEFAULT)
    light = all(is_ours(peer) or peer.startswith("pytorch") for peer in peers)  # kerascli's own environment has these
    return Session(
        python=options.python or (Path(sys.executable) if light else machine.peers_python()),
        folder=folder,
        peers=peers,
        works=_works(options.works or ()) or (QUICK_WORKS if options.quick else tuple(WORKLOADS)),
        rounds=options.rounds,
        epochs=options.epochs or (2 if options.quick else EPOCHS),
        quick=options.quick,
    )


def _works(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(work for name in names for work in (TWELVE if name == "twelve" else (name,)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="kerascli and its peers, side by side")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all works: not to measure")
    works = f"of {', '.join(WORKLOADS)}; 'twelve': the first twelve"
    parser.add_argument("--works", nargs="+", choices=["twelve", *WORKLOADS], metavar="WORK", help=works)
    parser.add_argument("--peers", nargs="+", choices=PEERS, metavar="PEER", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=_count, help="of every peer; default: as the part needs")
    parser.add_argument("--epochs", type=_count, help=f"of whole trainings; default: {EPOCHS}")
    parser.add_argument("--python", type=Path, help="an interpreter with all peers, instead of benchmarks/.venv")
    options = parser.parse_args()
    options.parts = options.parts or list(PARTS)
    if not PARTS.keys() >= set(options.parts):
        parser.error(f"the parts are {' and '.join(PARTS)}, got {' '.join(options.parts)}")
    for option, part in TAKEN_BY.items():
        if getattr(options, option) and part not in options.parts:
            parser.error(f"--{option} does not go with {' '.join(options.parts)}")
    if options.rounds and 2 * options.rounds >= EPOCHS:
        parser.error(f"--rounds: fewer than {EPOCHS // 2}, half of the epochs of a training")
    if options.python:
        options.python = options.python.absolute()  # not resolved: an environment's interpreter is a link
    return options


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
