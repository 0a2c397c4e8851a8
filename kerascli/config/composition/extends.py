"""The config key `extends: base.yaml`, which names a base config that the config is merged into."""

import os
from dataclasses import replace
from functools import reduce
from pathlib import Path as FilePath

from kerascli.config.composition.merge import Merger
from kerascli.config.top_level import ConfigSection
from kerascli.config.yaml.document import Document
from kerascli.config.yaml.text import read_document
from kerascli.foundation.disk.files import impossible_path, in_home, with_tilde
from kerascli.foundation.errors import ConfigError, Fault, safe_text, show
from kerascli.language.component import Invalid

MAX_CHAIN = 16


def read_extended(path: FilePath) -> Document:
    """Read a config file and merge it into the configs that it extends; return the result. Raises ConfigError."""
    return extend(read_document(path))


def extend(document: Document) -> Document:
    """Return a config merged into the base configs that it extends, directly or through others.

    Raises ConfigError.
    """
    chain = [document]
    while "extends" in chain[-1].data:
        if len(chain) > MAX_CHAIN:
            raise _refused(chain[-1], f"a chain of more than {MAX_CHAIN} files, or a circle")
        chain.append(_base(chain[-1]))
    return reduce(_on_top, reversed(chain))


def _base(upper: Document) -> Document:
    """Read the config that a document names as its base."""
    written = upper.data["extends"]
    if not isinstance(written, str):
        raise _refused(upper, f"expected the path of a config, got {show(written)}")
    path = FilePath(os.path.normpath(upper.folder_of(("extends",)) / in_home(with_tilde(written))))
    if reason := impossible_path(path):
        raise _refused(upper, f"no file can be called {show(written)}: {reason}")
    try:
        base = read_document(path)
    except ConfigError as error:
        quotes_lines = any(fault.place is not None and fault.place.line for fault in error.faults)
        if quotes_lines and FilePath(os.path.realpath(path)).suffix.lower() not in {".yaml", ".yml"}:
            raise _no_config(upper, written) from None
        # a fault without a place is about the whole file: locate it at `extends`
        raise ConfigError([upper.locate(replace(fault, path=("extends",))) for fault in error.faults]) from None
    if base.data and not base.data.keys() & set(ConfigSection.model_fields):
        raise _no_config(upper, written)
    return base


def _no_config(upper: Document, written: str) -> ConfigError:
    """Return the error for an `extends` that names a file which is not a config.

    It does not quote the file, since a foreign config may name any file.
    """
    hint = f"a config is YAML with sections: {', '.join(ConfigSection.model_fields)}"
    return _refused(upper, f"'{safe_text(written, 100)}' is not a config", hint)


def _refused(upper: Document, text: str, hint: str | None = None) -> ConfigError:
    return upper.error([Fault(f"extends: {text}", ("extends",), hint=hint)])


def _on_top(base: Document, over: Document) -> Document:
    merger = Merger()
    own = {key: value for key, value in over.data.items() if key != "extends"}
    try:
        data = merger.merge(base.data, own, ())
    except Invalid as invalid:
        raise over.error(invalid.faults) from None
    merged = replace(over, data=data, folders={**base.folders, **over.folders})
    return replace(merged, marks=merger.marks(data, base.marks, over.mark))
