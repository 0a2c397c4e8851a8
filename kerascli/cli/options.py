"""Options that several commands share, and what a missing argument means."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerascli.errors import ConfigError

if TYPE_CHECKING:
    from kerascli.report.downloads import DownloadBar
    from kerascli.runs.record import RunRecord

RunsDir = Annotated[Path, typer.Option("--runs-dir", help="The folder that holds the runs.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
Sets = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a value: fit.epochs=2.")]
Flags = Annotated[list[str], typer.Option("--flag", metavar="NAME=VALUE", help="Set a flag that the config declares.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def note(text: str) -> None:
    """Say what was chosen for the user."""
    typer.echo(text, err=True)


def config_or_only(config: Path | None) -> Path:
    """The config that was named, or the only one in this folder (said on stderr). Raises ConfigError."""
    if config is not None:
        return config
    found = sorted(path for pattern in ("*.yaml", "*.yml") for path in Path().glob(pattern))
    if len(found) == 1:
        note(f"config: {found[0]} (the only one here)")
        return found[0]
    if not found:
        raise ConfigError("which config? there is none in this folder", hint="'kerascli init' writes one")
    raise ConfigError(f"which config? there are {len(found)} here", hint=", ".join(map(str, found[:6])))


def refuse_bad_text(path: Path, sets: Sequence[str], flags: Sequence[str]) -> None:
    """Faults of the text are told before torch, which takes a second, is loaded."""
    from kerascli.spec.extends import read_extended
    from kerascli.spec.overrides import override
    from kerascli.spec.references import read_flags

    read_flags(override(read_extended(path), sets), flags)


def find_run(selector: str, runs_dir: Path) -> "RunRecord":
    """The run that is meant; `latest` is said by name on stderr."""
    from kerascli.runs.index import LATEST
    from kerascli.runs.index import find_run as find

    record = find(selector, runs_dir)
    if selector == LATEST:
        note(f"run: {record.path} (the latest)")
    return record


def download_bar() -> "DownloadBar":
    """What shows the downloads of a built-in dataset."""
    import sys

    from kerascli.report.downloads import DownloadBar

    return DownloadBar(sys.stderr)
