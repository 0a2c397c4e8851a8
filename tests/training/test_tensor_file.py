"""Tensors written in pieces are a file that the safetensors library reads, and that can be mapped into memory."""

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from kerascli.foundation.errors import FileRefused
from kerascli.training.checkpoint_files import TRAINING, training_tensors
from kerascli.training.tensor_file import mapped_tensors, read_tensors, tensor_pieces

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool,
]  # fmt: skip


def test_tensors_of_every_kind_are_read_back(tmp_path: Path) -> None:
    tensors = {f"w/{dtype}": (torch.arange(6).reshape(2, 3) % 2).to(dtype) for dtype in DTYPES}
    tensors |= {"": torch.tensor(3.5), "none": torch.empty(0, 4), "ä\n": torch.arange(3), "bits": torch.ones(3).bool()}
    tensors |= {"turned": torch.arange(6.0).reshape(2, 3).t(), "part": torch.arange(9.0)[::2]}
    path = tmp_path / "weights"
    path.write_bytes(b"".join(tensor_pieces(tensors)))
    with path.open("rb") as file:
        mapped = mapped_tensors(file)
    for found in (load(path.read_bytes()), mapped):
        assert found.keys() == tensors.keys()
        for name, value in tensors.items():
            assert found[name].dtype == value.dtype
            assert torch.equal(found[name], value)


def test_a_damaged_file_is_not_mapped(tmp_path: Path) -> None:
    whole = b"".join(tensor_pieces({"a": torch.ones(100)}))
    for data in (b"", whole[:7], whole[:50], whole[:-1], whole + b"0", b"\xff" * 8 + whole[8:]):
        (tmp_path / "weights").write_bytes(data)
        with (tmp_path / "weights").open("rb") as file, pytest.raises(SafetensorError):
            mapped_tensors(file)


ONE = '"dtype": "F32", "shape": [1], "data_offsets": [0, 4]'
TWICE = {
    "a tensor": f'{{"a": {{{ONE}}}, "a": {{{ONE}}}}}',
    "in the metadata": f'{{"a": {{{ONE}}}, "__metadata__": {{"model": "1", "model": "2"}}}}',
}


@pytest.mark.parametrize("header", TWICE.values(), ids=TWICE)
def test_a_header_with_a_key_twice_is_refused_although_the_library_reads_it(header: str, tmp_path: Path) -> None:
    data = len(header).to_bytes(8, "little") + header.encode() + bytes(4)
    assert load(data)["a"].tolist() == [0]
    (tmp_path / "weights").write_bytes(data)
    with (tmp_path / "weights").open("rb") as file, pytest.raises(SafetensorError, match="a key appears twice"):
        mapped_tensors(file)
    with pytest.raises(FileRefused, match=r"'w\.safetensors' is damaged: .* a key appears twice"):
        read_tensors(data, "w.safetensors")
    with pytest.raises(FileRefused, match=f"'{TRAINING}' is damaged: .* a key appears twice"):
        training_tensors({TRAINING: data})


def test_the_size_is_known_before_anything_is_read() -> None:
    file = tensor_pieces({"a": torch.ones(3, 5), "b": torch.ones(2).bool()})
    assert len(file) == len(b"".join(file))
    assert len(tensor_pieces({})) == len(b"".join(tensor_pieces({})))


def test_numbers_are_those_of_the_moment_in_which_they_are_read() -> None:
    tensor = torch.zeros(2)
    file = tensor_pieces({"a": tensor})
    tensor.add_(1)
    assert torch.equal(load(b"".join(file))["a"], torch.ones(2))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_tensor_lies_where_its_numbers_can_be_read(dtype: torch.dtype) -> None:
    mixed = {"b": torch.ones(1).bool(), "a": torch.ones(3, dtype=dtype), "c": torch.ones(1, dtype=torch.int64)}
    data = b"".join(tensor_pieces(mixed))
    end = 8 + int.from_bytes(data[:8], "little")
    assert end % 8 == 0
    assert torch.equal(load(data)["a"], mixed["a"])
