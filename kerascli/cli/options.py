"""Options that several commands share, and what a missing argument means."""

import contextlib
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kerascli.errors import ConfigError, Fault, safe_lines

if TYPE_CHECKING:
    from kerascli.config.yaml.document import Document
    from kerascli.report.downloads import DownloadBar
    from kerascli.runs.record import RunRecord

RUNS_DIR = Path("runs")
SPLITS = ("test", "validation", "train")
"""Names of splits; any other word is the path of a file or a folder."""

Config = Annotated[
    Path | None, typer.Argument(metavar="CONFIG", help="The config; default: the only one in this folder.")
]
Run = Annotated[str, typer.Argument(metavar="RUN", help="latest, a run's name, a prefix of it, or its path.")]
RunsDir = Annotated[Path, typer.Option("--runs-dir", metavar="FOLDER", help="The folder that holds the runs.")]
Device = Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, max=4096, metavar="N", help="Threads on the CPU; default: one a core it may use."),
]
Checkpoint = Annotated[
    str | None, typer.Option("--checkpoint", metavar="NAME", help="Take the weights of a named checkpoint: best.")
]
Sets = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a value: fit.epochs=2.")]
Flags = Annotated[list[str], typer.Option("--flag", metavar="NAME=VALUE", help="Set a flag that the config declares.")]
View = Annotated[str | None, typer.Option("--view", metavar="NAME", help="A view of the model in its place.")]
What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="WHAT...",
        help="A split (test, validation, train); or files, folders and patterns as the run's source reads them; "
        "- is standard input.",
    ),
]
JsonLines = Annotated[bool, typer.Option("--json", help="Print an object a row (JSON Lines).")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def note(text: str) -> None:
    """Say what was chosen for the user, on stderr; that nobody reads it there is no reason to stop."""
    with contextlib.suppress(BrokenPipeError):
        typer.echo(safe_lines(text), err=True)


def warn(faults: Iterable[Fault]) -> None:
    """Say warnings on stderr, each with its place and the way out."""
    for fault in faults:
        typer.echo("\n".join(fault.lines()), err=True)


def say(text: str) -> None:
    """Print data on stdout: as it is for a program, without control characters for a terminal."""
    sys.stdout.write(safe_lines(text) if sys.stdout.isatty() else text)


def terminal_width() -> int | None:
    """The columns of the terminal that reads stdout; None: a pipe or a file, where a line is a thing."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def say_json(data: Any) -> None:
    """Print facts as JSON, in ASCII: fit for any terminal."""
    from kerascli.storage import json_text

    sys.stdout.write(json_text(data, ascii_only=True))


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


def read_config(path: Path, sets: Sequence[str], flags: Sequence[str], command: str = "") -> "Document":
    """Read a config with its sets; faults of the text, and names that it is known to misspell for `command`, come
    before torch, which takes a second, is loaded."""
    from kerascli.config.composition.extends import read_extended
    from kerascli.config.composition.overrides import override
    from kerascli.config.composition.references import read_flags
    from kerascli.config.misspelt import refuse_misspelt

    document = override(read_extended(path), sets)
    read_flags(document, flags)
    refuse_misspelt(document, command, flags)
    return document


@contextlib.contextmanager
def remembered(document: "Document", command: str, flags: Sequence[str]) -> Iterator[None]:
    """Around a whole check of a config: what it comes to is known the next time."""
    from kerascli.config.misspelt import remember

    try:
        yield
    except ConfigError as error:
        remember(document, command, flags, error)
        raise


def config_or_run(
    what: str | None, runs_dir: Path, sets: Sequence[str], flags: Sequence[str]
) -> "Document | RunRecord":
    """A file is a config, whose text is sound then; anything else names a run. Raises ConfigError."""
    from kerascli.runs.index import LATEST, list_runs

    if what is None and not sets and not flags and list_runs(runs_dir):
        what = LATEST
    if what is None or Path(what).is_file() or Path(what).suffix in {".yaml", ".yml"}:
        path = config_or_only(None if what is None else Path(what))
        return read_config(path, sets, flags)
    if sets or flags:
        raise ConfigError(f"{'--set' if sets else '--flag'} goes with a config: a run keeps its settings")
    return find_run(what, runs_dir)


def find_run(selector: str, runs_dir: Path) -> "RunRecord":
    """The run that is meant; `latest` is said by name on stderr."""
    from kerascli.runs.index import LATEST
    from kerascli.runs.index import find_run as find

    record = find(selector, runs_dir)
    if selector == LATEST:
        note(f"run: {record.path} (the latest)")
    if not record.has_checksums:
        note(f"warning: {record.path} is from before runs had checksums: damage to its files would not be noticed")
    if record.status() != "running":  # its checkpoints come and go
        for text in record.checkpoints.doubts():
            note(f"warning: {text}")
    return record


def trained_run(selector: str, runs_dir: Path, checkpoint: str | None) -> "RunRecord":
    """A run whose weights can be used: its training has ended, or a checkpoint is named. Raises ConfigError."""
    record = find_run(selector, runs_dir)
    record.facts()  # refused where it is damaged, or where the run never began
    status = record.status()
    if checkpoint is not None or status not in {"running", "interrupted", "killed"}:
        return record
    slots = record.checkpoints.slots()
    if slots:
        hint = f"take a checkpoint of it: --checkpoint {'best' if 'best' in slots else slots[-1]}"
    elif status == "running":
        hint = "wait for its end"
    else:
        hint = f"go on with it: kerascli train --resume {shlex.quote(str(record.path))}"
    raise ConfigError(f"the training of '{record.path}' has not ended (it is {status})", hint=hint)


def check_device(device: str) -> None:
    """Refuse a device that is not there before any work is done. Raises ConfigError."""
    from kerascli.device import choose_device

    choose_device(device)


def download_bar() -> "DownloadBar":
    """What shows the downloads of a built-in dataset."""
    from kerascli.report.downloads import DownloadBar

    return DownloadBar(sys.stderr)
