"""Write and read safetensors files; a file on disk is mapped into memory, without a copy of all tensors."""

import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import IO, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor

from kerascli.foundation.disk.files import unique_keys
from kerascli.foundation.disk.pieces import Pieces
from kerascli.foundation.errors import FileRefused, safe_text

_KINDS = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_ALIGNED = 8
_MOST_HEADER_BYTES = 100_000_000
"""Largest header that the library safetensors reads."""
_DESCRIPTORS = "/dev/fd"
"""Folder with the open files of this process, by descriptor; Windows has none."""


class LateTensor(NamedTuple):
    """Tensor to write to a file, whose values are computed only when they are written (such as a divided weight)."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    read: Callable[[], Tensor]
    """Function that returns the values, on any device."""


def tensor_pieces(tensors: Mapping[str, Tensor | LateTensor], metadata: Mapping[str, str] | None = None) -> Pieces:
    """Return the contents of a safetensors file in pieces: each tensor is read only when its piece is written.

    `metadata` maps names to texts, for the key `__metadata__` of the file's header.
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))  # so that all are aligned
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
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


def mapped_tensors(file: io.BufferedReader) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, mapped into memory (on Windows: read).

    Raises SafetensorError if the file is damaged.
    """
    _check_header(file)
    if not os.path.isdir(_DESCRIPTORS):
        file.seek(0)
        return load(file.read())
    same_file = f"{_DESCRIPTORS}/{file.fileno()}"  # whatever its path leads to by now
    with safe_open(same_file, framework="pt") as opened:
        names = opened.keys()
        return {name: opened.get_tensor(name) for name in names}


def read_tensors(data: bytes, name: str) -> dict[str, Tensor]:
    """Return the tensors in the bytes of a safetensors file, by name. Raises FileRefused if it is damaged.

    `name` is the file's name in the error message.
    """
    try:
        _check_header(io.BytesIO(data))
        return load(data)
    except SafetensorError as error:
        raise FileRefused(f"'{safe_text(name)}' is damaged: {safe_text(str(error), 100)}") from None


def _check_header(file: IO[bytes]) -> None:
    """Raise SafetensorError if the header of a safetensors file is no JSON object, or has a key twice.

    The safetensors library itself reads the last of two tensors with the same name.
    """
    size = int.from_bytes(file.read(8), "little")
    if size > _MOST_HEADER_BYTES:
        raise SafetensorError(f"a header of {size:,} bytes; the limit is {_MOST_HEADER_BYTES:,}")
    try:
        header = json.loads(file.read(size), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise SafetensorError(f"its header is not valid JSON: {error}") from None
    if not isinstance(header, dict):
        raise SafetensorError("its header is not a JSON object")
