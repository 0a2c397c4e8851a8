"""Missing data: placeholders for its sizes, and the source that the config's comment names."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import dropwhile, takewhile

from kerascli.config.composition.references import STAND_IN
from kerascli.data.base import Field
from kerascli.errors import DataMissing, safe_text


def with_sizes(inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Return the inputs with a placeholder for vector lengths that only the data has, as after a `one_hot` lookup."""
    return {
        name: replace(field, shape=(*field.shape[:-1], STAND_IN))
        if field.dtype in {"float32", "uint8"} and field.shape[-1:] == (None,)  # those of integers are steps
        else field
        for name, field in inputs.items()
    }


def where_from(text: str) -> str | None:
    """Return the part of a config's opening comment from its first URL to the paragraph's end, or None."""
    comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
    lines = (line.removeprefix("#").strip() for line in comment)
    paragraph = takewhile(bool, dropwhile(lambda line: "://" not in line, lines))
    return safe_text(" ".join(paragraph), 300) or None


@contextmanager
def with_source_hint(text: str) -> Iterator[None]:
    """Add to the error of a missing file, as a hint, the source of the data in the config's opening comment."""
    try:
        yield
    except DataMissing as error:
        source = where_from(text)
        if source is None:
            raise
        faults = [replace(fault, hint=f"the config says: {source}") for fault in error.faults]
        raise DataMissing(faults) from None
