"""Read the weights files that torchvision publishes; kerascli reads pickles nowhere else.

Only files listed in `config/sections/torchvision.py` are accepted. A file is read once, and its bytes are checked
against the checksum in its name before they are parsed; they are then loaded with `weights_only`, which creates
tensors and runs no code. A checksum of eight digits alone would not protect against a malicious file.
"""

import hashlib
import io
import os
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from kerascli.config.sections.torchvision import Published
from kerascli.data.download import Progress, download
from kerascli.foundation.disk.files import DAMAGED, MAX_MEMBERS, memory_limit, read_bytes
from kerascli.foundation.errors import FileRefused, first_line, safe_text

MAX_BYTES = 2**30
_ZIP = b"PK\x03\x04"
_BEFORE_ZIP = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of files that torch wrote before its format was a zip archive; some published weights are that old."""


def cache_path(published: Published) -> Path:
    """Return the path where published weights are cached: `$TORCH_HOME/hub/checkpoints`, or below `~/.cache/torch`."""
    return Path(torch.hub.get_dir()) / "checkpoints" / published.file


def published_tensors(published: Published, progress: Progress | None = None) -> tuple[dict[str, Tensor], str]:
    """Return torchvision's published weights by name, and the SHA-256 of their file, which is downloaded if it is not
    cached.

    Raises DataError, FileRefused.
    """
    path, checksum = cache_path(published), published.checksum

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
        data = download(published.url, path, limit=MAX_BYTES, problem=problem, asked=asked, progress=progress)
    return _tensors(data, name), hashlib.sha256(data).hexdigest()


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
