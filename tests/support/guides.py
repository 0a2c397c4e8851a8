"""Guides as sessions: their files are written and their commands are typed, in the order of the page.

A page is Markdown. `<!-- file: NAME -->` before a block writes a file; a block `console` has commands after `$ `
and, below each, what it prints, where `...` stands for any lines. A command that fails must be followed by `$ echo $?`.
`<!-- tolerance: 0.5 -->` is for trainings that end in other places on other processors: many epochs over few rows.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.foundation.errors import KerasCliError

_FENCE = re.compile(r"(?:^<!-- file: (?P<file>[^\n]+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_TOLERANCE = re.compile(r"^<!-- tolerance: ([\d.]+) -->$", re.M)
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
_MASKS = (
    (re.compile(r"\d{4}-\d\d-\d\dT[\d-]+Z(-\w+?)(~\d+)?\b"), r"TIME\1"),  # of a run's name; ~2 in the same second
    (re.compile(r"\b\d+(\.\d)? s\b"), "SECONDS"),
    (re.compile(r"^device: \w+ \(.*\)"), "DEVICE"),  # the reason depends on how torch was built
)
_SHELL = frozenset("|<>&;*?$`~(){}")
"""Characters for which a command is given to a real shell."""

RELATIVE, ABSOLUTE, COUNT = 0.03, 0.01, 2
"""How far a number with a point may be from the page's, as machines add in different orders; and a whole number."""


@dataclass(frozen=True)
class Command:
    """A command of a page, and the lines that the page shows below it."""

    line: int
    text: str
    shown: list[str]


@dataclass(frozen=True)
class File:
    """A file that a page shows."""

    name: str
    text: str


def steps(page: str) -> Iterator[Command | File]:
    """Yield the files and commands of a page in order."""
    for block in _FENCE.finditer(page):
        if block["file"]:
            yield File(block["file"], block["text"])
        elif block["language"] == "console":
            yield from _commands(block["text"], page.count("\n", 0, block.start("text")) + 1)
        elif block["language"] not in {"text", ""}:
            raise ValueError(f"a block of {block['language']} without the name of its file")


def _commands(text: str, first: int) -> Iterator[Command]:
    """Yield the commands of a block."""
    command: Command | None = None
    for number, line in enumerate(text.splitlines(), first):
        if line.startswith("$ "):
            if command is not None:
                yield command
            command = Command(number, line[2:], [])
        elif command is None:
            raise ValueError(f"line {number}: output without a command")
        else:
            command.shown.append(line)
    if command is not None:
        yield command


@dataclass
class Session:
    """A terminal in a folder; it remembers the exit code of the last command."""

    folder: Path
    code: int = 0
    faults: list[str] = field(default_factory=list)
    """What differs from the page."""

    def play(self, page: str) -> None:
        """Write the files and type the commands of a page; differences are added to `faults`."""
        todo = list(steps(page))
        given = _TOLERANCE.search(page)
        relative = float(given[1]) if given else RELATIVE
        for step, following in zip(todo, [*todo[1:], None], strict=True):
            if isinstance(step, File):
                path = self.folder / step.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(step.text, encoding="utf-8")
                continue
            printed = self.type(step.text)
            told = isinstance(following, Command) and following.text == "echo $?"
            if self.code and not told:
                self.faults.append(f"line {step.line}: $ {step.text}\nexit code {self.code}\n{printed}")
            elif step.text == "echo $?" and [printed] != step.shown:
                self.faults.append(f"line {step.line}: exit code {printed}")
            elif step.shown and (fault := difference(step.shown, printed.splitlines(), relative)):
                self.faults.append(f"line {step.line}: $ {step.text}\n{fault}")

    def type(self, command: str) -> str:
        """Run a command, return what it prints to both streams."""
        if command == "echo $?":
            printed, self.code = str(self.code), 0
            return printed
        if command.startswith("kerascli ") and not _SHELL & set(re.sub(r"'[^']*'", "", command)):
            return self._in_process(shlex.split(command)[1:])
        binaries = self.folder.parent / "bin"
        if not binaries.exists():
            binaries.mkdir()
            for name, module in (("kerascli", "-m kerascli"), ("python", "")):
                program = binaries / name
                text = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n'
                program.write_text(text, encoding="utf-8")
                program.chmod(0o755)
        root = Path(__file__).parents[2]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(root)}
        env["PATH"] = f"{binaries}{os.pathsep}{os.environ['PATH']}"
        shell = f"exec 2>&1\n{command}"
        ended = subprocess.run(
            ["bash", "-c", shell], cwd=self.folder, env=env, stdout=subprocess.PIPE, timeout=300, check=False
        )
        self.code = ended.returncode
        return ended.stdout.decode("utf-8", "replace")

    def _in_process(self, arguments: list[str]) -> str:
        """Run kerascli in this process, which has imported torch already."""
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            result = CliRunner().invoke(app, arguments, prog_name="kerascli")
        finally:
            os.chdir(before)
        self.code = result.exit_code
        if isinstance(result.exception, KerasCliError):
            self.code = result.exception.exit_code
            return result.output + "\n\n".join("\n".join(fault.lines()) for fault in result.exception.faults)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output


def difference(shown: list[str], printed: list[str], relative: float = RELATIVE) -> str | None:
    """Return how the printed lines differ from the shown ones; None if they do not."""
    wanted, found = ([line.strip() for line in lines if line.strip()] for lines in (shown, printed))
    places = {0}
    """Numbers of printed lines that the lines shown so far may stand for."""
    for line in wanted:
        if line == "...":
            places = set(range(min(places), len(found) + 1))
            continue
        places = {place + 1 for place in places if place < len(found) and like(line, found[place], relative)}
        if not places:
            return f"the page shows\n{line}\nprinted was\n" + "\n".join(printed)
    return None if len(found) in places else "printed was, too\n" + "\n".join(found[min(places) :])


def like(shown: str, printed: str, relative: float = RELATIVE) -> bool:
    """Return True if a printed line is the shown one, up to times, spaces, and the last digits of numbers."""
    for pattern, mask in _MASKS:
        shown, printed = pattern.sub(mask, shown), pattern.sub(mask, printed)
    words = [" ".join(_NUMBER.sub("#", line).split()) for line in (shown, printed)]
    if words[0] != words[1]:
        return False
    pairs = zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True)
    return all(near(a, b, relative) for a, b in pairs)


def near(shown: str, printed: str, relative: float) -> bool:
    """Return True if two numbers, as they are written, are nearly the same."""
    a, b = (float(number.replace(",", "")) for number in (shown, printed))
    whole = not ({".", "e"} & set(shown + printed))
    return abs(a - b) <= (COUNT if whole else ABSOLUTE) + relative * abs(a) * (not whole)
