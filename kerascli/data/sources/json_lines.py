"""Source `json_lines`: files with a JSON object per line, as logs and web services write them."""

from pathlib import Path

from kerascli.data.base import Field, source
from kerascli.data.sources.file_source import TextFileSource
from kerascli.data.storage.compressed import read_text_file
from kerascli.data.storage.json_lines import read_json_lines
from kerascli.data.storage.table import Table


@source()
class JsonLines(TextFileSource):
    """JSON Lines files: columns of numbers, text or lists of numbers by key; null is a missing value."""

    any_column = Field((), "unknown")

    def read_file(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        data, packed = read_text_file(path, name)
        return read_json_lines(data, name, packed=packed)
