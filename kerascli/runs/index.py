"""Find run folders by path, name, unambiguous prefix or `latest`, and remove them."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from kerascli.foundation.disk import locks, storage
from kerascli.foundation.errors import ConfigError, FileRefused, StorageError, safe_text, suggestion
from kerascli.runs.facts import LastStart, last_start
from kerascli.runs.reading import LATEST, quoted
from kerascli.runs.record import MEMBERS, RunRecord, is_run, is_study

MEMBER = re.compile(r"\d{1,6}|[a-z]+-\d{1,6}")
"""Pattern of the name of a study's member in a selector such as `STUDY/7`."""


def list_runs(runs_dir: Path, kind: Callable[[Path], bool] = is_run) -> list[RunRecord]:
    """Return the runs in a folder as a list, in the order in which they were started; symbolic links are ignored.

    `kind` returns True for the path of a run; is_study lists studies.
    """
    if not runs_dir.is_dir():
        return []
    with os.scandir(runs_dir) as entries:
        names = [each.name for each in entries if each.is_dir(follow_symlinks=False) and not each.name.startswith(".")]
    newest = last_start(runs_dir)
    folders = filter(kind, map(runs_dir.joinpath, names))
    return sorted(map(RunRecord, folders), key=lambda run: _order(run, newest))


def find_run(selector: str, runs_dir: Path) -> RunRecord:
    """Return the run with this path, name or unambiguous prefix, or the `latest`. Raises ConfigError unless one is
    found, also for a study."""
    path = find(selector, runs_dir)
    if is_study(path):
        raise is_no_run(path)
    return RunRecord.open(path)


def is_no_run(study: Path) -> ConfigError:
    """Return the error about the folder of a study where a run is expected, with the name of one of its runs."""
    file = min(study.glob(f"{MEMBERS}/**/run.json"), default=study / MEMBERS / "0001" / "run.json")
    hint = f"name one of its runs, such as {file.parent}; kerascli studies and tune take a study"
    return ConfigError(f"{quoted(study)} is a study", hint=hint)


def find(selector: str, runs_dir: Path, *, only_studies: bool = False) -> Path:
    """Return the folder of the run, else of the study, with this path, name or unambiguous prefix; or of the `latest`
    run. With `only_studies`, runs are left out. Raises ConfigError unless one is found; a run's path is not checked.
    """
    if is_archive(selector):
        text = f"{quoted(selector)} is an archive, which this command does not read"
        raise ConfigError(text, hint="unzip it, and name the folder")
    path, (study, _, name) = Path(selector), selector.rpartition("/")
    if study and MEMBER.fullmatch(name) and not path.exists():  # STUDY/7, or STUDY/7/fold-3
        path = member_path(find(study, runs_dir, only_studies=True), name)
        if not path.exists():
            text = f"the study {quoted(path.parent.parent)} has no run {quoted(path.name)}"
            raise ConfigError(text, hint="kerascli studies show STUDY lists its trials")
    if is_study(path) or (_is_path(selector) and not only_studies):
        return path.resolve() if path.name in {"", ".."} else path
    return _named(selector, runs_dir, only_studies=only_studies).path


def _named(selector: str, runs_dir: Path, *, only_studies: bool) -> RunRecord:
    """Return the run, else the study, with this name or prefix, or the latest; of studies alone with `only_studies`."""
    runs = list_runs(runs_dir, is_study if only_studies else is_run)
    studies = [] if only_studies or selector == LATEST else list_runs(runs_dir, is_study)
    matches = runs[-1:] if selector == LATEST else _matches(selector, runs, studies)
    if len(matches) > 1:
        found = [safe_text(run.folder_name) for run in matches]
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        kind = "studies" if is_study(matches[0].path) else "runs"
        text = f"{quoted(selector)} means {len(matches)} {kind}: {', '.join(found[-3:])}{more}"
        raise ConfigError(text, hint=f"the newest is {found[-1]}")
    if matches:
        return matches[0]
    if only_studies:
        hint = "kerascli studies lists them; kerascli tune CONFIG starts one"
        raise ConfigError(f"there is no study {quoted(selector)} in {quoted(runs_dir)}", hint=hint)
    if not runs:
        raise ConfigError(f"there are no runs in {quoted(runs_dir)}", hint="start one: kerascli train CONFIG")
    names = [LATEST, *(name for run in runs for name in (run.folder_name, run.name))]
    text = f"no run {quoted(selector)} in {quoted(runs_dir)}{suggestion(selector, names)}"
    raise ConfigError(text, hint="kerascli runs lists them")


def is_archive(selector: str) -> bool:
    """Return True if the name of a run is the path of a zip file."""
    return selector.lower().endswith(".zip") and os.path.isfile(selector)


def member_path(study: Path, name: str) -> Path:
    """Return the folder of a member of a study, such as 7 or `fold-3`, whether it exists or not."""
    return study / MEMBERS / (f"{int(name):04}" if name.isdigit() else name)


def _matches(selector: str, runs: Sequence[RunRecord], studies: Sequence[RunRecord]) -> Sequence[RunRecord]:
    """Return the run or study with this folder name; without one, the runs, else the studies, with this name; without
    one, all with this prefix."""
    both = [*runs, *studies]
    named = [run for run in both if run.folder_name == selector]
    named = named or [run for run in runs if run.name == selector] or [run for run in studies if run.name == selector]
    if named or not selector:
        return named
    return [run for run in both if run.folder_name.startswith(selector) or run.name.startswith(selector)]


def remove(run: RunRecord) -> None:
    """Delete a run's folder. Raises StorageError if it is locked or a symbolic link, FileRefused if it is not a run."""
    if run.path.is_symlink():
        raise StorageError(f"{quoted(run.path)} is a link and is not removed", hint="remove the link itself")
    if not is_run(run.path):
        raise FileRefused(f"{quoted(run.path)} is not a run and is not removed")
    with locks.lock(run.path):
        storage.remove_folder(run.path)
        storage.sweep(run.path.parent)


def _is_path(selector: str) -> bool:
    return "/" in selector or selector in {".", ".."} or is_run(Path(selector))


def _order(run: RunRecord, newest: LastStart | None) -> tuple[int, bool, str]:
    """Return a sort key that orders runs by their start; run.json has a number for it.

    Runs from other folders or older versions have none and come first, by the time in their folders' names. A copy,
    which has the number of its original, comes before it.
    """
    try:
        facts = run.facts()
    except FileRefused:
        facts = {}
    number, start = 0, facts.get("start")
    if newest is not None and newest.folder_name == run.folder_name:  # its number may not be recorded
        number = newest.number
    elif newest is not None and start is not None and start["sequence"] == newest.sequence:
        number = start["number"]
    return number, facts.get("folder_name") == run.folder_name, run.folder_name
