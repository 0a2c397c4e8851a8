"""Reference of all names in configs (kinds, components, sections, keys), derived from the code that reads configs."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from kerascli.config.composition.applications import applications, find_application
from kerascli.config.schema.sections import node_settings, sections
from kerascli.config.schema.settings import Setting, first_line, options, settings
from kerascli.config.yaml.dump import flow_yaml
from kerascli.foundation.errors import ConfigError, suggestion
from kerascli.foundation.shapes import Shape, show_shape
from kerascli.language.component import Component, Invalid, registries
from kerascli.language.kinds import KINDS, plural
from kerascli.layers.base import BaseLayer
from kerascli.ops.base import OPS
from kerascli.ops.expression import LEFT_OUT
from kerascli.report.type_words import type_words

_WRITTEN = "Written as a name, a name with its first argument (name: value), or with its arguments (name: {...})."
_KINDS = {
    "application": "Published networks of Keras, by name.", "op": "Functions that a formula over tensors may call.",
}  # fmt: skip
"""Kinds of names that are no components, with their meanings."""
_WIDTH = 120
"""Width, in characters, of the text of `kerascli explain` outside of a terminal."""
_NAMES = 28
"""Maximum width, in characters, of the column of names in a list of components."""


@dataclass(frozen=True, slots=True)
class Key:
    """Key of a config in the reference: its type in words, its default as YAML (None: no default), and if it is
    required."""

    name: str
    takes: str
    default: str | None
    required: bool
    meaning: str

    @classmethod
    def of(cls, setting: Setting) -> "Key":
        may_be_null = any(option.get("type") == "null" for option in options(setting.schema))
        has_default = setting.default is not None or (may_be_null and not setting.required)
        default = flow_yaml(setting.default) if has_default else None
        return cls(setting.name, type_words(setting.schema), default, setting.required, setting.meaning)


@dataclass(frozen=True, slots=True)
class Entry:
    """Entry of `kerascli explain` for a name; `beside` are further keys of a layer's node, `members` a kind's
    components."""

    kind: str
    name: str
    meaning: str
    aliases: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    beside: tuple[Key, ...] = ()
    example: str = ""
    members: tuple["Member", ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """Component (a layer, a loss ...) in the list of its kind (`kerascli list`): name, aliases and meaning."""

    name: str
    aliases: tuple[str, ...]
    meaning: str


def kinds() -> dict[str, int]:
    """Return the number of components of each kind (layer, loss, metric ...), by the kind's name."""
    return {kind: len(members(kind)) for kind in sorted([*registries(), *_KINDS])}


def members(word: str) -> tuple[Member, ...]:
    """Return the components of a kind, such as `layer` or `layers`, for `kerascli list`. Raises ConfigError."""
    if (kind := _kind(word)) is None:
        hint = f"kinds: {', '.join(map(plural, sorted(registries())))}"
        raise ConfigError(f"there is no kind '{word}'{suggestion(word, _kind_words())}", hint=hint)
    if kind == "op":
        return tuple(Member(op.name, OPS.aliases(op.name), op.meaning) for op in map(OPS.find, OPS.names()) if op)
    if kind == "application":
        return tuple(Member(network.name, (), network.family.about) for network in applications().values())
    registry = registries()[kind]
    return tuple(Member(cls.component_name, registry.aliases(cls.component_name), first_line(cls)) for cls in registry)


def explain(word: str, commands: Sequence[Entry] = ()) -> list[Entry]:
    """Return all entries of the reference for a name: the command, sections, kinds and components or, without any of
    these three, keys. Raises ConfigError.

    Components are found in any spelling.
    """
    named = [entry for entry in commands if entry.name == word.lower()]
    entries = [*_of_sections(word), *_of_kinds(word), *_of_components(word)] or [*_of_ops(word)]
    below = [entry for name in sections() if name.endswith(f".{word.lower()}") for entry in _of_sections(name)]
    entries = named + (entries or [*_of_dotted(word), *_of_keys(word), *below])
    if not entries:
        near = suggestion(word, [*_all_names(), *(entry.name for entry in commands)])
        hint = None if near else "'kerascli list' shows the kinds of components, 'kerascli -h' the commands"
        raise ConfigError(f"there is nothing called '{word}'{near}", hint=hint)
    return entries


def render(entries: Sequence[Entry], width: int | None = None) -> str:
    """Return entries of the reference as plain text, separated by blank lines, with paragraphs of lines up to
    `width`."""
    return "\n\n".join("\n".join(_lines(entry, width or _WIDTH)) for entry in entries)


def _of_sections(word: str) -> Iterator[Entry]:
    if (section := sections().get(word.lower())) is not None:
        node_keys = _keys(_node_settings(BaseLayer)) if section.name == "model" else ()
        yield Entry("section", section.name, section.meaning, keys=_keys(section.settings), beside=node_keys)


def _of_kinds(word: str) -> Iterator[Entry]:
    if (kind := _kind(word)) is not None:
        yield Entry("kind", plural(kind), _KINDS.get(kind, _WRITTEN), members=members(word))


def _of_components(word: str) -> Iterator[Entry]:
    for kind, registry in sorted(registries().items(), key=lambda item: (item[0] != "layer", item[0])):
        if (cls := registry.find(word)) is not None:
            yield component_entry(kind, cls)
    yield from _of_applications(word)


def _of_applications(word: str) -> Iterator[Entry]:
    """Yield the reference entry of a published network: its facts, its arguments, an example."""
    with suppress(Invalid):
        network = find_application(word)
        facts, family = network.network, network.family
        mode = f"Preprocess mode: {family.preprocess or 'none, pixels from 0 to 255'}."
        lines = [family.about, f"{facts.parameters:,} parameters; images of {facts.size} x {facts.size} pixels.", mode]
        top = ", ".join(f"top-{k} {v} %" for k, v in ((1, facts.top_1), (5, facts.top_5)) if v is not None)
        lines += [f"Published accuracy on ImageNet: {top}."] if top else []
        example = f"shared: {{base: {{application: {network.name}, include_top: false}}}}"
        keys, text = _keys(settings(network.arguments)), "\n\n".join([*lines, family.source])
        yield Entry("application", network.name, text, keys=keys, example=example)


def component_entry(kind: str, cls: type[Component]) -> Entry:
    """Return the reference entry of a component (such as a layer): its meaning, its arguments, an example."""
    meaning = (cls.__dict__.get("__doc__") or "").strip()
    aliases = registries()[kind].aliases(cls.component_name)
    keys, beside = _keys(settings(cls)), _keys(_node_settings(cls))
    return Entry(kind, cls.component_name, meaning, aliases, keys, beside, _example(kind, cls))


def _keys(settings: Iterable[Setting]) -> tuple[Key, ...]:
    return tuple(map(Key.of, settings))


def _node_settings(cls: type[Component]) -> Sequence[Setting]:
    return node_settings(cls) if issubclass(cls, BaseLayer) else ()


def _of_ops(word: str) -> Iterator[Entry]:
    """Yield the reference entry of an operation (`ops.einsum`, `einsum`); for an unsupported one, with the reason."""
    word = word.lower()
    if word.startswith("ops.") and word[4:] in LEFT_OUT:
        yield Entry("not an op", word[4:], f"Not available in formulas: {LEFT_OUT[word[4:]]}.")
    if (op := OPS.find(word)) is not None:
        name = op.alias_of or op.name
        written = ", ".join(str(p.replace(annotation=p.empty)) for p in op.parameters.values())
        yield Entry("op", name, op.meaning, OPS.aliases(name), example=f'- expr: {{value: "{name}({written})"}}')


def _of_dotted(word: str) -> Iterator[Entry]:
    """Yield the reference entry of a key written with its section or component: `fit.epochs`, `dense.units`."""
    owner, _, name = word.rpartition(".")
    for entry in (*_of_sections(owner), *_of_components(owner)) if owner else ():
        for key in (*entry.keys, *entry.beside):
            if key.name == name:
                yield Entry(f"key of {entry.name}", name, "", keys=(key,))


def _of_keys(word: str) -> Iterator[Entry]:
    """Yield reference entries of a config key, from all sections or, if none has it, components; equal keys share
    one."""
    of_sections = {section.name: section.settings for section in sections().values()}
    if not (by_key := _owners_by_key(word, {**of_sections, "a node": _node_settings(BaseLayer)}.items())):
        every = (cls for registry in registries().values() for cls in registry)
        by_key = _owners_by_key(word, ((cls.component_name, (*settings(cls), *_node_settings(cls))) for cls in every))
    for key, names in by_key.items():
        yield Entry(f"key of {', '.join(dict.fromkeys(names))}", word, "", keys=(key,))


def _owners_by_key(word: str, owners: Iterable[tuple[str, Sequence[Setting]]]) -> dict[Key, list[str]]:
    by_key: dict[Key, list[str]] = {}
    for owner, setting in ((owner, setting) for owner, each in owners for setting in each if setting.name == word):
        by_key.setdefault(Key.of(setting), []).append(owner)
    return by_key


def _kind(word: str) -> str | None:
    return next((kind for kind in (*registries(), *_KINDS) if word.lower() in {kind, plural(kind)}), None)


def _kind_words() -> list[str]:
    return [spelling for kind in kinds() for spelling in (kind, plural(kind))]


def _all_names() -> list[str]:
    """Return every name that `kerascli explain` knows: sections, kinds, components, keys, ops."""
    parts = sections()
    keys = [spelling for s in parts.values() for key in s.settings for spelling in (key.name, f"{s.name}.{key.name}")]
    names = [name for kind in kinds() for each in members(kind) for name in (each.name, *each.aliases)]
    return [*parts, *_kind_words(), *names, *keys]


def _example(kind: str, cls: type[Component]) -> str:
    """Return example YAML of a component: for a layer its documented example with shapes, else the shortest form."""
    name = cls.component_name
    if not issubclass(cls, BaseLayer):
        needed = ", ".join(f"{setting.name}: ..." for setting in settings(cls) if setting.required)
        return KINDS[kind].example.format(f"{{{name}: {{{needed}}}}}" if needed else name)
    example = cls.examples[0]
    config = {**example.config, **{key: _numbered(f"{key}_", shapes) for key, shapes in example.call.items()}}
    if cls.call_form == "several":
        config["inputs"] = _numbered("x", example.input)
    written = flow_yaml({name: config})[1:-1] if config else name
    return f"- {written}   # {_shapes(example.input)} -> {_shapes(example.output)}"


def _numbered(name: str, shapes: Sequence[object]) -> list[str]:
    return [f"{name}{number}" for number in range(1, len(shapes) + 1)]


def _shapes(shapes: Shape | list[Shape]) -> str:
    several = shapes if isinstance(shapes, list) else [shapes]
    return ", ".join(show_shape((None, *shape)) for shape in several)


def _lines(entry: Entry, width: int) -> Iterator[str]:
    yield f"{entry.name}: {entry.kind}"
    for number, paragraph in enumerate(re.split(r"\n\s*\n", entry.meaning) if entry.meaning else ()):
        yield from [""] if number else []
        text = f"  {' '.join(paragraph.split())}"
        yield from textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    if entry.aliases:
        yield f"  also: {', '.join(entry.aliases)}"
    if entry.keys:
        yield from ("", *_key_lines(entry.keys))
    if entry.beside:
        yield from ("", "keys of the node:" if entry.keys and entry.kind == "layer" else "keys of every node:")
        yield from _key_lines(entry.beside)
    if entry.members:
        yield from ("", *member_lines(entry.members))
    if entry.example:
        yield from ("", "example:", f"  {entry.example}")


def _key_lines(keys: Sequence[Key]) -> Iterator[str]:
    for key in keys:
        ending = " (required)" if key.required else f" (default {key.default})" if key.default is not None else ""
        yield f"  {key.name}: {key.takes}{ending}"
        yield from (f"      {line}" for line in key.meaning.splitlines())


def member_lines(components: Sequence[Member]) -> Iterator[str]:
    """Yield a line of text for each component: name, meaning and aliases in columns; very long names do not widen
    them."""
    width = min(_NAMES, max((len(member.name) for member in components), default=0))
    for member in components:
        also = f" (also {', '.join(member.aliases)})" if member.aliases else ""
        yield f"{member.name:<{width}}  {member.meaning}{also}".rstrip()
