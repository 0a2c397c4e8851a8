"""Tensors as a safetensors file that is written tensor by tensor: a checkpoint takes the memory of its largest one.

The form is at https://huggingface.co/docs/safetensors: the length of a header, the header as JSON, all numbers.
"""

import json
import struct
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


class TensorFile:
    """What a file of such tensors holds. They are read when it is gone through, each time anew."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        # the widest first, so that every tensor lies where its numbers can be read without copying
        self._tensors = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
        header, end = {}, 0
        for name, tensor in self._tensors:
            start, end = end, end + tensor.numel() * tensor.element_size()
            header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._head = struct.pack("<Q", len(text)) + text
        self.size = len(self._head) + end

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield self._head
        for _, tensor in self._tensors:
            if tensor.numel():
                numbers = tensor.detach().contiguous().cpu()
                yield numbers.reshape(-1).view(torch.uint8).numpy().data
