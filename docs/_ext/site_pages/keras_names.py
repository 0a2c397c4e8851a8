"""Keras's name of a component, and the page of Keras's documentation that has it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kerascli.language.component import registries, snake_case

DATA = Path(__file__).parent.parent.parent / "_data"
_SITE = "https://keras.io/api"


@dataclass(frozen=True, slots=True)
class KerasName:
    """A class or a function of Keras by its full name (`keras.layers.Dense`), and the address of its page."""

    name: str
    url: str


def keras_name(kind: str, name: str) -> KerasName | None:
    """Return what Keras has for a component; None where it has none."""
    return names(kind).get(name)


@cache
def names(kind: str) -> dict[str, KerasName]:
    """Return Keras's names of the components of a kind."""
    tables = _tables()
    if kind not in tables:
        return {}
    table = tables[kind]
    found = {**names(table["like"])} if "like" in table else {}
    found.update(_own(table, kind))
    if "like" in table:
        written = {_key(each.name.rpartition(".")[2]): each for each in names_of_table(table["like"])}
        for spelling, component in _spellings(kind).items():
            if spelling in written:
                found.setdefault(component, written[spelling])
    return {name: each for name, each in found.items() if registries()[kind].find(name) is not None}


def names_of_table(kind: str) -> Iterator[KerasName]:
    """Yield all that the table of a kind names, whether there is a component of it or not."""
    for _, each in _entries(_tables()[kind]):
        yield each


def _own(table: dict[str, Any], kind: str) -> Iterator[tuple[str, KerasName]]:
    """Yield (component, Keras's name) of those of a table that there are."""
    spellings = _spellings(kind)
    for given, each in _entries(table):
        component = given or spellings.get(_key(each.name.rpartition(".")[2]))
        if component is not None:
            yield component, each


def _entries(table: dict[str, Any]) -> Iterator[tuple[str | None, KerasName]]:
    for place, listed in table["places"].items():
        pairs = listed.items() if isinstance(listed, dict) else ((None, written) for written in listed)
        for given, written in pairs:
            elsewhere = "." in written and written[0].islower()
            full = f"keras.{written}" if elsewhere else f"keras.{table['module']}.{written}"
            yield given, KerasName(full, _url(place, written))


def _url(place: str, written: str) -> str:
    if not place.endswith("/*"):
        return f"{_SITE}/{place}/"
    found = _tables()["pages"].get(written) or re.sub(r"_(\d)d", r"\1d", snake_case(written))
    return f"{_SITE}/{place.removesuffix('/*')}/{found}/"


def _spellings(kind: str) -> dict[str, str]:
    """Return the components of a kind by their names and aliases, without underscores."""
    registry = registries()[kind]
    return {_key(each): name for name in registry.names() for each in (*registry.aliases(name), name)}


def _key(name: str) -> str:
    return name.lower().replace("_", "")


@cache
def _tables() -> dict[str, Any]:
    return yaml.safe_load((DATA / "keras_pages.yaml").read_text(encoding="utf-8"))
