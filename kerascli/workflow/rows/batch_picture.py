"""Data for the plot of a training batch: what a model is fed, after all pipelines and augmentation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from kerascli.config.config import Config
from kerascli.config.data import load_config_data
from kerascli.config.describe import describe_config
from kerascli.data.base import Field, States
from kerascli.data.batches.loader import BatchSource
from kerascli.data.text_codec import TextCodec, text_codecs
from kerascli.foundation import draws
from kerascli.foundation.errors import counted, safe_text

_ROWS, _COLUMNS, _VALUES, _CHARACTERS = 32, 12, 6, 60
"""Maximum numbers: of rows that are drawn, of columns of an input, and of values and characters of a cell."""
_LEAST_PIXELS = 8
"""Size, in pixels, from which an array is a picture."""


@dataclass(frozen=True, slots=True)
class BatchPicture:
    """Rows of a training batch: pictures (rows, H, W, C) by input or target, a label for each row, and a table."""

    title: str
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    columns: list[Sequence[str]] = field(default_factory=list)
    """Columns of the table, each of which begins with its heading."""


def batch_picture(config: Config, learned: States | None = None) -> BatchPicture:
    """Return the first rows of the first training batch of a config, as its model gets them in the first epoch.

    `learned` is the fitted state of a run's transforms; None: they are fitted to the data. Raises KerasCliError.
    """
    prepared = load_config_data(config, learned=learned)
    spec = describe_config(config, prepared.facts)
    rows, fit = prepared.splits["train"], spec.fit
    source = BatchSource(rows, fit.batch_size, torch.device("cpu"), shuffle=fit.shuffle, seed=spec.seed)
    batch = next(iter(source.epoch(0)))
    with torch.no_grad(), draws.using(draws.Draws(spec.seed, "train", 0)):
        fed = prepared.mixing(prepared.input_stage(batch.inputs), prepared.target_stage(batch.targets))
    count = min(batch.rows, _ROWS)
    made = BatchPicture(f"first {counted(count, 'row')} of a training batch of {batch.rows:,}")
    made.columns.append(["row", *(str(number) for number in range(1, count + 1))])
    labels: list[Sequence[str]] = []
    origin = {} if rows.origin is None else rows.origin.columns
    for section, tensors in zip(("inputs", "targets"), fed, strict=True):
        assert config.data is not None  # load_config_data raises without
        codecs = text_codecs(config.data, prepared.learned, section)
        for name, tensor in tensors.items():
            values = tensor[:count].numpy()
            if is_picture(values):
                made.pictures[name] = values if values.ndim == 4 else values[..., None]
                continue
            fields = prepared.facts.targets if section == "targets" else {}
            own = _columns(name, values, codecs.get(name), fields.get(name), origin.get((section, name), ()))
            labels += own.values() if section == "targets" else []
            if section == "inputs" or not made.pictures:
                made.columns.extend([heading, *cells] for heading, cells in own.items())
    made.labels.extend(", ".join(each) for each in zip(*labels, strict=True))
    return made


def _columns(
    name: str, values: np.ndarray, codec: TextCodec | None, target: Field | None, columns: Sequence[str]
) -> Mapping[str, list[str]]:
    """Return the columns of the table for an input or a `target`, by heading: its tokens, classes or numbers."""
    classes = () if target is None else target.classes or tuple(map(str, range(target.num_classes or 0)))
    if classes:
        return {name: [_class_text(row, classes) for row in values.reshape(len(values), -1)]}
    if codec is not None:
        return {name: [safe_text(" ".join(token or "_" for token in codec.each(row)), _CHARACTERS) for row in values]}
    if values.ndim == 2 and values.shape[1] == len(columns) <= _COLUMNS:
        return {column: [f"{value:.5g}" for value in values[:, at]] for at, column in enumerate(columns)}
    return {name: [_numbers(row) for row in values.reshape(len(values), -1)]}


def _class_text(row: np.ndarray, classes: Sequence[str]) -> str:
    """Return the class of a row: of an integer, of one-hot values, or the two largest shares of mixed ones."""
    if len(row) == len(classes) > 1:
        largest = [number for number in np.argsort(-row, kind="stable")[:2] if row[number] > 0]
        shares = [f" {row[number]:.2f}" if row[number] < 1 else "" for number in largest]
        return " ".join(f"{classes[number]}{share}" for number, share in zip(largest, shares, strict=True))
    is_label = len(row) == 1 and row[0] == int(row[0]) and 0 <= row[0] < len(classes)
    return classes[int(row[0])] if is_label else _numbers(row)


def _numbers(row: np.ndarray) -> str:
    more = f" ... ({len(row):,} values)" if len(row) > _VALUES else ""
    return " ".join(f"{value:.5g}" for value in row[:_VALUES]) + more


def is_picture(values: np.ndarray) -> bool:
    """Return True if each row of an array is a picture: bytes or many numbers (H, W), or (H, W, C) with C 1 or 3."""
    is_one = values.ndim == 3 and (values.dtype == np.uint8 or min(values.shape[1:]) >= 2 * _LEAST_PIXELS)
    is_one |= values.ndim == 4 and values.shape[-1] in {1, 3} and values.dtype.kind in "uif"
    return is_one and min(values.shape[1:3]) >= _LEAST_PIXELS
