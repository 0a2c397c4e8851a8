"""Data that is not there: what stands in for its sizes, and where it is to be had."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import dropwhile, takewhile

from kerascli.config.composition.references import STAND_IN
from kerascli.data.base import Field
from kerascli.errors import DataMissing, safe_text


def with_sizes(inputs: Mapping[str, Field]) -> dict[str, Field]:
    """With a stand-in for the length of vectors that only the data tells, such as those of `to_categorical`."""
    return {
        name: replace(field, shape=(*field.shape[:-1], STAND_IN))
        if field.dtype == "float32" and field.shape[-1:] == (None,)
        else field
        for name, field in inputs.items()
    }


def where_from(text: str) -> str | None:
    """What the comment that a config opens with says of the data: from its first address to the paragraph's end."""
    comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
    lines = (line.removeprefix("#").strip() for line in comment)
    paragraph = takewhile(bool, dropwhile(lambda line: "://" not in line, lines))
    return safe_text(" ".join(paragraph), 300) or None


@contextmanager
def told_where_from(text: str) -> Iterator[None]:
    """A file that is missing is told with where the config says that it is from."""
    try:
        yield
    except DataMissing as error:
        said = where_from(text)
        if said is None:
            raise
        faults = [replace(fault, hint=f"the config says: {said}") for fault in error.faults]
        raise DataMissing(faults) from None
