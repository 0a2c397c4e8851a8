"""Configs without data, whose model is made of weights alone: they train on one row that holds nothing."""

from collections.abc import Iterator
from dataclasses import replace

from kerascli.config.yaml.document import Document
from kerascli.foundation.errors import Fault
from kerascli.model.syntax.inputs import is_of_weights

_OF_ROWS = {
    "fit": ("validation_split", "validation_data", "validation_steps", "validation_batch_size", "class_weight"),
    "compile": ("loss", "loss_weights", "metrics", "weighted_metrics"),
}
"""Keys of sections that need rows of data."""


def with_one_row(document: Document) -> Document:
    """Return the config with a section `data` of one row that holds nothing, if it has neither data nor inputs, and a
    model that begins with a weight; else the config itself."""
    has_inputs = "data" in document.data or document.at(("model", "inputs")) is not None
    if has_inputs or not is_of_weights(document.at(("model", "layers"))):
        return document
    return replace(document, data={**document.data, "data": {"source": "one_row", "inputs": {"row": []}}})


def row_faults(document: Document) -> Iterator[Fault]:
    """Yield a config error for each setting that needs rows of data, and for epochs without a number of steps."""
    for section, keys in _OF_ROWS.items():
        for key in keys:
            if document.at((section, key)):
                text = f"{key} needs rows, but the config has no 'data' section: it trains weights alone"
                hint = "losses are add_loss: {value: ...}, in model.layers" if section == "compile" else "remove it"
                yield Fault(text, (section, key), "key", hint=hint)
    if document.at(("fit", "steps_per_epoch")) is None:
        text = "without 'data' an epoch has no number of rows: fit needs steps_per_epoch"
        yield Fault(text, ("fit",) if "fit" in document.data else (), "key", hint="fit: {steps_per_epoch: 20}")
