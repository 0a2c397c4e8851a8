"""Data of an opened config: facts about it (shapes, dtypes ...), and its rows."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from kerascli.config.composition.references import STAND_IN, Facts, OpenFacts
from kerascli.config.config import Config
from kerascli.data.base import Field, States
from kerascli.data.pipeline.prepare import DataFacts, PreparedData, data_facts, load_data
from kerascli.foundation.errors import Fault
from kerascli.language.expressions import Value

Fields = Mapping[str, Field]
"""Type of a mapping from the names of inputs or targets to their fields (shape, dtype, classes)."""
_MEMBERS = ("shape", "num_classes", "vocabulary_size", "max_length")


def config_facts(config: Config, *, look: bool = True) -> DataFacts:
    """Return the facts about a config's data that are known before loading it (shapes, dtypes, sizes).

    With `look=False`, no file is accessed.
    """
    if config.data is None:
        return DataFacts({}, {}, known=False)
    with config.faults():
        return data_facts(config.data, config.context, look=look)


def load_config_data(
    config: Config, *, learned: States | None = None, keep: Collection[str] = (), decode: bool = True
) -> PreparedData:
    """Load and preprocess the data of a config.

    `learned` is the fitted state of the transforms (vocabularies ...) of an earlier run; None: `config.learned` or, if
    that is None, the transforms are fitted to this data. The raw columns `keep` are loaded in addition to the columns
    that the config uses. Without `decode`, files (images ...) that a table names are decoded only when they are read.
    """
    if config.data is None:
        hint = "add data: {source: ..., inputs: ..., targets: ...}"
        raise config.error([Fault("the config has no 'data' section", (), hint=hint)])
    with config.faults():
        split = config.validation_split
        context = replace(config.context, decode=decode)
        return load_data(config.data, context, validation_split=split, learned=learned or config.learned, keep=keep)


def facts_by_name(facts: DataFacts) -> Facts:
    """Return the facts about the data that `$` references can use, by name (`inputs.x.max_length`).

    A fact that is known only after reading the data has the value None.
    """
    groups: dict[str, Fields] = {"inputs": facts.inputs, "targets": facts.targets}
    values: dict[str, Value] = {} if facts.known else OpenFacts()
    for group, fields in groups.items():
        for name, field in fields.items():
            for member in _MEMBERS:
                value = list(field.shape) if member == "shape" else getattr(field, member)
                is_open = member == "shape" and None in field.shape and not facts.known
                values[f"{group}.{name}.{member}"] = None if is_open else value
    return values


def with_sizes(inputs: Fields) -> dict[str, Field]:
    """Return the data's inputs (shape, dtype ...) by name, with the size STAND_IN for each unknown vector length.

    These lengths are known only after reading the data.
    """
    return {
        name: replace(field, shape=(*field.shape[:-1], STAND_IN))
        if field.dtype in {"float32", "uint8"} and field.shape[-1:] == (None,)  # those of integers are steps
        else field
        for name, field in inputs.items()
    }
