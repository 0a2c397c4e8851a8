"""Write a safetensors file tensor by tensor, without a copy of all tensors in memory."""

import json
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from kerascli.disk.pieces import Pieces

_KINDS = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_ALIGNED = 8


def tensor_pieces(tensors: Mapping[str, Tensor]) -> Pieces:
    """Return the contents of a safetensors file in pieces; a tensor is read only when its piece is written."""
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))  # so that all are aligned
    header: dict[str, object] = {}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.element_size() * math.prod(tensor.shape)
        header[name] = {"dtype": _KINDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNED)
    head = len(text).to_bytes(8, "little") + text

    def made() -> Iterator[bytes | memoryview]:
        yield head
        for _, tensor in ordered:
            values = tensor.detach().to("cpu").contiguous().reshape(-1)
            yield values.view(torch.uint8).numpy().data

    return Pieces(len(head) + end, made)
