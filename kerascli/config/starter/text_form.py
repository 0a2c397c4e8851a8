"""Detection of the format of delimited text: separators, header, lines to skip, missing values, numbers."""

import contextlib
import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

from kerascli.data.storage.delimited.text_format import DEFAULT, TextFormat
from kerascli.foundation.errors import DataError

_DELIMITERS = ",;\t|"
_HEAD = 200
"""Number of lines at the start of a file from which the delimiter and the header are detected."""
_NUMBER_FORMS = ((".", None), (",", None), (",", "."), (".", ","), (",", " "))
"""Pairs of a decimal separator and a thousands separator (None: none) to try for numbers, in order of preference."""
_NA_WORDS = frozenset({
    "NA", "N/A", "NaN", "NULL", "#N/A", "<NA>", "na", "n/a", "nan", "null", "None", "none", "missing", "Missing",
    "unknown", "Unknown", "-", "--", "---", "?", ".", "..", "*", "#NULL!", "nil", "inf", "-inf",
})  # fmt: skip
_SURE_WORDS = frozenset({"NA", "N/A", "NaN", "NULL", "#N/A", "<NA>", "nan", "null", "?"})
"""Texts that mark a missing value even in a column of texts."""


Fields = dict[str, Sequence[str]]
"""Type of the fields of delimited text, as strings by column."""


def detect(pieces: list[str], encoding: str, name: str, *, whole: bool) -> tuple[Fields, TextFormat]:
    """Return (fields of a delimited text by column, its detected format). Raises DataError.

    `pieces` are parts of the text, from its beginning on; with `whole`, they are all of it. `encoding` and `name` are
    those of the file, for the format and for errors.
    """
    head = pieces[0].splitlines(keepends=True)[:_HEAD]
    form = TextFormat(encoding=encoding, comment=_comment(head))
    head = [line for line in head if line.strip() and not (form.comment and line.startswith(form.comment))]
    form = form.text_format(delimiter=_delimiter(head))
    form = form.text_format(quotes=not whole or _quotes(pieces[0], form))
    skip = _junk(pieces[0], form)
    if not (rows := _rows("".join(pieces), form.text_format(skip_rows=skip))):
        raise DataError("the file is empty", place=name)
    width = len(rows[0])
    kept = [row for row in rows if len(row) == width]
    if len(kept) < len(rows) and all(row[0].startswith("#") == (len(row) != width) for row in rows):
        form = form.text_format(comment="#")
    if len(kept) == 1:
        raise DataError("a header but no rows", place=name)
    names = _names(kept)
    form = form.text_format(skip_rows=skip, names=() if names == tuple(kept[0]) else names)
    body = kept if form.names else kept[1:]
    columns: Fields = dict(zip(names, zip(*body, strict=True), strict=True))
    return columns, _numbers_and_gaps(columns, form)


def _comment(head: list[str]) -> str | None:
    """Return '#' if lines that begin with it are comments; None if there are none, or all have the fields of a row."""
    marked = [line for line in head if line.startswith("#")]
    plain = next((line for line in head if line.strip() and not line.startswith("#")), "")
    mark = max(_DELIMITERS, key=plain.count)
    fields = plain.count(mark)
    return None if not marked or (fields and all(line.count(mark) == fields for line in marked)) else "#"


def _delimiter(head: list[str]) -> str:
    """Return the delimiter that splits most lines into equally many fields; if several do, one that splits the first
    line so, too (a header has no decimal commas), of those the one that gives more fields."""

    def merit(mark: str) -> tuple[float, bool, int]:
        rows = _read(head, TextFormat(delimiter=mark))
        widths = Counter(map(len, rows))
        width, lines = max(((w, n) for w, n in widths.items() if w > 1), key=lambda each: each[1], default=(1, 0))
        share = lines / max(1, widths.total())
        return (min(share, 0.9), len(rows[0]) == width, width) if share > 0.5 else (share / 2, False, 0)

    return max(_DELIMITERS, key=merit)


def _read(lines: Iterable[str], form: TextFormat) -> list[list[str]]:
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        rows.extend(filter(None, form.reader(iter(lines), strict=False)))
    return rows


def _quotes(text: str, form: TextFormat) -> bool:
    """Return True if double quotes enclose fields; False if they are ordinary characters, since parsing with enclosing
    quotes fails."""
    with contextlib.suppress(csv.Error):
        if '"' in text:
            list(form.reader(iter(text.splitlines(keepends=True))))
        return True
    return False


def _junk(text: str, form: TextFormat) -> int:
    """Return the number of lines to skip above the header: lines whose number of fields differs from that of nearly all
    lines below."""
    lines = text.splitlines(keepends=True)[:_HEAD]
    reader = form.reader(iter(lines), strict=False)
    widths, begins = [], [0]
    with contextlib.suppress(csv.Error):
        for row in reader:  # one that quotes enclose may take several lines
            widths.append(len(row))
            begins.append(reader.line_num)
    usual, count = Counter(widths).most_common(1)[0]
    first = widths.index(usual)
    if form.comment and all(line.startswith(form.comment) for line in lines[: begins[first]]):
        return 0
    return begins[first] if usual > 1 and 0 < first <= 30 and count >= 0.8 * (len(widths) - first) else 0


def _rows(text: str, form: TextFormat) -> list[list[str]]:
    csv.field_size_limit(2**20)
    lines = islice(io.StringIO(text, newline=""), form.skip_rows, None)
    kept = (line for line in lines if not (form.comment and line.startswith(form.comment)))
    return _read(kept, form)  # a whole file is read again by the source, which reports it


def _names(rows: list[list[str]]) -> tuple[str, ...]:
    """Return the column names: the first row, or `column_1` ... if it holds numbers where all rows below do."""
    first, body = rows[0], rows[1:1000]
    over = [field for field, below in zip(first, zip(*body, strict=True), strict=True) if _all_numbers(below)]
    if body and over and all(map(DEFAULT.plain, over)) and not all(1800 < float(field) < 2200 for field in over):
        return tuple(f"column_{number}" for number in range(1, len(first) + 1))
    return tuple(first)


def _all_numbers(fields: Sequence[str]) -> bool:
    present = [field for field in fields if field and field not in _NA_WORDS]
    return bool(present) and all(map(DEFAULT.plain, present))


def _numbers_and_gaps(columns: Fields, form: TextFormat) -> TextFormat:
    """Return the text format with number separators, words for missing values, and digit columns kept as text."""
    words = {name: set(fields) - {""} for name, fields in columns.items()}
    forms = _number_forms(form, commas=any("," in word for word in frozenset().union(*words.values())))
    tried = [(each, {name: _gaps(words[name], columns[name], each) for name in words}) for each in forms]
    best, gaps_of = max(tried, key=lambda each: sum(gaps is not None for gaps in each[1].values()))
    missing = (_sure_gaps(words[name]) if gaps is None else gaps for name, gaps in gaps_of.items())
    texts = {name: "text" for name, gaps in gaps_of.items() if gaps is not None and _is_padded(words[name])}
    return best.text_format(na_values=tuple(sorted(frozenset().union(*missing))), dtypes=texts)


def _number_forms(form: TextFormat, *, commas: bool) -> list[TextFormat]:
    """Return the text format with each pair of separators in numbers that it may have; `commas`: if some words do."""
    marks = [each for each in _NUMBER_FORMS if form.delimiter not in each and (commas or "," not in each)]
    return [form.text_format(decimal=decimal, thousands=thousands) for decimal, thousands in marks]


def _sure_gaps(words: set[str]) -> set[str]:
    """Return the words that stand for missing values in a column of texts; NA is none among codes such as DE, NA."""
    are_codes = all(len(word) == 2 and word.isupper() for word in words)
    return (words & _SURE_WORDS) - ({"NA"} if are_codes else set())


def _gaps(words: set[str], fields: Sequence[str], form: TextFormat) -> set[str] | None:
    """Return the words that stand for missing values in a column of numbers; None if the column is text."""
    if sum(form.plain(word) is None for word in list(words)[:100]) > 5:
        return None
    unread = {word for word in words if form.plain(word) is None}
    if not unread or len(unread) == len(words) or len(unread) > 5:
        return None if unread else unread
    rare = sum(field in unread for field in fields) <= 0.1 * len(fields)
    return unread if unread <= _NA_WORDS or (rare and len(unread) <= 2 and len(words) > 20) else None


def _is_padded(words: set[str]) -> bool:
    """Return True if values are codes with leading zeros, such as the zip code 02134, that would be lost in numbers."""
    return all(word.isdigit() for word in words) and any(word[0] == "0" and len(word) > 1 for word in words)
