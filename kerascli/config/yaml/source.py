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
    def unchecked(cls, text: str, name: str) -> "Source":
        return cls(name, tuple(_LINE_END.split(text)))

    @classmethod
    def of(cls, text: str, name: str) -> "Source":
        """Split a config's text into lines. Raises ConfigError for a character that a config must not contain."""
        source = cls.unchecked(text, name)
        if bad := _FORBIDDEN.search(text):
            place = source.after(text[: bad.start()])
            hint = f'in double quotes it is written "\\u{ord(bad.group()):04x}"'
            raise ConfigError(f"the character U+{ord(bad.group()):04X} is not allowed", place=place, hint=hint)
        return source

    def after(self, beginning: str) -> Place:
        """Return the position of the character that follows the beginning of the text."""
        lines = _LINE_END.split(beginning)
        return self.spot(len(lines) - 1, len(lines[-1]))

    def spot(self, line: int, column: int, length: int = 1) -> Place:
        """Return the position (a Place) of `length` characters of the text from a line and column, counted from 0."""
        return Place(self.name, line + 1, column + 1, self.line(line), length)

    def line(self, number: int) -> str:
        """Return a line, counted from 0; a parser's last position may be beyond the text."""
        return self.lines[number] if number < len(self.lines) else ""

    def place(self, mark: YamlMark | None, end: YamlMark | None = None) -> Place:
        """Return the position (a Place) of the text between two marks of PyYAML; without `end`, of one character."""
        if mark is None:
            return self.spot(0, 0)
        length = 1
        if end is not None:
            width = end.column if end.line == mark.line else len(self.line(mark.line).rstrip())
            length = width - mark.column
        return self.spot(mark.line, mark.column, max(1, length))


class Brackets:
    """Checker of the brackets in a YAML text's unquoted scalars: a scalar that opens one must also close it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._open: list[ScalarEvent] = []
        """Scalars of the present expression, whose first one opens brackets that it does not close."""
        self._split: list[list[ScalarEvent]] = []

    def see(self, event: ScalarEvent, *, in_flow: bool) -> None:
        rest = self._source.line(event.end_mark.line)[event.end_mark.column :]
        # outside of [] and {}, only a comment (' #') cuts an expression off
        is_cut = in_flow or ("$(" in event.value and rest.lstrip().startswith("#"))
        if self._open or (is_cut and _excess([event]) > 0):
            self._open.append(event)
            if not in_flow or _excess(self._open) <= 0:
                self.end()

    def end(self) -> None:
        """End the present unquoted expression, if there is one: all its brackets are closed, or the surrounding [] or
        {} ends."""
        if self._open:
            self._split.append(self._open)
            self._open = []

    def faults(self) -> list[Fault]:
        """Return a config error for each expression that YAML splits."""
        self.end()
        return [self._fault(scalars) for scalars in self._split]

    def _fault(self, scalars: list[ScalarEvent]) -> Fault:
        start, cut, end = scalars[0].start_mark, scalars[0].end_mark, scalars[-1].end_mark
        line = self._source.lines[start.line]
        part = line[start.column : cut.column] if cut.line == start.line else line[start.column :]
        text = f"unbalanced brackets in '{part}': YAML ends unquoted text at ',', '[', ']', '{{', '}}' and ' #'"
        hint = "put the whole expression in quotes"
        if _excess(scalars) == 0 and end.line == start.line:
            full = line[start.column : end.column]
            quote = "'" if '"' in full else '"'
            items = vector_to_write(full)
            hint = f"quote it: {quote}{full}{quote}" if items is None else f"write {items}"
        return Fault(text, place=self._source.place(start, cut), hint=hint)


def _excess(scalars: list[ScalarEvent]) -> int:
    """Return the number of opening brackets less that of closing ones."""
    return sum(each.value.count("(") - each.value.count(")") for each in scalars)
