"""Help for configs whose data files are missing: placeholders for unknown sizes, and a hint with the data's source from
the config's comment."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import dropwhile, takewhile

from kerascli.config.composition.references import STAND_IN
from kerascli.data.base import Field
from kerascli.foundation.errors import DataMissing, safe_text


def with_sizes(inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Return the fields (shape, dtype ...) of the data's inputs by name, with a placeholder for each vector length that
    only the data determines."""
    return {
        name: replace(field, shape=(*field.shape[:-1], STAND_IN))
        if field.dtype in {"float32", "uint8"} and field.shape[-1:] == (None,)  # those of integers are steps
        else field
        for name, field in inputs.items()
    }


def where_from(text: str) -> str | None:
    """Return what the comment at the top of a config says about its data's source, from the first URL on; None without
    a URL.

    It is the text from the comment's first URL to the end of the paragraph.
    """
    comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
    lines = (line.removeprefix("#").strip() for line in comment)
    paragraph = takewhile(bool, dropwhile(lambda line: "://" not in line, lines))
    return safe_text(" ".join(paragraph), 300) or None


@contextmanager
def with_source_hint(text: str) -> Iterator[None]:
    """Context manager that adds a hint to the error of a missing data file: the source named at the top of
    the config."""
    try:
        yield
    except DataMissing as error:
        source = where_from(text)
        if source is None:
            raise
        faults = [replace(fault, hint=f"the config says: {source}") for fault in error.faults]
        raise DataMissing(faults) from None
