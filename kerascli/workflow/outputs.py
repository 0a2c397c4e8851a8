"""Checks of commands' output paths: they must not overwrite an input, a run's file, or what is no config or schema.

No flag turns the check off. Any other file is replaced.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from kerascli.foundation.disk.files import file_digest, open_regular
from kerascli.foundation.disk.storage import output_file
from kerascli.foundation.errors import ConfigError, KerasCliError, StorageError, leaves, safe_text
from kerascli.runs.record import RunRecord, run_around

_HEAD_BYTES = 4096
CONFIG, SCHEMA = "a config of kerascli", "a JSON Schema"
"""Kinds of output files that may have any suffix, and replace files of their kind alone."""


def writable(path: Path, kind: str | None = None, *, run: RunRecord | None = None, reads: Iterable[Path] = ()) -> Path:
    """Return the path of an output file. Raises ConfigError if a command must not write to this path.

    It may not be inside a run's folder, nor replace a file that the command reads: those in `reads`, and those that the
    config of `run` names or `run` was made from. A config or a schema (`kind`) replaces one alone. A new or empty file
    may always be written. Raises StorageError if the folder does not exist.
    """
    file = output_file(path)
    shown = safe_text(str(path))
    if not file.parent.is_dir():
        raise StorageError(f"cannot write '{shown}': there is no folder '{safe_text(str(path.parent))}'")
    if (around := run_around(file)) is not None:
        hint = f"write to its plots/ or samples/, or outside of '{safe_text(around.name)}'"
        raise ConfigError(f"'{shown}' is inside a run, where no other files are written", hint=hint)
    if not file.exists() or not file.stat().st_size:
        return file
    if any(_is_within(file, read) for read in (*reads, *(() if run is None else _read_by(run)))):
        raise ConfigError(f"'{shown}' is read by this command and is not replaced", hint="name another file")
    if run is not None and file_digest(file) in _digests(run):
        raise ConfigError(f"the run was made from '{shown}', which is not replaced", hint="name another file")
    if kind is not None and not {CONFIG: _is_config, SCHEMA: _is_schema}[kind](file):
        raise ConfigError(f"'{shown}' is not {kind} and is not replaced", hint="name another file")
    return file


def _is_within(file: Path, read: Path) -> bool:
    """Return True if an output file is the file `read`, or is inside the folder `read`."""
    real = Path(os.path.realpath(read))
    return file.is_relative_to(real) or (real.exists() and file.samefile(real))


def _read_by(run: RunRecord) -> Iterator[Path]:
    """Yield the existing files and folders that a run's config names in its `data` section and `model.init_from`."""
    from kerascli.config.yaml.text import parse_document

    try:
        resolved = parse_document(run.resolved(), str(run.resolved_path)).data
    except KerasCliError:  # the command itself refuses a damaged run
        return
    for place, text in leaves(resolved, bool):
        names_file = isinstance(text, str) and text.strip("./") and (place[0] == "data" or "init_from" in place)
        if names_file and os.path.exists(run.path / text):
            yield run.path / text


def _digests(run: RunRecord) -> set[str]:
    """Return the set of SHA-256 digests of the files on which a run was trained, or from which it was imported."""
    try:
        facts = run.facts()
    except KerasCliError:
        return set()
    files = [facts.get("data") or {}, facts.get("imported") or {}]
    return {digest for each in files for digest in each.values() if isinstance(digest, str)}


def _is_schema(file: Path) -> bool:
    with open_regular(file) as stream:
        head = stream.read(_HEAD_BYTES)
    return head.startswith(b"{") and b'"$schema"' in head


def _is_config(file: Path) -> bool:
    from kerascli.config.top_level import ConfigSection
    from kerascli.config.yaml.text import read_document

    try:
        keys = read_document(file).data.keys()
    except KerasCliError:
        return False
    usual = {"extends", "data", "model", "compile", "fit"}
    return keys <= ConfigSection.model_fields.keys() and not keys.isdisjoint(usual)
