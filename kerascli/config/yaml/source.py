"""Lines of a config's text, with positions for error messages; finds unquoted expressions that YAML splits.

In `{units: $(max(a, b))}` YAML ends the expression at the comma, and reads two keys, `units` and `b))`.
"""

import re
from dataclasses import dataclass

from yaml.error import Mark as YamlMark
from yaml.events import ScalarEvent

from kerascli.foundation.errors import ConfigError, Fault, Place
from kerascli.language.wording import vector_to_write

_LINE_END = re.compile(r"\r\n|\r|\n")
# Next line, line separator and paragraph separator: YAML 1.1 breaks lines there, editors do not.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Source:
    """Lines of a config's text, and the name of the text in error messages."""

    name: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, text: str, name: str) -> "Source":
        """Split a config's text into lines. Raises ConfigError for a character that a config must not contain."""
        source = cls(name, tuple(_LINE_END.split(text)))
        if bad := _FORBIDDEN.search(text):
            before = _LINE_END.split(text[: bad.start()])
            place = source.spot(len(before) - 1, len(before[-1]))
            hint = f'in double quotes it is written "\\u{ord(bad.group()):04x}"'
            raise ConfigError(f"the character U+{ord(bad.group()):04X} is not allowed", place=place, hint=hint)
        return source

    def spot(self, line: int, column: int, length: int = 1) -> Place:
        """Return the position (a Place) of `length` characters of the text from a line and column, counted from 0."""
        return Place(self.name, line + 1, column + 1, self.lines[line] if line < len(self.lines) else "", length)

    def place(self, mark: YamlMark | None, end: YamlMark | None = None) -> Place:
        """Return the position (a Place) of the text between two marks of PyYAML; without `end`, of one character."""
        if mark is None:
            return self.spot(0, 0)
        length = 1
        if end is not None:
            width = len(self.lines[mark.line].rstrip()) if mark.line < len(self.lines) else 0
            length = (end.column if end.line == mark.line else width) - mark.column
        return self.spot(mark.line, mark.column, max(1, length))


class Brackets:
    """Checker of the brackets in a YAML text's unquoted scalars: a scalar that opens one must also close it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._spans: list[tuple[YamlMark, YamlMark, YamlMark, bool]] = []
        self._start: tuple[YamlMark, YamlMark] | None = None
        self._end: YamlMark | None = None
        self._pending = 0

    def see(self, event: ScalarEvent, *, in_flow: bool) -> None:
        excess = event.value.count("(") - event.value.count(")")
        rest = self._source.lines[event.end_mark.line][event.end_mark.column :]
        # outside of [] and {}, only a comment (' #') cuts an expression off
        is_cut = in_flow or ("$(" in event.value and rest.lstrip().startswith("#"))
        if self._start is None and excess > 0 and is_cut:
            self._start = (event.start_mark, event.end_mark)
            self._pending = excess
            self._end = event.end_mark
            if not in_flow:
                self.end()
        elif self._start is not None:
            self._pending += excess
            self._end = event.end_mark
            if self._pending <= 0:
                self.end()

    def end(self) -> None:
        """End the current unquoted expression, if a scalar began one by opening brackets without closing them.

        An expression ends where all its brackets are closed, or where the surrounding [] or {} ends. The method
        `faults` reports the expression.
        """
        if self._start is not None and self._end is not None:
            self._spans.append((*self._start, self._end, self._pending == 0))
        self._start = None

    def faults(self) -> list[Fault]:
        self.end()
        return [self._fault(*span) for span in self._spans]

    def _fault(self, start: YamlMark, cut: YamlMark, end: YamlMark, whole: bool) -> Fault:
        line = self._source.lines[start.line]
        part = line[start.column : cut.column] if cut.line == start.line else line[start.column :]
        text = f"unbalanced brackets in '{part}': YAML ends unquoted text at ',', '[', ']', '{{', '}}' and ' #'"
        hint = "put the whole expression in quotes"
        if whole and end.line == start.line:
            full = line[start.column : end.column]
            quote = "'" if '"' in full else '"'
            items = vector_to_write(full)
            hint = f"quote it: {quote}{full}{quote}" if items is None else f"write {items}"
        return Fault(text, place=self._source.place(start, cut), hint=hint)
