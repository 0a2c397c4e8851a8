"""SHA-256 digests that identify the data of a run: of the files that its source reads, or of the columns it uses."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from kerascli.data.base import Context, Tables
from kerascli.data.section import DataSpec
from kerascli.data.storage.on_disk import Direct, Values, blocks
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.disk.files import SAMPLED_BYTES, sample_starts

_SAMPLE_BYTES = 2**16


def digests(spec: DataSpec, context: Context, tables: Tables) -> dict[str, str]:
    """Return a mapping from the name of each file that the data source reads to its SHA-256.
    If the rows depend on more than files, it also maps the source's name to a digest of the columns, and the name of
    columns of files that a table names to a digest of what they were decoded to.

    Very large files and columns are sampled; their digests begin with `sampled:`.
    """
    by_file = spec.source.digests(context)
    used = sorted(spec.columns_of())
    name = spec.source.component_name
    if by_file and spec.source.in_files:
        used = [column for column in used if column in spec.source.decoders() and context.decode]
        name = ", ".join(used)
    return {**by_file, name: _digest_of_columns(used, tables)} if used else by_file


def _digest_of_columns(used: Sequence[str], tables: Tables) -> str:
    """Return the SHA-256 of columns of all splits, which begins with `sampled:` if one of them is very large."""
    digest = hashlib.sha256()
    columns = [(split, column, table.column(column)) for split, table in sorted(tables.items()) for column in used]
    for split, column, values in columns:
        digest.update(f"{split}/{column}/{values.dtype}/{values.shape}".encode())
        for block in _looked_at(values):
            if is_ragged(block):
                digest.update(b"".join(sequence.tobytes() for sequence in block))
                digest.update(np.fromiter(map(len, block), np.int64, len(block)).data)
            elif block.dtype == object:
                digest.update("\0".join(block.flat).encode(errors="surrogatepass"))
            else:
                digest.update(np.ascontiguousarray(block).data)
    return ("sampled:" if any(_is_sampled(values) for _, _, values in columns) else "") + digest.hexdigest()


def _looked_at(values: Values) -> Iterator[np.ndarray]:
    if isinstance(values, Direct) and _is_sampled(values):
        rows = max(1, _SAMPLE_BYTES // values.row_bytes)
        starts = sample_starts(len(values), min(rows, len(values)))
        return (values[slice(start, start + rows)] for start in starts)
    return blocks(values)


def _is_sampled(values: Values) -> bool:
    return isinstance(values, Direct) and len(values) * values.row_bytes > SAMPLED_BYTES
