"""Change values in the text of a config in place: its comments, order and form are kept."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import yaml

from kerascli.config.yaml.dump import flow_yaml
from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError

_Edit = tuple[int, int, str]
"""Type of an edit: first and last position in the text, and what replaces what is between them."""


def with_values(text: str, data: Any, comment: str) -> str:
    """Return a config's text changed such that it has the contents `data`. Raises ConfigError if that cannot be done.

    Keys that it did not have are added at the beginning of their mapping, with `comment` where there is room for one.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    edits = list(_edits(text, root, parse_document(text, "").data, data, comment))
    for start, end, written in sorted(edits, reverse=True):
        text = text[:start] + written + text[end:]
    with suppress(ConfigError):  # of an anchor that is gone
        if parse_document(text, "").data == data:
            return text
    raise ConfigError("the config is written in a form whose values cannot be replaced in place")


def _edits(text: str, node: Any, old: Any, new: Any, comment: str) -> Iterator[_Edit]:
    """Yield the edits that turn a node of the text from a value into another."""
    if old == new and type(old) is type(new):
        return
    if isinstance(node, yaml.MappingNode) and isinstance(new, dict) and old.keys() <= new.keys():
        names = {str(name): name for name in old}  # some are integers
        for key, value in node.value:
            if (name := names.get(key.value)) is not None:  # not one that is merged from elsewhere
                yield from _edits(text, value, old[name], new[name], comment)
        yield from _added(node, {name: new[name] for name in new if name not in old}, comment)
    elif isinstance(node, yaml.SequenceNode) and isinstance(new, list) and len(old) == len(new):
        for item, before, after in zip(node.value, old, new, strict=True):
            yield from _edits(text, item, before, after, comment)
    else:
        start = node.start_mark.index
        yield start, start + len(text[start : _end(node)].rstrip()), flow_yaml(new)


def _added(node: Any, values: dict[Any, Any], comment: str) -> Iterator[_Edit]:
    """Yield the edits that add keys at the beginning of a mapping."""
    if values and node.flow_style:
        start = node.start_mark.index + 1
        yield start, start, flow_yaml(values)[1:-1] + ", " * bool(node.value)
        return
    for name in values:
        first = node.value[0][0].start_mark  # the mapping may begin with an anchor
        yield first.index, first.index, f"{flow_yaml({name: values[name]})[1:-1]}  # {comment}\n{' ' * first.column}"


def _end(node: Any) -> int:
    """Return the position behind the last value in a node; a block's own end is where the next token begins."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style:
        node = node.value[-1][-1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    return node.end_mark.index
