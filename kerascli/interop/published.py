"""Read the weights files that torchvision publishes; kerascli reads pickles nowhere else.

A file is read once, and its bytes are checked against the checksum in its name before they are parsed; they are then
loaded with `weights_only`, which creates tensors and runs no code. A checksum of eight digits alone would not protect
against a malicious file.
"""

import hashlib
import io
import os
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from kerascli.data.download import Progress, download
from kerascli.foundation.disk.files import DAMAGED, MAX_MEMBERS, memory_limit, read_bytes
from kerascli.foundation.errors import FileRefused, first_line, safe_text

MAX_BYTES = 2**30
_ADDRESS = "https://download.pytorch.org/models/"
_ZIP = b"PK\x03\x04"
_BEFORE_ZIP = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of files that torch wrote before its format was a zip archive; some published weights are that old."""


def cache_path(file: str) -> Path:
    """Return the path where a published file is cached: in `$TORCH_HOME/hub/checkpoints`, or below `~/.cache/torch`."""
    return Path(torch.hub.get_dir()) / "checkpoints" / file


def published_tensors(file: str, progress: Progress | None = None) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a file that torchvision publishes, by name, and its SHA-256; it is downloaded if it is not
    cached.

    Raises DataError, FileRefused.
    """
    path, checksum = cache_path(file), _checksum(file)

    def problem(data: bytes) -> str | None:
        digest = hashlib.sha256(data).hexdigest()[: len(checksum)]
        return None if digest == checksum else f"its SHA-256 begins with {digest}, not with {checksum} as in its name"

    name = safe_text(str(path))
    if os.path.exists(path):
        data = read_bytes(path, min(MAX_BYTES, memory_limit()))
        if wrong := problem(data):
            hint = "remove the file: it is then downloaded again"
            raise FileRefused(f"'{name}' is not the published file: {wrong}", hint=hint)
    else:
        asked = ("model", "init_from", "torchvision")
        data = download(f"{_ADDRESS}{file}", path, limit=MAX_BYTES, problem=problem, asked=asked, progress=progress)
    return _tensors(data, name), hashlib.sha256(data).hexdigest()


def _checksum(file: str) -> str:
    """Return the first digits of a published file's SHA-256, which are part of its name: `resnet18-f37072fd.pth`."""
    return file.removesuffix(".pth").rpartition("-")[2]


def _tensors(data: bytes, name: str) -> dict[str, Tensor]:
    _refuse_compressed(data, name)
    try:
        with warnings.catch_warnings(action="ignore"):  # torch warns about a file that is refused below
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and zip raise errors of many classes
        raise FileRefused(f"'{name}' is damaged, or contains more than tensors: {first_line(error)}") from None
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise FileRefused(f"'{name}' is not a dictionary of tensors by name")
    tensors = {key: _plain(key, value, name) for key, value in state.items()}
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > len(data):
        raise FileRefused(f"'{name}' declares {size:,} bytes of tensors, but has {len(data):,}")
    return tensors


def _refuse_compressed(data: bytes, name: str) -> None:
    """Raise FileRefused if a file has compressed or overlapping members, which torch never writes."""
    if data.startswith(_BEFORE_ZIP):
        return
    if not data.startswith(_ZIP):
        raise FileRefused(f"'{name}' is not a file of torch")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except DAMAGED as error:
        raise FileRefused(f"'{name}' is damaged: {safe_text(str(error), 120)}") from None
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if packed or len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > len(data):
        raise FileRefused(f"'{name}' is compressed in a way that torch does not use")


def _plain(key: str, value: object, name: str) -> Tensor:
    """Return a value of a state dict, detached. Raises FileRefused unless it is a dense, real tensor on the CPU."""
    shown = f"'{safe_text(key, 80)}' in '{name}'"
    if not isinstance(value, Tensor):
        raise FileRefused(f"{shown} is not a tensor")
    value = value.detach()
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_complex():
        raise FileRefused(f"{shown} is not a dense tensor of real numbers")
    return value
