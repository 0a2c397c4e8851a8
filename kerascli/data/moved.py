"""Change the location of a data source: return a copy that reads files of the same names at another path."""

import os
from pathlib import Path

from kerascli.data.base import Source
from kerascli.foundation.errors import ConfigError, safe_text


def moved(source: Source, place: Path, folder: Path) -> Source:
    """Return a copy of the data source that reads its files at the path `place`; new paths are relative to `folder`.

    `place` is a folder that holds files (or folders) of the same names as before, or the only file (or folder) itself.
    Raises ConfigError if one is not there.
    """
    inner = getattr(source, "source", source)
    paths: list[str] = []
    inner.with_paths(lambda path: (paths.append(path), path)[1])
    shown = safe_text(str(place))
    if not paths or inner.component_name in ("python", "sql"):
        raise ConfigError(f"--data {shown}: the source '{inner.component_name}' has no files that can be elsewhere")
    if not place.exists():
        raise ConfigError(f"--data {shown}: there is no such file or folder")
    places = {path: place / name for path, name in _names(paths).items()}
    if not all(each.exists() for each in places.values()):
        is_folder = "directory" in inner.paths or (place.is_dir() and getattr(inner, "whole_folders", False))
        if len(paths) != 1 or place.is_dir() != is_folder:
            raise _missing(shown, place, list(places.values()))
        places = {paths[0]: place}
    base = os.path.realpath(folder)
    return source.with_paths(lambda path: os.path.relpath(os.path.realpath(places[path]), base))


def _missing(shown: str, folder: Path, places: list[Path]) -> ConfigError:
    """Return the error about a folder that lacks some of the files that a run reads."""
    names = {path: safe_text(str(path.relative_to(folder))) for path in places}
    missing = next(name for path, name in names.items() if not path.exists())
    itself = ", or itself" if len(places) == 1 else ""
    listed = ", ".join(f"'{name}'" for name in names.values())
    hint = f"the run reads {listed}: expected the folder that holds it{itself}"
    return ConfigError(f"--data {shown}: there is no '{missing}' in it", hint=hint)


def _names(paths: list[str]) -> dict[str, str]:
    """Return a mapping from each path to its path relative to their common folder; a single path becomes its name."""
    rooted = {path: os.path.normpath(os.path.join("/", path)) for path in paths}
    common = os.path.commonpath([os.path.dirname(path) for path in rooted.values()])
    return {path: os.path.relpath(rooted_path, common) for path, rooted_path in rooted.items()}
