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
    places = {path: place / os.path.basename(os.path.normpath(path)) for path in paths}
    if len(set(places.values())) < len(places):
        raise ConfigError(f"--data {shown}: the run reads several files of one name: {safe_text(', '.join(places))}")
    if missing := [each.name for each in places.values() if not each.exists()]:
        is_folder = "directory" in inner.paths or (place.is_dir() and getattr(inner, "whole_folders", False))
        if len(paths) != 1 or place.is_dir() != is_folder:
            hint = "expected the folder with all files (or folders) that the run reads, or its only one itself"
            raise ConfigError(f"--data {shown}: there is no '{safe_text(missing[0])}' in it", hint=hint)
        places = {paths[0]: place}
    base = os.path.realpath(folder)
    return source.with_paths(lambda path: os.path.relpath(os.path.realpath(places[path]), base))
