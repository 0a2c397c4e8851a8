"""Open a Keras model file of any format: model config, compile config and arrays."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

from kerascli.foundation.disk.files import file_digest
from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.interop.keras import archive
from kerascli.interop.keras.hdf5 import Hdf5
from kerascli.interop.keras.objects import Serialized, full_name, is_object, own_name, refuse_code
from kerascli.interop.keras_import.calls import MODELS


class ModelFile(NamedTuple):
    """An open Keras model file; `arrays` reads its HDF5 part, and is None for a JSON file."""

    name: str
    digest: str
    version: str
    model: Serialized
    compile: Serialized | None
    arrays: Hdf5 | None
    legacy: str | None
    """Path of the HDF5 group with the weights if the file has Keras 2's layout; None for Keras 3's layout."""
    vocabularies: Mapping[str, bytes]
    """Mapping from the place of a layer (`layers/string_lookup`) to its vocabulary, a text with an entry a line."""

    @property
    def keras_3(self) -> bool:
        return self.version.startswith("3")


@contextmanager
def open_model(path: Path) -> Iterator[ModelFile]:
    """Context manager that opens a Keras model file of any format. Raises DataError, FileRefused, ConfigError."""
    name = safe_text(str(path))
    with archive.open_arrays(path, name) as (file, opened, arrays):
        legacy = None
        if opened is not None:
            model, version = _model(opened.config, name), opened.version
            compiled = model.get("compile_config")
        elif arrays is not None:
            model, version = _model(_config(arrays, name), name), arrays.text("", "keras_version")
            legacy = "model_weights"
            text = arrays.text("", "training_config")
            compiled = None if text is None else archive.load_config(text.encode(), f"training_config in '{name}'")
            refuse_code(compiled, name)
        else:
            model = _model(_json(file, name), name)
            version = model.get("keras_version")
            version = version if isinstance(version, str) else "3" if "module" in model else "2"
            compiled = model.get("compile_config")
        compiled = compiled if isinstance(compiled, dict) and compiled else None
        vocabularies = {} if opened is None else opened.vocabularies
        yield ModelFile(name, file_digest(path), version or "", model, compiled, arrays, legacy, vocabularies)


def _config(arrays: Hdf5, name: str) -> Any:
    """Return the config of the model in an `.h5` file. Raises FileRefused if it has weights alone."""
    if (text := arrays.text("", "model_config")) is None:
        hint = "save the whole model (model.save), or write its layers in a config: import FILE --config CONFIG"
        raise FileRefused(f"'{name}' contains weights but no model", hint=hint)
    return archive.load_config(text.encode(), f"model_config in '{name}'")


def _json(file: BufferedReader, name: str) -> Any:
    data = file.read(archive.MAX_CONFIG_BYTES + 1)
    if data[:8].lstrip()[:1] not in (b"{", b"["):
        raise FileRefused(f"'{name}' is not a Keras file: expected .keras, .h5 or the .json of a model")
    return archive.load_config(data, f"the text of '{name}'")


def _model(config: Any, name: str) -> Serialized:
    """Return the model config of a Keras file. Raises FileRefused if it is no Sequential or functional model."""
    refuse_code(config, name)
    if not is_object(config):
        raise FileRefused(f"'{name}' contains no model")
    if own_name(config) not in MODELS:
        text = f"'{name}' contains a model of class {safe_text(full_name(config), 80)}, whose code is not in the file"
        raise FileRefused(text, hint="only Sequential and functional models can be read")
    return config
