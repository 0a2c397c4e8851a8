"""Paths of the files that initializers of weights read, relative to the config file that names them."""

import os
from dataclasses import replace
from typing import Any

from kerascli.config.yaml.document import Document
from kerascli.foundation.disk.files import in_home
from kerascli.foundation.errors import Path

_KINDS = ("image", "file")


def with_initial_files(document: Document) -> Document:
    """Return the config with an absolute path in each initializer `image` or `file` of its section `model`."""
    if not isinstance(document.data.get("model"), dict):
        return document
    return replace(document, data={**document.data, "model": _in(document, document.data["model"], ("model",))})


def _in(document: Document, value: Any, path: Path) -> Any:
    if isinstance(value, list):
        return [_in(document, each, (*path, index)) for index, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if str(path[-1]).endswith("initializer") and len(value) == 1 and (kind := next(iter(value))) in _KINDS:
        named = value[kind]
        if isinstance(named, str):
            return {kind: _absolute(document, named, (*path, kind))}
        if isinstance(named, dict) and isinstance(named.get("path"), str):
            return {kind: {**named, "path": _absolute(document, named["path"], (*path, kind, "path"))}}
    return {key: _in(document, each, (*path, key)) for key, each in value.items()}


def _absolute(document: Document, name: str, path: Path) -> str:
    return os.path.abspath(os.path.join(document.folder_of(path), in_home(name)))
