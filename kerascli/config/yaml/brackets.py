"""Detection of unquoted expressions that YAML splits: `{units: $(max(a, b))}` has the keys `units` and `b))`."""

from yaml.error import Mark as YamlMark
from yaml.events import ScalarEvent

from kerascli.config.yaml.source import Source
from kerascli.foundation.errors import Fault
from kerascli.language.wording import vector_to_write


class Brackets:
    """Checker of the unquoted scalars of a YAML text, in order: one that opens a bracket must also close it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: list[tuple[YamlMark, YamlMark, YamlMark, bool]] = []
        self._start: tuple[YamlMark, YamlMark] | None = None
        self._end: YamlMark | None = None
        self._pending = 0

    def see(self, event: ScalarEvent, *, in_flow: bool) -> None:
        excess = event.value.count("(") - event.value.count(")")
        if self._start is None and excess > 0 and (in_flow or self._is_cut_by_comment(event)):
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
        """Finish checking the current unquoted expression: all its brackets are closed, or the surrounding [] or {}
        ends."""
        if self._start is not None and self._end is not None:
            self._found.append((*self._start, self._end, self._pending == 0))
        self._start = None

    def faults(self) -> list[Fault]:
        self.end()
        return [self._fault(*found) for found in self._found]

    def _is_cut_by_comment(self, event: ScalarEvent) -> bool:
        """Return True if the rest of the scalar's line is a comment (' #') that cuts off a $(...) expression. Outside
        of [] and {}, nothing else cuts one."""
        rest = self._source.lines[event.end_mark.line][event.end_mark.column :]
        return "$(" in event.value and rest.lstrip().startswith("#")

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
