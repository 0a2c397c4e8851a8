"""Write and read safetensors files tensor by tensor, without a copy of all tensors in memory."""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader

import torch
from safetensors import safe_open
from safetensors.torch import load
from torch import Tensor

from kerascli.disk.pieces import Pieces

_KINDS = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_ALIGNED = 8
_DESCRIPTORS = "/dev/fd"
"""Folder with the open files of this process, by descriptor; Windows has none."""


@dataclass(frozen=True, slots=True)
class LateTensor:
    """Tensor whose values are made by `read` only when they are written, such as values gathered from processes."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    read: Callable[[], Tensor]


def tensor_pieces(tensors: Mapping[str, Tensor | LateTensor]) -> Pieces:
    """Return the contents of a safetensors file in pieces: each tensor is read only when its piece is written."""
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))  # so that all are aligned
    header: dict[str, object] = {}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.dtype.itemsize * math.prod(tensor.shape)
        header[name] = {"dtype": _KINDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNED)
    head = len(text).to_bytes(8, "little") + text

    def made() -> Iterator[bytes | memoryview]:
        yield head
        for _, tensor in ordered:
            values = tensor.read() if isinstance(tensor, LateTensor) else tensor.detach()
            values = values.to("cpu").contiguous().reshape(-1)
            yield values.view(torch.uint8).numpy().data

    return Pieces(len(head) + end, made)


def mapped_tensors(file: BufferedReader) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, mapped into memory (on Windows: read).

    Raises SafetensorError if the file is damaged.
    """
    if not os.path.isdir(_DESCRIPTORS):
        file.seek(0)
        return load(file.read())
    same_file = f"{_DESCRIPTORS}/{file.fileno()}"  # whatever its path leads to by now
    with safe_open(same_file, framework="pt") as opened:
        names = opened.keys()
        return {name: opened.get_tensor(name) for name in names}
