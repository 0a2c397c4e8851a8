"""Read a sample of the lines of a text file, and find its encoding."""

import codecs
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kerascli.data.storage.compressed import unpacked_blocks, unpacked_start
from kerascli.foundation.disk.files import open_regular
from kerascli.foundation.errors import DataError

MAX_BYTES = 4 * 2**20
"""Maximum number of bytes of a text file to examine; of a larger file, evenly spaced parts are read."""
_PIECES = 16
_BLOCK = 2**22
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class TextSample:
    """Sample of the lines of a text file, and the file's encoding."""

    pieces: list[str]
    """Parts of the text with whole lines, in order; the first is its beginning."""
    encoding: str
    whole: bool
    """True if the sample has all lines of the file."""
    share: float
    """Approximate fraction of the file's bytes that is in the sample: 1 if all of them are, 0 if unknown."""

    def all_rows(self, rows: int) -> int:
        """Return the (estimated) number of rows of the whole file, of which the sample has `rows`."""
        return rows if self.whole else int(rows / (self.share or 0.5))


def sample_text(path: Path, name: str) -> TextSample:
    """Read a sample of the lines of a text file, which may be compressed, and find its encoding.

    `name` is the file's name in errors. Raises DataError.
    """
    start, whole, packed = unpacked_start(path, name, MAX_BYTES)
    _refuse_binary(start, name)
    if start.startswith(_UTF16):
        text = start[: len(start) // 2 * 2].decode("utf-16", errors="ignore")
        return TextSample([text if whole else text.rpartition("\n")[0]], "utf-16", whole, 1 if whole else 0)
    size = os.stat(path).st_size
    pieces = [start] if whole else [_lines(start)] if packed else list(_pieces(path, name, size))
    encoding = next((each for each in ("utf-8-sig", "cp1252") if _decodes([*pieces, b"\n"], each)), "latin-1")
    blocks = unpacked_blocks(path, name, _BLOCK)  # not only the pieces of the sample
    if encoding == "utf-8-sig" and not (whole or packed or _decodes(blocks, "utf-8")):
        encoding = "latin-1"  # as cp1252 but for a few marks, and no byte fails in it
    share = 1.0 if whole else min(1.0, MAX_BYTES / (size * (4 if packed else 1)))
    return TextSample([piece.decode(encoding) for piece in pieces], encoding.removesuffix("-sig"), whole, share)


def _refuse_binary(start: bytes, name: str) -> None:
    """Raise DataError if a file, whose first bytes are `start`, is not text, or empty."""
    if not start.strip():
        raise DataError("the file is empty", place=name)
    if b"\0" in start and not start.startswith(_UTF16):
        raise DataError("this is no text: it has zero bytes", place=name)


def _pieces(path: Path, name: str, size: int) -> Iterator[bytes]:
    """Yield pieces of a text file, from its start and from evenly spaced offsets, each cut to whole lines."""
    each = MAX_BYTES // _PIECES
    with open_regular(path, name) as file:
        for number in range(_PIECES):
            file.seek(number * (size - each) // (_PIECES - 1))
            piece = file.read(each)
            yield _lines(piece if number == 0 else piece.partition(b"\n")[2])


def _lines(piece: bytes) -> bytes:
    """Return the bytes `piece` of a file without the last line, which may be incomplete."""
    return piece[: piece.rfind(b"\n") + 1] or piece


def _decodes(pieces: Iterable[bytes], encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    with suppress(UnicodeDecodeError):
        for piece in pieces:
            decoder.decode(piece)
        return True
    return False
