"""The documentation is correct: configs are valid, commands exist, messages match, the plugin trains."""

import contextlib
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from kerascli.cli.commands import app
from kerascli.config.composition.extends import read_extended
from kerascli.config.data import config_facts
from kerascli.config.misspelt import refuse_misspelt
from kerascli.foundation.errors import ConfigError, Interrupted, KerasCliError
from kerascli.foundation.interrupts import SIGNALS
from kerascli.language.component import registries
from kerascli.runs.index import find_run
from kerascli.training.profiling.advice import RULES
from kerascli.training.profiling.phases import ORDER, REST
from kerascli.workflow.bases import open_config
from kerascli.workflow.check import check
from tests.support.processes import forked_kerascli
from tests.support.runs_harness import write
from tests.test_architecture import FLOORS, PACKAGE

ROOT = Path(__file__).parent.parent
LANGUAGE = sorted((ROOT / "docs" / "language").glob("*.md"))
DOCS = [*sorted((ROOT / "docs").glob("*.md")), *LANGUAGE]
PAGES = [
    *DOCS,
    *sorted((ROOT / "docs" / "guides").glob("**/*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "configs/README.md")),
]

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^:\n]+): (?P<value>[^\n]+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block; the comment before it tells its kind, unless it is a whole config."""

    page: Path
    line: int
    language: str
    text: str
    mark: str
    value: str

    def __str__(self) -> str:
        return f"{self.page.stem}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text"))
        yield Block(page, line, found["language"], found["text"], found["mark"] or "", found["value"] or "")


BLOCKS = [block for page in DOCS for block in blocks(page)]
README = next(block for block in blocks(ROOT / "README.md") if block.language == "yaml")
CONFIGS = [README, *(b for b in BLOCKS if b.language == "yaml" and b.mark in {"", "file"} and "plugins:" not in b.text)]
FRAGMENTS = [b for b in BLOCKS if b.mark == "fragment of"]
FAULTY = [b for b in BLOCKS if b.mark == "faulty"]

BASES = {
    "model": "model:\n  inputs: {x: [28, 28, 1]}\n",
    "data": "model: {layers: [flatten]}\ndata: {inputs: {x: []}}\n",
    "compile": next(b.text for b in CONFIGS if "mnist_mlp.yaml" in b.text),
}
BASES["tune"] = BASES["compile"].replace("units: 256", "units: $units").replace("dropout: 0.4", "dropout: $rate")
BASES["fit"] = BASES["compile"].partition("fit:")[0]


def on_top(block: Block) -> str:
    """Return a fragment as a config that extends another; one without its section's key is put below it."""
    section, *below = block.value.split(".")
    text = block.text
    for key in reversed([section, *below]) if below else []:
        text = f"{key}:\n" + "".join(f"  {line}\n" for line in text.splitlines())
    return f"extends: below.yaml\n{text}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder for the pages' commands, with the table of penguins and all files on the pages."""
    shutil.copytree(ROOT / "configs" / "data", tmp_path / "data")
    for block in BLOCKS:
        if block.mark in {"file", "faulty"}:
            write(tmp_path, block.text, block.value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_mark_is_known() -> None:
    assert {block.mark for block in BLOCKS} == {"", "file", "fragment of", "faulty", "said of", "settings of"}
    assert min(len(CONFIGS), len(FRAGMENTS)) >= 10
    comments = sum(page.read_text(encoding="utf-8").count("<!--") for page in DOCS)
    assert comments == sum(1 for block in BLOCKS if block.mark), "a comment that no block follows"


@pytest.mark.parametrize("block", CONFIGS, ids=str)
def test_a_whole_config_is_valid(block: Block, folder: Path) -> None:
    said = check(write(folder, block.text), sets=[], flags=[]).lines
    assert said[0] == "config.yaml: ok" or said[0].endswith("/config.yaml: ok")
    unchecked = [line for line in said if "not checked" in line and "init_from" not in line]
    assert [line for line in unchecked if "data:" in block.text] == []


@pytest.mark.parametrize("block", FRAGMENTS, ids=str)
def test_a_fragment_is_valid_on_top_of_a_config(block: Block, folder: Path) -> None:
    section = block.value.partition(".")[0]
    write(folder, BASES[section], "below.yaml")
    path = write(folder, on_top(block))
    if section == "data":  # the fragment alone: what it needs of a model is not known
        config_facts(open_config(path))
    else:
        assert check(path, sets=[], flags=[]).lines[0].endswith("config.yaml: ok")


@pytest.mark.parametrize("block", FAULTY, ids=str)
def test_a_faulty_config_is_refused_in_these_words(block: Block, folder: Path) -> None:
    document = read_extended(Path(block.value))
    refuse_misspelt(document)
    with pytest.raises(ConfigError) as refused:
        check(document, sets=[], flags=[])
    said = "\n\n".join("\n".join(fault.lines()) for fault in refused.value.faults) + "\n"
    assert said == next(b.text for b in BLOCKS if b.mark == "said of" and b.value == block.value)


def test_a_config_that_is_hardly_meant_is_warned_of_in_these_words(folder: Path) -> None:
    said = {b.value: b.text for b in BLOCKS if b.mark == "said of"}
    warned = [b for b in BLOCKS if b.mark == "file" and b.value in said]
    assert warned
    for block in warned:
        found = check(Path(block.value), sets=[], flags=[]).warnings
        assert "\n\n".join("\n".join(fault.lines()) for fault in found) + "\n" == said[block.value]


@pytest.mark.parametrize(
    "text",
    [
        "model: {views: {v: {outputs: [flatten]}}, layers: [flatten]}",
        "fit: {train_step: []}",
    ],
)
def test_what_is_not_built_yet_is_refused(text: str, folder: Path) -> None:
    write(folder, BASES["fit"], "below.yaml")
    with pytest.raises(ConfigError):
        check(write(folder, f"extends: below.yaml\n{text}\n"), sets=[], flags=[])


def commands() -> Iterator[tuple[str, str]]:
    """(where, arguments) of every `kerascli ...` that a page shows."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in blocks(page):
            if block.language in {"console", "sh", "yaml"}:
                for found in re.finditer(r"(?:^|[ /])kerascli (.+)$", block.text, re.M):
                    yield f"{block}", found[1]
        for found in re.finditer(r"`kerascli ([^`]+)`", _FENCE.sub("", text)):
            yield page.stem, found[1]


def test_every_command_and_its_options_exist() -> None:
    for where, line in commands():
        try:
            _parse_command(line)
        except Exception as error:
            error.add_note(f"{where}: kerascli {line}")
            raise


def test_the_readme_lists_every_command() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The commands")[2].partition("## ")[0]
    listed = {name for row in re.findall(r"^\| (`.+?) \|", table, re.M) for name in re.findall(r"`(\w+)", row)}
    command: Any = typer.main.get_command(app)
    assert listed == command.commands.keys()


def _parse_command(line: str) -> None:
    """Raise for an unknown command or option, and for too many arguments."""
    command, words = typer.main.get_command(app), shlex.split(line, comments=True)
    arguments = list(itertools.takewhile(lambda word: word not in {"|", ">", ">>", "&&"}, words))
    name = "kerascli"
    while arguments and arguments[0] in getattr(command, "commands", {}):
        name = arguments.pop(0)
        command = command.commands[name]  # pyright: ignore[reportAttributeAccessIssue]
    assert name != "kerascli" or arguments[0].startswith("-"), f"there is no command '{arguments[0]}'"
    with contextlib.suppress(typer.Exit):  # of -h
        command.make_context(name, arguments, parent=typer.Context(command, help_option_names=["-h"]))


def test_the_plugin_trains_and_its_run_needs_nothing_else(folder: Path) -> None:
    (block,) = (b for b in BLOCKS if b.page.stem == "plugins" and "plugins:" in b.text and b.mark == "file")
    trained = forked_kerascli(
        "train", block.value, "--set", "fit.epochs=1", "--set", "fit.steps_per_epoch=2", cwd=folder
    )
    assert trained.returncode == 0, trained.stderr
    run = find_run("latest", folder / "runs")
    assert run.checkpoints.newest().step == 2
    assert {"loss", "share_below", "val_loss", "val_share_below"} <= run.history()[0].keys()
    listing = next(b.text for b in BLOCKS if b.page.stem == "runs" and b.language == "text")
    assert {path.name for path in run.path.iterdir()} - {".lock"} <= set(re.findall(r"[\w.]+", listing))
    for file in run.facts()["plugins"]:
        (folder / file["file"]).unlink()
    evaluated = forked_kerascli("evaluate", "latest", "validation", cwd=folder)
    assert evaluated.returncode == 0, evaluated.stderr
    assert "share_below" in evaluated.stdout


@pytest.mark.parametrize("page", ["first_layer", "first_source"])
def test_the_code_of_a_tutorial_runs(page: str, folder: Path) -> None:
    files = [b.value for b in BLOCKS if b.page.stem == page and b.mark == "file"]
    (config,) = (file for file in files if file.endswith(".yaml"))
    (tests,) = (file for file in files if file.startswith("test_"))
    trained = forked_kerascli("train", config, cwd=folder)
    assert trained.returncode == 0, trained.stderr
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", tests]
    paths = os.pathsep.join([str(folder), str(ROOT)])
    tested = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout


def test_every_source_transform_and_callback_is_in_the_language() -> None:
    named = {name for page in LANGUAGE for name in re.findall(r"`(\w+)`", page.read_text(encoding="utf-8"))}
    for kind in ("source", "transform", "callback"):
        assert set(registries()[kind].names()) <= named, kind


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    trees = re.findall(r"^:::\{toctree\}\n(.+?)^:::$", index, re.M | re.S)
    listed = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    assert len(listed) == len(set(listed))
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} == {name for name in listed if "/" not in name} | {
        "index"
    }
    assert {"guides/index", "language/index"} <= set(listed)


def test_every_phase_of_a_profile_is_explained() -> None:
    page = (ROOT / "docs" / "profile.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([a-z ]+)`", "".join(re.findall(r"^\| (`.+?) \|", page, re.M))))
    assert told == {*ORDER, REST} - {"forward and backward"}
    assert {rule.phase for rule in RULES} <= told


def test_exit_codes_are_those_of_the_errors() -> None:
    codes = {kind.exit_code for kind in KerasCliError.__subclasses__() if kind is not Interrupted}
    codes |= {0, 1, 128 + signal.SIGPIPE, *(Interrupted("", signal_number=number).exit_code for number in SIGNALS)}
    errors, runs = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("errors.md", "runs.md"))
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", errors, re.M)} == codes
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", runs, re.M)} <= codes


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", file.read_text(encoding="utf-8")), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_the_house_is_as_contributors_are_told() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 100
    told = {room: int(floor) for floor, room in re.findall(r"^(\d+) +(\w+)(?:/|\.py) +\S", text, re.M)}
    assert told == {room: number for number, rooms in enumerate(FLOORS, 1) for room in rooms}
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("**/*.py"))}
    assert told.keys() == rooms - {"__init__"}
