"""A page for each component, an index for each kind, and a page of all operations of formulas."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from kerascli.config.schema.settings import first_line
from kerascli.foundation.shapes import Shape, show_shape
from kerascli.language.component import Component, Registry, registries
from kerascli.language.kinds import KINDS, plural
from kerascli.layers.base import BaseLayer, Example
from kerascli.ops.base import OPS
from kerascli.ops.expression import LEFT_OUT
from kerascli.report.reference import Entry, Key, component_entry
from site_pages.examples import example
from site_pages.keras_names import keras_name
from site_pages.layer_examples import examples_of
from site_pages.links import source_link
from site_pages.markdown import block, cell, code, page, prose, table, toctree

Pages = Iterator[tuple[str, str]]
"""(path below docs/ without its suffix, text)."""


def title_of(kind: str) -> str:
    """Return the title of a kind's pages."""
    return plural(kind).replace("_", " ").capitalize()


def component_pages() -> Pages:
    """Yield the pages of all kinds."""
    yield "reference/index", _reference()
    for kind in KINDS:
        registry = registries()[kind]
        folder = f"reference/{plural(kind)}"
        yield f"{folder}/index", _index(registry)
        for cls in registry:
            yield f"{folder}/{cls.component_name}", component_page(kind, cls)
    yield "reference/ops", _ops()


def component_page(kind: str, cls: type[Component]) -> str:
    """Return the page of one component."""
    entry = component_entry(kind, cls)
    return page(
        entry.name,
        prose(entry.meaning),
        _facts(kind, cls, entry),
        "## Example",
        block(example(entry, cls)),
        _shapes(examples_of(cls)) if issubclass(cls, BaseLayer) else "",
        "## Arguments",
        f"All arguments with their defaults:\n\n{block(_signature(entry))}" if entry.keys else "It has none.",
        key_table(entry.keys, up="../") if entry.keys else "",
        _beside(entry),
        _refused(cls),
        listed=False,
    )


def _facts(kind: str, cls: type[Component], entry: Entry) -> str:
    """The kind, the other names, Keras's name and the source file."""
    theirs = keras_name(kind, entry.name)
    facts = [f"**Kind:** [{kind}](index.md)"]
    if entry.aliases:
        facts.append(f"**Also written:** {', '.join(map(code, entry.aliases))}")
    facts.append(f"**Keras:** {f'[{code(theirs.name)}]({theirs.url})' if theirs else 'no counterpart'}")
    facts.append(f"**Source:** {source_link(cls)}")
    return "\n".join(f"- {fact}" for fact in facts)


def _signature(entry: Entry) -> str:
    lines = [f"{entry.name}:"]
    for key in entry.keys:
        lines.append(f"  {key.name}:  # required" if key.required else f"  {key.name}: {key.default or 'null'}")
    return "\n".join(lines)


def key_table(keys: Sequence[Key], *, up: str) -> str:
    """Return the table of arguments or keys; `up` leads to the folder of the reference."""
    return table(("Name", "Takes", "Default", "Meaning"), (_key_row(key, up) for key in keys))


def _key_row(key: Key, up: str) -> tuple[str, str, str, str]:
    default = "required" if key.required else code(key.default) if key.default is not None else ""
    return code(key.name), _linked(cell(key.takes), up), default, cell(key.meaning)


def _linked(takes: str, up: str) -> str:
    """Return the type of an argument in words, with a link to each kind of component in it."""
    words = {spelling: kind for kind in registries() for spelling in (kind, plural(kind))}
    pattern = rf"\b({'|'.join(sorted(words, key=len, reverse=True))})\b(?!,? as nodes)"
    return re.sub(pattern, lambda found: f"[{found[1]}]({up}{plural(words[found[1]])}/index.md)", takes)


def _beside(entry: Entry) -> str:
    if not entry.beside:
        return ""
    text = "Keys that an entry of `model.layers` may have beside the layer's own arguments:"
    return f"## Keys of the node\n\n{text}\n\n{key_table(entry.beside, up='../')}"


def _refused(cls: type[Component]) -> str:
    """The arguments of Keras's that a component lacks, and why."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found.update(base.__dict__.get("refused", {}))
    rows = [(code(name), cell(reason)) for name, reason in sorted(found.items()) if name not in cls.model_fields]
    text = "Keras's arguments that a config cannot have; writing one is an error that says this:"
    return f"## Not supported\n\n{text}\n\n{table(('Argument', 'Reason'), rows)}" if rows else ""


def _shapes(examples: Sequence[Example]) -> str:
    rows = [(_config(each), _written(each.input), _written(each.output)) for each in examples]
    return "## Shapes\n\nWith the batch axis first. The tests run each of these.\n\n" + table(
        ("Arguments", "Input", "Output"), rows
    )


def _config(each: Example) -> str:
    from kerascli.config.yaml.dump import flow_yaml

    written = code(flow_yaml(dict(each.config))) if each.config else "the defaults"
    calls = (f"{code(name)} of {_written(shapes)}" for name, shapes in each.call.items())
    return "; ".join([written, *calls])


def _written(shapes: Shape | list[Shape]) -> str:
    several = shapes if isinstance(shapes, list) else [shapes]
    return "<br>".join(code(show_shape((None, *shape)).replace(" ", "\u00a0")) for shape in several)


def _index(registry: Registry[Any]) -> str:
    classes = list(registry)
    return page(
        title_of(registry.kind),
        prose(first_line(registry.base)),
        f"`kerascli list {plural(registry.kind)}` prints this list.",
        *_sections_of(registry, classes),
    )


def _sections_of(registry: Registry[Any], classes: Sequence[type[Component]]) -> Iterator[str]:
    """The table of a kind; that of the layers by the folders of their source."""
    if registry.kind != "layer":
        yield _members(registry, classes)
        return

    def family(cls: type[Component]) -> str:
        room, name = cls.__module__.split(".")[1:3]
        return "preprocessing" if room == "features" else name

    for name, found in groupby(sorted(classes, key=family), family):
        yield f"## {name.capitalize()}"
        yield _members(registry, list(found))


def _members(registry: Registry[Any], classes: Sequence[type[Component]]) -> str:
    rows = []
    for cls in classes:
        name = cls.component_name
        theirs = keras_name(registry.kind, name)
        rows.append((f"[{name}]({name}.md)", cell(first_line(cls)), code(theirs.name) if theirs else ""))
    return table(("Name", "Meaning", "Keras"), rows)


def _reference() -> str:
    rows = [(f"[{title_of(kind)}]({plural(kind)}/index.md)", str(len(registries()[kind].names()))) for kind in KINDS]
    rows.append(("[Operations of formulas](ops.md)", str(len(OPS.names()))))
    return page(
        "Components",
        "Everything that a config can ask for by name. The pages are written from the same facts as `kerascli explain` "
        "prints: the arguments with their types and defaults, an example, and the class of Keras with that meaning.",
        table(("Kind", "Number"), rows),
        toctree([*(f"{plural(kind)}/index" for kind in KINDS), "ops"]),
    )


def _ops() -> str:
    rows = []
    for name in OPS.names():
        op = OPS.find(name)
        if op is None or op.alias_of is not None:
            continue
        written = ", ".join(str(p.replace(annotation=p.empty)) for p in op.parameters.values())
        also = f" Also: {', '.join(map(code, OPS.aliases(name)))}." if OPS.aliases(name) else ""
        rows.append((code(f"{name}({written})"), cell(op.meaning) + also))
    return page(
        "Operations of formulas",
        "Functions that a [formula](../language/formulas.md) over tensors may call, with the arguments and defaults of "
        "[`keras.ops`](https://keras.io/api/ops/).",
        table(("Operation", "Result"), rows),
        "## Left out",
        "Operations of `keras.ops` that a formula cannot call, with the reason that the error gives:",
        table(("Operation", "Reason"), [(code(name), cell(why)) for name, why in LEFT_OUT.items()]),
    )
