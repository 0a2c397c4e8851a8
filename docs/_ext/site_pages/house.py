"""How it works."""

from collections.abc import Iterator, Mapping


def house_pages(pages: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "house/index", "# How it works\n"
