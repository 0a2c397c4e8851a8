"""Change values in the text of a config in place: its comments, order and form are kept."""

from collections.abc import Iterator
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
    if parse_document(text, "").data != data:
        raise ConfigError("the config is written in a form whose values cannot be replaced in place")
    return text


def _edits(text: str, node: Any, old: Any, new: Any, comment: str) -> Iterator[_Edit]:
    """Yield the edits that turn a node of the text from a value into another."""
    if old == new and type(old) is type(new):
        return
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.MappingNode) and isinstance(new, dict) and old.keys() <= new.keys():
        names = {str(name): name for name in old}  # some are integers
        for key, value in node.value:
            if (name := names.get(key.value)) is not None:  # not one that is merged from elsewhere
                yield from _edits(text, value, old[name], new[name], comment)
        for name in new.keys() - old.keys():
            added = flow_yaml({name: new[name]})[1:-1]
            if node.flow_style:
                yield start + 1, start + 1, added + ", " * bool(old)
            else:
                first = node.value[0][0].start_mark  # the mapping may begin with an anchor
                yield first.index, first.index, f"{added}  # {comment}\n{' ' * first.column}"
    elif isinstance(node, yaml.SequenceNode) and isinstance(new, list) and len(old) == len(new):
        for item, before, after in zip(node.value, old, new, strict=True):
            yield from _edits(text, item, before, after, comment)
    else:
        yield start, start + len(text[start:end].rstrip()), flow_yaml(new)  # a block ends where the next token begins
