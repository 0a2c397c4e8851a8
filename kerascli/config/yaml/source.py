"""Lines of a config's text, and conversion of line and column numbers into positions for error messages."""

import re
from dataclasses import dataclass

from yaml.error import Mark as YamlMark

from kerascli.foundation.errors import ConfigError, Fault, Place

_LINE_END = re.compile(r"\r\n|\r|\n")
# Next line, line separator and paragraph separator: YAML 1.1 breaks lines there, editors do not.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Source:
    """Lines of a config's text, and the name of the text for messages."""

    name: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, text: str, name: str) -> "Source":
        """Return a text split into lines. Raises ConfigError for a character that a config must not contain."""
        source = cls(name, tuple(_LINE_END.split(text)))
        if bad := _FORBIDDEN.search(text):
            before = _LINE_END.split(text[: bad.start()])
            place = source.spot(len(before) - 1, len(before[-1]))
            hint = f'in double quotes it is written "\\u{ord(bad.group()):04x}"'
            raise ConfigError(Fault(f"the character U+{ord(bad.group()):04X} is not allowed", place=place, hint=hint))
        return source

    def spot(self, line: int, column: int, length: int = 1) -> Place:
        """Return the position (a Place) of a line and column of the text, both counted from 0."""
        return Place(self.name, line + 1, column + 1, self.lines[line] if line < len(self.lines) else "", length)

    def place(self, mark: YamlMark | None, end: YamlMark | None = None) -> Place:
        """Return the position (a Place) of the text from PyYAML's `mark` to its mark `end`, or to the end of the
        line."""
        if mark is None:
            return self.spot(0, 0)
        length = 1
        if end is not None:
            width = len(self.lines[mark.line].rstrip()) if mark.line < len(self.lines) else 0
            length = (end.column if end.line == mark.line else width) - mark.column
        return self.spot(mark.line, mark.column, max(1, length))
