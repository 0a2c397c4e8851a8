"""JsonLines: an object a line, as logs and web services write them."""

from pathlib import Path

from kerascli.data.base import Field, source
from kerascli.data.sources.file_source import FileSource
from kerascli.data.storage.json_lines import read_json_lines
from kerascli.data.storage.table import Table
from kerascli.files import memory_limit, read_bytes


@source()
class JsonLines(FileSource):
    """Columns of numbers, texts or lists of numbers, by the keys of the objects; null is a missing value."""

    any_column = Field((), "unknown")

    def read(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        return self.read_file(path, name, columns)

    def read_file(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        return read_json_lines(read_bytes(path, memory_limit() // 8, name), name)
