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
    start = node.start_mark.index
    if isinstance(node, yaml.MappingNode) and isinstance(new, dict) and old.keys() <= new.keys():
        names = {str(name): name for name in old}  # some are integers
        for key, value in node.value:
            if (name := names.get(key.value)) is not None:  # not one that is merged from elsewhere
                yield from _edits(text, value, old[name], new[name], comment)
        added = {name: value for name, value in new.items() if name not in old}
        if added and node.flow_style:
            yield start + 1, start + 1, flow_yaml(added)[1:-1] + ", " * bool(old)
        elif added:
            first = node.value[0][0].start_mark  # the mapping may begin with an anchor
            lines = (f"{flow_yaml({name: value})[1:-1]}  # {comment}\n" for name, value in added.items())
            yield first.index, first.index, "".join(f"{line}{' ' * first.column}" for line in lines)
    elif isinstance(node, yaml.SequenceNode) and isinstance(new, list) and len(old) == len(new):
        for item, before, after in zip(node.value, old, new, strict=True):
            yield from _edits(text, item, before, after, comment)
    else:
        while isinstance(node, yaml.CollectionNode) and not node.flow_style:  # it ends where the next token begins
            node = node.value[-1][-1] if isinstance(node, yaml.MappingNode) else node.value[-1]
        yield start, start + len(text[start : node.end_mark.index].rstrip()), flow_yaml(new)
