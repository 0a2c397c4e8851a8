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
    paths = [value for name in inner.paths if isinstance(value := getattr(inner, name), str)]
    shown = safe_text(str(place))
    if not paths or inner.component_name == "python":
        raise ConfigError(f"--data {shown}: the source '{inner.component_name}' has no files that can be elsewhere")
    if not place.exists():
        raise ConfigError(f"--data {shown}: there is no such file or folder")
    names = _names(paths)
    found = {path: place / name for path, name in names.items()}
    missing = [name for path, name in names.items() if not found[path].exists()]
    if missing and len(paths) == 1 and place.is_dir() == ("directory" in inner.paths):
        found = {paths[0]: place}
    elif missing:
        itself = ", or itself" if len(paths) == 1 else ""
        what = ", ".join(f"'{safe_text(name)}'" for name in names.values())
        text = f"--data {shown}: there is no '{safe_text(missing[0])}' in it"
        raise ConfigError(text, hint=f"the run reads {what}: expected the folder that holds it{itself}")
    base = os.path.realpath(folder)
    return source.placed({path: os.path.relpath(os.path.realpath(new), base) for path, new in found.items()})


def _names(paths: list[str]) -> dict[str, str]:
    """Return a mapping from each path to its path relative to their common folder; a single path becomes its name."""
    rooted = {path: os.path.normpath(os.path.join("/", path)) for path in paths}
    common = os.path.commonpath([os.path.dirname(path) for path in rooted.values()])
    return {path: os.path.relpath(found, common) for path, found in rooted.items()}
