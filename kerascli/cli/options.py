"""Command-line options that several commands share, and functions that interpret their values."""

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kerascli.cli import complete
from kerascli.foundation.errors import ConfigError, Fault, safe_lines
from kerascli.foundation.world import world_of

if TYPE_CHECKING:
    from kerascli.config.run import RunSpec
    from kerascli.config.yaml.document import Document
    from kerascli.report.console import DownloadBar
    from kerascli.runs.record import RunRecord
    from kerascli.studies.folder import Study
    from kerascli.workflow.loaded import LoadedRun

RUNS_DIR = Path("runs")
SPLITS = ("test", "validation", "train")
"""Names of the splits that commands accept, in order of preference; any other word is the path of a file or folder."""


def option(names: str, text: str, **settings: Any) -> Any:
    """Return the declaration of a command's option: its `names` and, after them, a word that stands for its value, as
    in `--output -o FILE`; and the text for --help."""
    flags = [word for word in names.split() if word.startswith("-")]
    value = names.split()[len(flags) :]
    return typer.Option(*flags, metavar=value[0] if value else None, help=text, **settings)


def argument(value: str | None, text: str, complete_by: Callable[..., list[str]] | None = None) -> Any:
    """Return the declaration of a command's argument: the word that stands for it, and the text, both for --help."""
    return typer.Argument(metavar=value, help=text, autocompletion=complete_by)


ABOUT_RUN = "latest, a run's name, a prefix of it, or its path."
_WHAT = (
    "A split (test, validation, train); or files, folders and patterns as the run's source reads them; "
    "- is standard input."
)

Run = Annotated[str, argument("RUN", ABOUT_RUN, complete.runs)]
RunsDir = Annotated[Path, option("--runs-dir FOLDER", "Folder of the runs.")]
Device = Annotated[str, option("--device DEVICE", "auto, cpu, cuda, cuda:N or mps.")]
Threads = Annotated[
    int | None, option("--threads N", "Number of CPU threads; default: one per usable core.", min=1, max=4096)
]
Checkpoint = Annotated[
    str | None, option("--checkpoint NAME", "Use the weights of a named checkpoint, for example best.")
]
_DATA = "Place of the run's data, if it has moved: the file, or the folder of the files."
Data = Annotated[Path | None, option("--data PATH", _DATA)]
_SET = "Override a value, for example fit.epochs=2; may be repeated."
Sets = Annotated[list[str], option("--set KEY=VALUE", _SET, autocompletion=complete.settings)]
Flags = Annotated[list[str], option("--flag NAME=VALUE", "Set a flag that the config declares; may be repeated.")]
Size = Annotated[int | None, option("--size N", "Height and width of an application's images, in pixels.", min=1)]
View = Annotated[str | None, option("--view NAME", "Use a view of the model instead of the model.")]
What = Annotated[list[str] | None, argument("WHAT", _WHAT)]
Horizon = Annotated[
    int | None, option("--horizon N", "Forecast the N rows after the last of a series.", min=1, max=1_000_000)
]
Future = Annotated[Path | None, option("--future FILE", "With --horizon: the columns of these rows that are known.")]
Processes = Annotated[
    int | None, option("--processes N", "Divide the work among N processes of this machine.", min=1, max=1024)
]
Timeout = Annotated[
    float, option("--timeout SECONDS", "Time after which a process without an answer counts as lost.", min=1.0)
]
Threshold = Annotated[
    float | None, option("--threshold P", "Of two classes, the second if its probability is > P.", min=0, max=1)
]
Json = Annotated[bool, option("--json", "Print the result as JSON.")]
TrustPlugins = Annotated[bool, option("--trust-plugins", "Run the Python code that an archive of a run brings.")]


opened_archives = contextlib.ExitStack()
"""Archives that the command has opened; at its end their temporary folders are removed."""


def note(*texts: str) -> None:
    """Print notes on stderr, for example about a default; a closed stderr is ignored. One process prints for all."""
    for text in texts if world_of().leads else ():
        with contextlib.suppress(BrokenPipeError):
            typer.echo(safe_lines(text), err=True)


def warn(faults: Iterable[Fault]) -> None:
    """Print warnings about a config or run on stderr, each with its position and hint. One process prints for all."""
    for fault in faults if world_of().leads else ():
        typer.echo("\n".join(fault.lines()), err=True)


def say(text: str) -> None:
    """Print results on stdout: unchanged into a file or pipe, without control characters on a terminal."""
    sys.stdout.write(safe_lines(text) if sys.stdout.isatty() else text)


def terminal_width() -> int | None:
    """Return the width of the terminal on stdout in columns; None if stdout is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def say_json(data: Any) -> None:
    """Print data on stdout as JSON text, in ASCII."""
    from kerascli.foundation.disk.storage import json_text

    sys.stdout.write(json_text(data, ascii_only=True))


def refuse(options: Mapping[str, object], why: str, names: Iterable[str] | None = None) -> None:
    """Raise ConfigError for the first option (of `names`) that is given but does not apply: none may be ignored."""
    for name in options if names is None else names:
        if options[name]:
            raise ConfigError(f"{name} {why}")


def is_config(what: str | None) -> bool:
    """Return True if an argument that may also name a run is (or must be) the path of a config, or is left out."""
    path = Path(what or "")
    if what is None or (path.is_file() and path.suffix.lower() != ".zip") or path.suffix in {".yaml", ".yml"}:
        return True
    from kerascli.runs.index import MEMBER

    return os.sep in what and not path.is_dir() and MEMBER.fullmatch(path.name) is None  # STUDY/7 is a run


def config_or_only(config: str | Path | None) -> Path:
    """Return the path of the given config, or of the only config in the current folder. Raises ConfigError."""
    if config is not None:
        return Path(config)
    files = sorted(path for pattern in ("*.yaml", "*.yml") for path in Path().glob(pattern))
    if len(files) == 1:
        note(f"config: {files[0]} (the only one here)")
        return files[0]
    number = f"are {len(files)}" if files else "is none"
    hint = ", ".join(map(str, files[:6])) or "'kerascli init --from DATA' writes one"
    raise ConfigError(f"no config is given, and there {number} in this folder", hint=hint)


def read_config(path: Path, sets: Sequence[str], flags: Sequence[str]) -> "Document":
    """Return a config as a Document (data with positions), with --set and --flag overrides applied. Raises
    ConfigError."""
    from kerascli.config.composition.extends import read_extended
    from kerascli.config.composition.overrides import override
    from kerascli.config.composition.references import read_flags

    document = override(read_extended(path), sets)
    read_flags(document, flags)
    return document


def config_or_run(
    what: str | None, runs_dir: Path, sets: Sequence[str], flags: Sequence[str], trust: bool | None, size: int | None
) -> "Document | RunRecord":
    """Return the config (parsed) if `what` is a file, else the run that it names, or a published network of this name
    with arguments from `sets`, for images of a `size`. Raises ConfigError."""
    from kerascli.config.composition.applications import application_config
    from kerascli.runs.index import LATEST, list_runs

    if what is None and not sets and not flags and list_runs(runs_dir):
        what = LATEST
    is_run = any(what in (run.name, run.folder_name) for run in list_runs(runs_dir))
    if what and not (is_config(what) or is_run) and (network := application_config(what, sets, size)) is not None:
        note(f"application: {network.name} (random weights)")
        return network
    refuse({"--size": size}, "can only be used with an application")
    if what is None or is_config(what):
        return read_config(config_or_only(what), sets, flags)
    if sets or flags:
        raise ConfigError(f"{'--set' if sets else '--flag'} can only be used with a config: a run keeps its settings")
    return find_run(what, runs_dir, trust)


def model_spec(source: "Document | RunRecord", flags: Sequence[str], runs_dir: Path) -> "RunSpec":
    """Return the checked contents of a config (with its overrides), or of a run's config, to show its model."""
    from kerascli.config.yaml.document import Document
    from kerascli.workflow.check import spec_of, spec_of_run

    if isinstance(source, Document):
        return spec_of(source, flags=flags, progress=download_bar(), runs_dir=runs_dir)
    return spec_of_run(source)


def find_run(selector: str, runs_dir: Path, trust: bool | None = None) -> "RunRecord":
    """Return the run with this name, path or prefix, or `latest`; prints warnings about it. Raises ConfigError.

    A study stands for its best trial. The selector may be the path of an archive, unless `trust` is None; its code is
    run only if that is True.
    """
    from kerascli.runs import index

    if index.is_archive(selector) and trust is not None:
        from kerascli.runs.archives import open_archive

        record = opened_archives.enter_context(open_archive(Path(selector), trusts_plugins=trust))
    elif (study := study_of(selector, runs_dir)) is not None:
        record = study.best_run()
        note(f"run: {record.path} (the best trial)")
    else:
        record = index.find_run(selector, runs_dir)
    if selector == index.LATEST:
        note(f"run: {record.path} (the latest)")
    if record.status() != "running":  # its checkpoints are being replaced
        for text in record.checkpoints.doubts():
            note(f"warning: {text}")
    return record


def study_of(selector: str, runs_dir: Path) -> "Study | None":
    """Return the study that a selector names; None if it names a run. Raises ConfigError unless one is found."""
    from kerascli.runs import index

    if index.is_archive(selector) or not index.is_study(path := index.find(selector, runs_dir)):
        return None
    from kerascli.studies.folder import Study

    return Study(path)


def find_study(selector: str, runs_dir: Path) -> "Study":
    """Return the study that a selector names. Raises ConfigError."""
    from kerascli.studies.folder import find_study

    return find_study(selector, runs_dir)


def trained_run(selector: str, runs_dir: Path, checkpoint: str | None, trust: bool | None = None) -> "RunRecord":
    """Return a run whose weights can be used: its training has ended, or a checkpoint exists. Raises ConfigError."""
    record = find_run(selector, runs_dir, trust)
    record.facts()  # raises FileRefused if it is damaged, or if the run never began
    status = record.status()
    if checkpoint is not None or status not in {"running", "interrupted", "killed"} or record.was_cut_off:
        return record
    if slots := record.checkpoints.slots():
        hint = f"use a checkpoint of it: --checkpoint {'best' if 'best' in slots else slots[-1]}"
    elif status == "running":
        hint = "wait until it ends"
    else:
        hint = f"it has no checkpoint; resume it: kerascli train --resume {shlex.quote(str(record.path))}"
    raise ConfigError(f"the training of '{record.path}' has not ended (it is {status})", hint=hint)


def open_run(record: "RunRecord", **opening: Any) -> "LoadedRun":
    """Load the model and the weights of a run; prints the progress of downloads. `opening` is as in the workflow."""
    from kerascli.workflow.loaded import open_run

    return open_run(record, progress=download_bar(), **opening)


def refuse_idle_data(data: Path | None, what: Sequence[str]) -> None:
    """Raise ConfigError if the option --data is used without effect, since the command reads files, not a split."""
    if data is not None and what and what[0] not in SPLITS:
        raise ConfigError("--data has no effect: the run's data is read for a split only, and files are given")


def check_device(device: str) -> None:
    """Raise ConfigError if the device that the option --device names is not available."""
    from kerascli.foundation.device import choose_device

    choose_device(device)


def download_bar() -> "DownloadBar | None":
    """Return the progress bar on stderr for downloads of built-in datasets; None if another process prints."""
    if not world_of().leads:
        return None
    from kerascli.report.console import DownloadBar

    return DownloadBar(sys.stderr)
