"""Files of a checkpoint: one with the training state and, with FSDP, one for each process's parts of the weights.

In files of parts, a tensor's name ends with its range of the whole tensor: `weights/dense/kernel@1,64,128,256` has the
indices 64 to 127 of the 256 along axis 1. So a checkpoint can be read with any world size.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.training.tensor_file import read_tensors

TRAINING = "training.safetensors"
"""Name of the file with the training state; with FSDP, it has only the tensors that every process holds whole."""
_NAME = re.compile(r"(.+)@(\d{1,9}),(\d{1,18}),(\d{1,18}),(\d{1,18})", re.DOTALL)
_FILE = re.compile(r"part-\d+-of-\d+\.safetensors")
"""Name of a file with one process's parts of the weights, which FSDP divides."""


class Range(NamedTuple):
    """Index range from `start` to `stop` (exclusive) along an axis of length `size` of a tensor in Keras's layout."""

    axis: int
    start: int
    stop: int
    size: int

    def of(self, whole: Tensor) -> Tensor:
        """Return the part of the tensor `whole` within this index range, as a view."""
        return whole.narrow(self.axis, self.start, self.stop - self.start)

    @property
    def whole(self) -> "Range":
        return Range(self.axis, 0, self.size, self.size)

    def within(self, target: "Range") -> "Range":
        """Return the part of this index range that is within `target`; empty at its nearer end if there is none."""
        start, stop = (min(max(each, target.start), target.stop) for each in (self.start, self.stop))
        return self._replace(start=start, stop=stop)


def part_file(rank: int, size: int) -> str:
    """Return the name of the checkpoint file with the parts of weights that process `rank` of `size` holds (FSDP)."""
    return f"part-{rank:05d}-of-{size:05d}.safetensors"


def in_ranges(tensors: Mapping[str, Tensor], own: Mapping[str, Range]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Divide the tensors of a training state into (those that every process has whole, this process's parts).

    Both are mappings from name to tensor. `own` maps the name of each weight that FSDP divides to the range of it that
    this process holds; this range is appended to the name of a part: `weights/dense/kernel@1,64,128,256`.
    """
    common: dict[str, Tensor] = {}
    parts: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        part = range_of(name, own)
        if part is None:
            common[name] = tensor
        else:
            assert tensor.shape[part.axis] == part.stop - part.start, f"'{name}' is gathered"
            parts[f"{name}@{part.axis},{part.start},{part.stop},{part.size}"] = tensor
    return common, parts


def range_of(name: str, own: Mapping[str, Range]) -> Range | None:
    """Return the index range of the tensor `name` of a checkpoint that this process holds; None if it holds the whole.

    `own` maps the name of each weight that FSDP divides to its range. An optimizer's states of a weight have its range
    (`optimizer/adam/dense/kernel/velocity`), and so have copies that callbacks store under a name such as `best`
    (`slots/best/dense/kernel`).
    """
    kind, *parts = name.split("/")
    parts = {"weights": parts, "slots": parts[1:], "optimizer": parts[1:-1]}.get(kind, [])
    return own.get("/".join(parts))


def training_tensors(
    files: Mapping[str, bytes], own: Mapping[str, Range] | None = None, part: str | None = None
) -> dict[str, Tensor]:
    """Return the tensors of a training state by name, from the contents of a checkpoint's files.

    `files` maps file names to contents, which are read one after the other. `own` maps names of weights to the ranges
    that this process holds: of these only the range is returned, of all other tensors the whole. `part` is the name of
    this process's file of parts; if it is in `files`, no other process's file is read, since this file has exactly the
    ranges in `own`: the checkpoint was divided into equally many parts. Raises FileRefused if a file contradicts
    itself, or if parts of a tensor are missing.
    """
    own = own or {}
    values: dict[str, Tensor] = {}
    pieces: dict[str, list[tuple[Range, Tensor]]] = {}
    for file in needed_files(files, part):
        for name, tensor in read_tensors(files[file], file).items():
            match = _NAME.fullmatch(name)
            if match is None:
                target = range_of(name, own)
                fits = target is not None and tensor.shape[target.axis : target.axis + 1] == (target.size,)
                values[name] = target.of(tensor) if target is not None and fits else tensor
                continue
            whole, piece = match[1], Range(*map(int, match.groups()[1:]))
            _refuse_contradiction(whole, tensor, piece)
            inside = piece.within(range_of(whole, own) or piece.whole)
            first, length = inside.start - piece.start, inside.stop - inside.start
            copied = tensor.narrow(piece.axis, first if length else 0, length).clone()  # the rest is freed
            pieces.setdefault(whole, []).append((inside, copied))
    return values | {name: _joined(name, each, range_of(name, own)) for name, each in pieces.items()}


def needed_files(files: Iterable[str], part: str | None) -> list[str]:
    """Return the names of those of a checkpoint's files that this process must read.

    These files are that of the training state and, if FSDP divided the weights, this process's own file of parts,
    `part`, or the files of every process if there is none of that name.
    """
    parts = sorted(filter(_FILE.fullmatch, files))
    return [TRAINING, *([part] if part in parts else parts)]


def _joined(name: str, pieces: list[tuple[Range, Tensor]], target: Range | None) -> Tensor:
    """Return a tensor, or only its range `target`, made from its pieces. Raises FileRefused if a piece is missing."""
    pieces = sorted(pieces, key=lambda each: (each[0].start, each[0].stop))
    target = target or pieces[0][0].whole
    forms = {(each.whole, values.dtype, values.narrow(each.axis, 0, 0).shape) for each, values in pieces}
    if len(forms) != 1 or pieces[0][0].whole != target.whole:
        raise FileRefused(f"the checkpoint is damaged: parts of '{safe_text(name)}' do not fit together")
    if [*(each.start for each, _ in pieces), target.stop] != [target.start, *(each.stop for each, _ in pieces)]:
        raise FileRefused(f"the checkpoint is damaged: a part of '{safe_text(name)}' is missing")
    return torch.cat([values for _, values in pieces], target.axis)


def _refuse_contradiction(name: str, tensor: Tensor, piece: Range) -> None:
    fits = piece.axis < tensor.dim() and piece.start <= piece.stop <= piece.size
    if not fits or tensor.shape[piece.axis] != piece.stop - piece.start:
        raise FileRefused(f"the checkpoint is damaged: the range of a part of '{safe_text(name)}' is wrong")
