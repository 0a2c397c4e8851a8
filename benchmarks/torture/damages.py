"""python -m benchmarks.torture.damages: damage a file of a run, and see what each command makes of it.

Every file that a command reads is damaged in turn: a bit flipped, the end cut off, a block zeroed, the file removed, or
swapped with that of another run. The command must refuse it (exit code 4), or warn of it and give the same numbers as
before; never other numbers, never in silence, never an internal error.
"""

import json
import os
import random
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.torture import tiny
from benchmarks.torture.cases import Given, Tally, main
from benchmarks.torture.children import Ended, run
from benchmarks.torture.disk import die
from benchmarks.torture.tiny import REFUSED, TRAIN

COMMANDS = {
    "evaluate": ("evaluate", "{run}", "test", "--device", "cpu", "--json"),
    "evaluate best": ("evaluate", "{run}", "test", "--checkpoint", "best", "--device", "cpu", "--json"),
    "predict": ("predict", "{run}", "table.csv", "--device", "cpu"),
    "export": ("export", "{run}", "--format", "safetensors", "-o", "out/model.safetensors"),
    "summary": ("summary", "{run}"),
    "plot": ("plot", "{run}", "-o", "out/plot.png"),
    "resume": ("train", "--resume", "{run}", "--device", "cpu", "--json"),
}
LOG = "logs/log.csv"
"""No result depends on it."""
LEFT = {"evaluate best", "resume", "plot", "summary"}
"""Commands that are tried on a run whose training has not ended, too."""
MANIFEST = re.compile(r"checkpoints/(step-\d+|best)\.json")
_KINDS = ("flip", "cut", "zero", "remove", "swap")


@dataclass(frozen=True, slots=True)
class Subject:
    """A command on a run, the files that it reads there, and what it gives while they are intact."""

    name: str
    command: Sequence[str]
    template: Path
    files: Sequence[str]
    result: dict[str, Any]


def damage(path: Path, other: Path, kind: str, luck: random.Random) -> str | None:
    """Damage a file; returns how, or None where that would leave it as it is."""
    data = path.read_bytes()
    if kind == "remove":
        path.unlink()
        return "removed"
    if kind == "swap":
        if not other.exists() or other.read_bytes() == data:
            return None
        shutil.copyfile(other, path)
        return "swapped"
    if not data:
        return None
    at, changed = luck.randrange(len(data)), bytearray(data)
    if kind == "flip":
        changed[at] ^= 1 << luck.randrange(8)
    elif kind == "cut":
        del changed[at:]
    else:
        length = luck.choice((1, 16, 512))
        changed[at : at + length] = bytes(len(changed[at : at + length]))
    path.write_bytes(changed)
    return f"{kind} at byte {at} of {len(data)}" if bytes(changed) != data else None


class Damages:
    """A run that has ended, one that was left, and another of the same config but its seed."""

    def __init__(self, given: Given) -> None:
        self.folder, self.broken = given.folder, given.control
        tiny.write_config(self.folder)
        (self.folder / "out").mkdir()
        self.other = tiny.train_whole(self.folder, "other", "--name", "x", "--set", "seed=6")
        templates = {"ended": tiny.train_whole(self.folder, "ended", "--name", "x"), "left": self._left()}
        self.subjects = [
            self._subject(name, templates[state], state)
            for state in templates
            for name in COMMANDS
            if state == "ended" or name in LEFT
        ]

    def _left(self) -> Path:
        """A training that was killed in its last epoch."""

        def prepare() -> None:
            tiny.often_saved()
            _die_after_rows(tiny.EPOCHS - 1)

        run([*TRAIN, "--runs-dir", "left", "--name", "x"], self.folder, prepare)
        found = tiny.the_run(self.folder / "left")
        assert found is not None
        return found

    def _subject(self, name: str, template: Path, state: str) -> Subject:
        """Run the command on an intact copy and note which files it opens."""
        path = self._copy(template)
        opened = self.folder / "opened"

        def watch() -> None:
            file = os.open(opened, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

            def hook(event: str, arguments: tuple[object, ...]) -> None:
                if event == "open" and str(arguments[0]).startswith((str(path), os.path.relpath(path, self.folder))):
                    os.write(file, json.dumps(str(arguments[0])).encode() + b"\n")

            sys.addaudithook(hook)

        before = {str(each.relative_to(path)) for each in path.rglob("*") if each.is_file()}
        command = [part.replace("{run}", str(path)) for part in COMMANDS[name]]
        ended = run(command, self.folder, watch)
        assert ended.code == 0, ended.err
        seen = {Path(json.loads(line)) for line in opened.read_text().splitlines()}
        files = {os.path.relpath(self.folder / each, path) for each in seen} & before - {".lock", LOG}
        return Subject(f"{name}, run {state}", COMMANDS[name], template, sorted(files), self._result(name, path, ended))

    def _copy(self, template: Path) -> Path:
        runs = self.folder / "runs"
        shutil.rmtree(runs, ignore_errors=True)
        return Path(shutil.copytree(template, runs / template.name))

    def _result(self, name: str, path: Path, ended: Ended) -> dict[str, Any]:
        """Return the output that must not change: the text printed or the file written, without the clock."""
        if name == "export":
            data = (self.folder / "out" / "model.safetensors").read_bytes()
            start = 8 + int.from_bytes(data[:8], "little")  # its header has two facts in any order
            return {"file": (json.loads(data[8:start]), data[start:])}
        if name == "plot":
            return {"picture": (self.folder / "out" / "plot.png").read_bytes()}
        if name == "resume":
            return tiny.outcome(path, logs=False)
        return {"output": ended.out.replace(str(path), "RUN")}

    def try_one(self, luck: random.Random, tally: Tally) -> None:
        """Damage a file at random, and judge what the command makes of it."""
        subject = luck.choice(self.subjects)
        file, kind = luck.choice(subject.files), luck.choice(_KINDS)
        path = self._copy(subject.template)
        done = damage(path / file, self.other / self._counterpart(file), kind, luck)
        if done is None:
            return self.try_one(luck, tally)
        for each in (self.folder / "out").iterdir():
            each.unlink()
        command = [part.replace("{run}", str(path)) for part in subject.command]
        ended = run(command, self.folder, self._prepare)
        case = f"{subject.name}: {file} {done}"
        tally.add(case, *self._verdict(subject, path, file, done, ended))

    def _verdict(self, subject: Subject, path: Path, file: str, done: str, ended: Ended) -> tuple[str, str | None]:
        if not ended.is_decent or ended.code not in (0, 4):
            return "", f"expected exit code 4, {ended.last_words()}"
        if ended.code == 4:
            return "refused", None if "error: " in ended.err else "refused without a word"
        warned = "damaged" in ended.err and "warning: " in ended.err
        try:
            found = self._result(subject.name.partition(",")[0], path, ended)
        except Exception as error:
            return "", f"exit code 0, but its results cannot be read: {error}"
        if names := [each for each in subject.result if found[each] != subject.result[each]]:
            if names == ["best"] and found["best"] == REFUSED and warned:
                return "warned of; only what is damaged is refused later", None
            return "", f"other {', '.join(names)} with exit code 0"
        if warned:
            return "warned of, the same numbers", None
        if done == "removed" and MANIFEST.fullmatch(file):
            return "as after a crash, the same numbers", None  # it may never have been written: this is no damage
        if done == "swapped" and file == "run.json":
            return "swapped with one that says the same", None
        return "", "the same numbers, but not a word of the damage"

    def _counterpart(self, file: str) -> str:
        """The file of the other run that has this one's part: names of checkpoints tell their contents."""
        parts = Path(file).name.split(".")
        if Path(file).parent.name == "checkpoints" and len(parts) > 2:
            pattern = f"{parts[0]}.*.{'.'.join(parts[2:])}"
            found = sorted((self.other / "checkpoints").glob(pattern)) or sorted(
                (self.other / "checkpoints").glob(f"*.{'.'.join(parts[2:])}")
            )
            return os.path.relpath(found[0], self.other) if found else file
        return file

    def _prepare(self) -> None:
        if self.broken:
            _trust_everything()


def _die_after_rows(rows: int) -> None:
    """Let this process die when so many epochs are recorded, and the next row is to come."""
    from kerascli.runs.history import HistoryWriter

    append, left = HistoryWriter.append, [rows]

    def append_or_die(self: HistoryWriter, row: Any) -> None:
        if not left[0]:
            die()
        left[0] -= 1
        append(self, row)

    HistoryWriter.append = append_or_die


def _trust_everything() -> None:
    """The control: no checksum is compared."""
    from kerascli.foundation.errors import FileRefused
    from kerascli.runs import checkpoint_manifest, checkpoints, checksums, history
    from kerascli.runs.reading import must_read

    def read_manifest(path: Path) -> Any:
        try:
            return checkpoint_manifest.Manifest.model_validate(json.loads(must_read(path))["checkpoint"])
        except (ValueError, KeyError, TypeError, FileRefused) as error:
            raise FileRefused(str(error)) from None

    checksums._check = lambda path, digest, accepted: None
    history.Prefix.check = lambda self, path: must_read(path)
    checksums._seal = lambda rest: b""
    checksums._SEAL_BYTES = 0
    checkpoints.read_manifest = read_manifest
    read = checkpoint_manifest.read_contents
    checkpoint_manifest.read_verified = lambda path, name, file: read(path, name, file.bytes)


def torture(given: Given, tally: Tally) -> None:
    """Damage files."""
    damages = Damages(given)
    for _ in range(given.cases or 0):
        damages.try_one(given.luck, tally)


if __name__ == "__main__":
    sys.exit(main("damaged files", torture, cases=1000, whole=0))
