"""A page for each section of the language, from the schema: its keys with types, defaults and meanings."""

from collections.abc import Iterator

from kerascli.config.schema.sections import sections
from kerascli.report.reference import Entry, explain
from site_pages.components import key_table
from site_pages.markdown import cell, page, prose, table, toctree


def section_pages() -> Iterator[tuple[str, str]]:
    """Yield the index of the sections and a page for each."""
    names = list(sections())
    rows = [(f"[{name}]({name}.md)", cell(sections()[name].meaning)) for name in names]
    yield (
        "sections/index",
        page(
            "Sections of a config",
            "A config is one YAML file. Its top-level keys are those of [config](config.md); the sections below them "
            "have pages of their own. [The language](../language/index.md) introduces them with examples.",
            table(("Section", "Meaning"), rows),
            toctree(names),
        ),
    )
    for name in names:
        entry = next(each for each in explain(name) if each.kind == "section")
        yield f"sections/{name}", _page(entry)


def _page(entry: Entry) -> str:
    beside = "## Keys of a node\n\nKeys that an entry of `model.layers` may have beside the layer's own arguments:"
    return page(
        entry.name,
        prose(entry.meaning),
        "## Keys",
        key_table(entry.keys, up="../reference/"),
        f"{beside}\n\n{key_table(entry.beside, up='../reference/')}" if entry.beside else "",
        "See also [the language](../language/index.md), and `kerascli explain " + entry.name + "`.",
    )
