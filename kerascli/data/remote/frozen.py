"""Frozen tables: rows that come as a stream, of a query or a large text, written once as a file of Parquet."""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kerascli.data.storage.column import pa, pc
from kerascli.foundation.disk import storage
from kerascli.foundation.disk.pieces import Pieces

FROZEN_ROWS = 2**17
"""Number of rows of a block of a frozen table; its digest depends on where blocks end."""

Blocks = Callable[[frozenset[str]], Iterator[Mapping[str, "pa.Array"]]]
"""Function that returns a table's rows in blocks, as arrays by column; the columns that are passed to it as text."""


def freeze(folder: Path, blocks: Blocks, name: str | None = None) -> Path:
    """Write a table to the file of Parquet `name` (None: the SHA-256 of its rows) in `folder`, and return its path.

    A column of numbers stays one only if all blocks have numbers that one type holds exactly; else it is text. The
    blocks are iterated a second time if a later block widens the type of a column. Raises StorageError.
    """
    kinds: dict[str, set[Any]] = {}
    storage.make_folder(folder)
    while True:
        digest = hashlib.sha256()
        try:
            with storage.staged(folder / "rows", Pieces(0, lambda: _written(blocks, kinds, digest))) as file:  # noqa: B023
                path = folder / (name or f"{digest.hexdigest()}.parquet")
                storage.place(file, path)
        except _Widened:
            continue
        storage.sync_folder(folder)
        return path


class _Widened(Exception):
    """Error about a block whose values do not fit the types of the blocks before."""


def _written(blocks: Blocks, kinds: dict[str, set[Any]], digest: Any) -> Iterator[bytes]:
    """Yield the bytes of the file of Parquet, and add the rows to the digest; add what columns hold to `kinds`."""
    from pyarrow.parquet import ParquetWriter

    sink, writer, types, fits = io.BytesIO(), None, pa.schema([]), True
    for block in blocks(frozenset(name for name, each in kinds.items() if _type(each) == pa.string())):
        for name in {**kinds, **block}:
            kinds.setdefault(name, set()).update(_kinds(block[name]) if name in block else {"missing"})
        found = pa.schema([(name, _type(each)) for name, each in kinds.items()])
        if writer is None:
            types = found
            # not packed: the size of a packed file says little about the memory that its rows take
            writer = ParquetWriter(sink, types, compression="none", use_dictionary=False, write_page_checksum=True)
            digest.update(repr(dict(zip(types.names, types.types, strict=True))).encode())
        fits = fits and types == found  # types may widen and return, as those of a column that begins with gaps
        if fits:
            count = len(next(iter(block.values())))
            arrays = (block[name] if name in block else pa.nulls(count) for name in types.names)
            rows = pa.record_batch([array.cast(kind) for array, kind in zip(arrays, types.types, strict=True)], types)
            digest.update(rows.serialize())
            writer.write_batch(rows)
            yield _taken(sink)
    if not fits:
        raise _Widened
    assert writer is not None, "the caller refuses tables without rows"
    writer.close()
    yield _taken(sink)


def _kinds(values: "pa.Array") -> set[Any]:
    """Return what the type of a column depends on: the type that holds an array's values, and words about them."""
    kinds = {"missing"} if values.null_count else set[Any]()
    if values.null_count == len(values):
        return kinds
    if not pa.types.is_integer(values.type):
        return kinds | {pa.float64() if pa.types.is_floating(values.type) else values.type}
    least, most = (each.as_py() for each in pc.min_max(values).values())
    words = {"negative": least < 0, "large": max(-least, most) > 2**53}
    return kinds | {word for word, holds in words.items() if holds} | {pa.uint64() if most >= 2**63 else pa.int64()}


def _type(kinds: set[Any]) -> Any:
    """Return the type of a column of Parquet that holds all values exactly."""
    numbers = [pa.float64(), pa.uint64(), pa.int64()]
    types = kinds - {"missing", "negative", "large"} or {pa.float64()}
    is_inexact = ("large" in kinds and kinds & {"missing", pa.float64()}) or {"negative", pa.uint64()} <= kinds
    if is_inexact or not (len(types) == 1 or types <= set(numbers)):
        return pa.string()
    return next(each for each in (*numbers, *types) if each in types)


def _taken(sink: io.BytesIO) -> bytes:
    """Return what has been written to a file since it was last taken; pyarrow itself counts what it has written."""
    data = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return data
