"""Hints for layers that need vectors, but get inputs of one number per row: a list of columns makes a vector."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from kerascli.data.section import DataSpec
from kerascli.foundation.errors import Fault, in_yaml
from kerascli.foundation.shapes import TensorSpec

_SCALAR = f"{TensorSpec(())} is "
"""Start of the note, in an error message about shapes, that an input has one number per row."""


def with_vectors(faults: Iterable[Fault], data: DataSpec | None) -> Iterator[Fault]:
    """Yield the config errors `faults`; an error about an input of a single column gets a hint how to make the input a
    vector."""
    for fault in faults:
        names = [str(note.path[2]) for note in fault.related if _is_scalar_input(note.text, note.path)]
        scalars = [name for name in names if data is not None and name in data.inputs]
        if data is None or not scalars:
            yield fault
            continue
        pipelines = {name: data.inputs[name] for name in scalars}
        listed = {name: in_yaml([{"columns": [found.columns[0]]}]) for name, found in pipelines.items()}
        lines = ", ".join(
            f"{name}: {text[:-1]}{', ...' if pipelines[name].steps else ''}]" for name, text in listed.items()
        )
        yield replace(fault, hint=f"one number per row is no vector; a list of columns makes one: {lines}")


def _is_scalar_input(text: str, path: tuple[str | int, ...]) -> bool:
    return text.startswith(_SCALAR) and path[:2] == ("data", "inputs") and len(path) == 3
