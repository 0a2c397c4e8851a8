"""Open a Keras model file of any format: model config, compile config and arrays."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from kerascli.foundation.disk.files import file_digest, open_regular
from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.interop.keras import archive, hdf5
from kerascli.interop.keras.hdf5 import Hdf5
from kerascli.interop.keras.objects import full_name, is_object, own_name, refuse_code
from kerascli.interop.keras_import.calls import MODELS

_JSON_STARTS = (b"{", b"[")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """An open Keras model file; `arrays` reads its HDF5 part, and is None for a JSON file."""

    name: str
    digest: str
    version: str
    model: Mapping[str, Any]
    compile: Mapping[str, Any] | None
    arrays: Hdf5 | None
    legacy: str | None
    """Path of the HDF5 group with the weights if the file has Keras 2's layout; None for Keras 3's layout."""

    @property
    def keras_3(self) -> bool:
        return self.version.startswith("3")


@contextmanager
def open_model(path: Path) -> Iterator[ModelFile]:
    """Context manager that opens a Keras model file of any format. Raises DataError, FileRefused, ConfigError."""
    name = safe_text(str(path))
    with ExitStack() as stack:
        file = stack.enter_context(open_regular(path))
        head = file.read(8)
        file.seek(0)
        if head.startswith(archive.MAGIC):
            opened = _keras(file, name, file_digest(path), stack)
        elif head == hdf5.MAGIC:
            opened = _hdf5(file, name, file_digest(path), stack)
        elif head.lstrip()[:1] in _JSON_STARTS:
            opened = _json(file, name, file_digest(path))
        else:
            text = f"'{name}' is not a Keras file: expected .keras, .h5 or the .json of a model"
            raise FileRefused(text)
        yield opened


def _keras(file: BufferedReader, name: str, digest: str, stack: ExitStack) -> ModelFile:
    found = archive.read_archive(file, name)
    model = _model(found.config, name)
    weights = found.weights
    stack.callback(weights.file.close)
    arrays = stack.enter_context(Hdf5(weights.file.fileno(), weights.start, weights.size, name))
    compiled = model.get("compile_config")
    return ModelFile(name, digest, found.version, model, _settings(compiled), arrays, None)


def _hdf5(file: BufferedReader, name: str, digest: str, stack: ExitStack) -> ModelFile:
    arrays = stack.enter_context(Hdf5(file.fileno(), 0, os.fstat(file.fileno()).st_size, name))
    text = arrays.text("", "model_config")
    if text is None:
        hint = (
            "save the whole model (model.save), or write its layers in a config: kerascli import FILE --config CONFIG"
        )
        raise FileRefused(f"'{name}' contains weights but no model", hint=hint)
    model = _model(archive.load_config(text.encode(), f"model_config in '{name}'"), name)
    settings = arrays.text("", "training_config")
    compiled = None if settings is None else archive.load_config(settings.encode(), f"training_config in '{name}'")
    if compiled is not None:
        refuse_code(compiled, name)
    version = arrays.text("", "keras_version") or ""
    return ModelFile(name, digest, version, model, _settings(compiled), arrays, "model_weights")


def _json(file: BufferedReader, name: str, digest: str) -> ModelFile:
    config = archive.load_config(file.read(archive.MAX_CONFIG_BYTES + 1), f"the text of '{name}'")
    model = _model(config, name)
    version = model.get("keras_version")
    version = version if isinstance(version, str) else "3" if "module" in model else "2"
    return ModelFile(name, digest, version, model, _settings(model.get("compile_config")), None, None)


def _settings(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) and value else None


def _model(config: Any, name: str) -> Mapping[str, Any]:
    """Return the model config of a Keras file. Raises FileRefused if it is no Sequential or functional model."""
    refuse_code(config, name)
    if not is_object(config):
        raise FileRefused(f"'{name}' contains no model")
    if own_name(config) not in MODELS:
        text = f"'{name}' contains a model of class {safe_text(full_name(config), 80)}, whose code is not in the file"
        raise FileRefused(text, hint="only Sequential and functional models can be read")
    return config
