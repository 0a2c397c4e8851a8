"""Changes to configs: of their structure (keys, values, subtrees) and of their text (characters, lines, bytes)."""

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

Container = list[Any]
"""A list, or a `Map`."""


class Map(list[list[Any]]):
    """A mapping as [key, value] pairs: keys may be of any kind, and equal."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A scalar that is written as it stands here."""

    text: str


def as_tree(value: Any) -> Any:
    """Parsed data with mappings as pairs."""
    if isinstance(value, dict):
        return Map([[key, as_tree(item)] for key, item in value.items()])
    return [as_tree(item) for item in value] if isinstance(value, list) else value


VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, 3, 7, -1, -5, 0.5, 1.0, 1.5, -0.0, 1e-300, 1e300, 2**31, 2**53, 2**63 - 1, -(2**63),
    10**18, 10**11, "", " ", "a", "x", "no", "yes", "1e-3", "16", "-1", "x" * 300, "../" * 80, "/", ".", "..",
    "/dev/zero", "/dev/null", "/etc/passwd", "/proc/self/mem", "/proc/self/cmdline", "/root/x", "~", "~root", "a\0b",
    "a\nb", "é", "日本語", "\u202eabc", "\u200b", "🙂", "\x1b[31mred", "%s%n%d", "$", "$$", "$(", "$()", "${", "$x",
    "$inputs", "$inputs.x.shape", "$inputs.x", "$inputs.nope.shape", "$targets.y.num_classes", "$flags.x",
    "$inputs.x.shape[0]", "$(1/0)", "$(2**100000)", "$(10**10**10)", "$(1 +)", "$(inputs.x.shape)", "$seed",
    "$epochs", "{{7*7}}", "__import__('os').system('true')", "1/0", "(", ")", "1 +", "a.b", "x[0]", "x[999]", "0**-1",
    "sqrt(-1)", "log(0)", "f(f(f(1)))", "2**1000", "1e308 * 10", "-" * 500, "(" * 200, "lambda: 1", "nan", "inf",
    "y_true - y_pred", "mean(square(x))", "epoch", "none", "null", "auto", "relu", "linear", "softmax", "adam", "mse",
    "same", "valid", "train", "test", "validation", "x.y", "0", "*", "_", "[]", "http://127.0.0.1:1/x",
    "file:///etc/passwd", "s3://a/b", "a/../b", "a//b", "CON", "a b", "a:b", "#", "- a", "? a", Raw(".nan"),
    Raw(".inf"), Raw("-.inf"), Raw("1e999"), Raw("010"), Raw("0x1F"), Raw("0o17"), Raw("12:30"), Raw("1_000"),
    Raw("9" * 400), Raw("9" * 5000), Raw("-0"), Raw("+1"), Raw("1."), Raw(".5"), Raw("!!python/name:os.system"),
    Raw("!x 1"), Raw("*a"), Raw("&a 1"), Raw("&a [*a]"), Raw("2024-01-01"), Raw("<<"), Raw("NaN"), Raw("''"),
    Raw("|\n  a"), Raw("[1, 2"), Raw("{a: 1"), Raw("a: b: c"), Raw("'a"), Raw('"\\q"'), Raw('"\\ud800"'), Raw("@a"),
    Raw("`a`"), [], Map(), [[]], [Map()], [None], [0], [1], [-1], [1, 2], [1, 2, 3], [3, 3], [0, 0], [28, 28],
    [10**6, 10**6], [None, None], ["a"], ["a", "a"], ["_"], ["_", Map([["a", 1]]), "c"], [True], [0.5],
    [[1, 2], [3, 4]], [1, "a", None, 2.5, [], Map()], Map([["a", 1]]), Map([[1, 2]]), Map([[0, 0]]), Map([["", ""]]),
    Map([["a", None]]), Map([["a", [1]]]), Map([["a", Map([["b", 1]])]]), Map([[True, 1]]), Map([[None, 1]]),
    Map([[1.5, 1]]), Map([["a", 1], ["a", 2]]), Map([["a", 1], ["b", 2]]), Map([["layers", []]]), Map([["dense", 1]]),
    Map([["dense", Map([["units", 1]])]]), Map([["name", "x"]]), Map([["loss", "mse"]]),
    Map([["class_name", "Dense"]]), Map([["inputs", "x"]]), Map([["file", "x"]]), Map([["path", "x" * 300]]),
    Map([["path", "a\0b"]]), Map([["run", "latest"]]),
)  # fmt: skip
KEYS: tuple[Any, ...] = (
    "", " ", "a", "x", 0, 1, -1, 10**17, "x" * 300, "a.b", "a/b", "../x", "é", "\x1b[1m", "$x", "a b", "layers",
    "name", "inputs", "units", "null", "__class__", "self", "type", "model_config", "\u202e", True, None, 1.5,
    Raw("<<"), Raw("? a"), Raw("[a]"), Raw("{a: 1}"),
)  # fmt: skip


class Mutator:
    """Changes trees; what it puts into them comes from the tables above and from other configs."""

    def __init__(self, trees: Sequence[Any]) -> None:
        self._trees = trees
        self._by_key: dict[str, list[Any]] = {}
        words: set[str] = set()
        for tree in trees:
            for container in _containers(tree):
                for entry in container:
                    if isinstance(container, Map):
                        words.add(str(entry[0]))
                        self._by_key.setdefault(str(entry[0]), []).append(entry[1])
                    value = entry[1] if isinstance(container, Map) else entry
                    if isinstance(value, str):
                        words.add(value)
        self._words = sorted(words)

    def mutate(self, tree: Any, luck: random.Random) -> Any:
        """A copy with one to four changes."""
        tree = deepcopy(tree)
        for _ in range(luck.choices((1, 2, 3, 4), (12, 4, 1, 1))[0]):
            places = [(container, index) for container in _containers(tree) for index in range(len(container))]
            if not places:
                return tree
            container, index = luck.choice(places)
            luck.choices(_CHANGES, _WEIGHTS)[0](self, container, index, luck)
        return tree

    def value(self, luck: random.Random, key: str = "") -> Any:
        """Something to put where `key` names it: what other configs have there, or whatever comes."""
        kind = luck.random()
        if kind < 0.45 and key in self._by_key:
            return deepcopy(luck.choice(self._by_key[key]))
        if kind < 0.5:
            return luck.choice(self._words)
        if kind < 0.55:
            containers = list(_containers(luck.choice(self._trees)))
            return deepcopy(luck.choice(containers))
        return deepcopy(luck.choice(VALUES))

    def _replace(self, at: Container, index: int, luck: random.Random) -> None:
        _put(at, index, self.value(luck, _key(at, index)))

    def _delete(self, at: Container, index: int, luck: random.Random) -> None:
        del at[index]

    def _repeat(self, at: Container, index: int, luck: random.Random) -> None:
        at.insert(luck.randint(0, len(at)), deepcopy(at[index]))

    def _rename(self, at: Container, index: int, luck: random.Random) -> None:
        if not isinstance(at, Map):
            return self._replace(at, index, luck)
        old = at[index][0]
        kind = luck.random()
        at[index][0] = (
            luck.choice(KEYS) if kind < 0.3 else luck.choice(self._words) if kind < 0.6 else near(str(old), luck)
        )

    def _insert(self, at: Container, index: int, luck: random.Random) -> None:
        key = luck.choice(list(self._by_key)) if luck.random() < 0.8 else luck.choice(KEYS)
        value = self.value(luck, str(key))
        at.insert(luck.randint(0, len(at)), [key, value] if isinstance(at, Map) else value)

    def _wrap(self, at: Container, index: int, luck: random.Random) -> None:
        value = _get(at, index)
        wrapped = luck.choice(([value], [value, value], Map([[luck.choice(self._words), value]]), [[[value]]]))
        _put(at, index, deepcopy(wrapped))

    def _unwrap(self, at: Container, index: int, luck: random.Random) -> None:
        value = _get(at, index)
        if isinstance(value, list) and value:
            _put(at, index, _get(value, luck.randrange(len(value))))
        elif isinstance(at, Map) and luck.random() < 0.5:
            at[index][1] = at[index][0]
        else:
            self._replace(at, index, luck)

    def _spell(self, at: Container, index: int, luck: random.Random) -> None:
        value = _get(at, index)
        if isinstance(value, str):
            return _put(at, index, near(value, luck))
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers = (value + 1, value - 1, -value, value * 10**6, value / 2, float(value), str(value), [value])
            return _put(at, index, luck.choice(numbers))
        self._rename(at, index, luck)

    def _move(self, at: Container, index: int, luck: random.Random) -> None:
        other = luck.randrange(len(at))
        at[index], at[other] = at[other], at[index]


_CHANGES: tuple[Callable[[Mutator, Container, int, random.Random], None], ...] = (
    Mutator._replace, Mutator._delete, Mutator._repeat, Mutator._rename, Mutator._insert, Mutator._wrap,
    Mutator._unwrap, Mutator._spell, Mutator._move,
)  # fmt: skip
_WEIGHTS = (8, 2, 1, 2, 3, 1, 1, 3, 1)


def near(word: str, luck: random.Random) -> str:
    """A word with one character lost, doubled, exchanged or put in."""
    at = luck.randrange(len(word) + 1)
    other = luck.choice("aeiou_-. $()[]{}*+/^<>=!,:'\"0123456789é\\")
    return luck.choice(
        (word[:at] + word[at + 1 :], word[:at] + word[at : at + 1] * 2 + word[at + 1 :], word[:at] + other + word[at:],
         word[:at] + other + word[at + 1 :], word.upper(), word[:at])
    )  # fmt: skip


def damage(text: str, luck: random.Random) -> bytes:
    """A text with one to three changes of characters, lines or bytes."""
    data = text.encode()
    for _ in range(luck.choices((1, 2, 3), (6, 2, 1))[0]):
        data = luck.choice(_DAMAGES)(data, luck)
    return data


_MARKS = (
    b":", b": ", b" ", b"\t", b"[", b"]", b"{", b"}", b"#", b" #", b"&a ", b"*a", b"!", b"|\n", b">\n", b"%", b"@",
    b"`", b'"', b"'", b",", b"- ", b"?", b"? ", b"\n", b"\r", b"\r\n", b"\0", b"\x1b[2J", b"\xff", b"\xc3",
    b"\xef\xbb\xbf", "\u2028".encode(), "\u0085".encode(), "\u202e".encode(), b"<<: ", b"---\n", b"...\n",
    b"%YAML 1.1\n",
)  # fmt: skip


def _bytes_changed(data: bytes, luck: random.Random) -> bytes:
    at = luck.randrange(len(data) + 1)
    put = luck.choice((*_MARKS, bytes([luck.randrange(256)])))
    return data[:at] + put + data[at + luck.choice((0, 0, 1, 1, 3)) :]


def _lines_changed(data: bytes, luck: random.Random) -> bytes:
    lines = data.split(b"\n")
    at, other = luck.randrange(len(lines)), luck.randrange(len(lines))
    match luck.randrange(7):
        case 0:
            del lines[at]
        case 1:
            lines.insert(other, lines[at])
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            lines[at] = b" " * luck.randint(1, 5) + lines[at]
        case 4:
            lines[at] = lines[at][luck.randint(1, 4) :]
        case 5:
            lines[at] += b" " + lines[other].strip()
        case _:
            value = write(luck.choice(VALUES), flow=True).encode(errors="replace")
            lines[at] = lines[at].partition(b": ")[0] + b": " + value
    return b"\n".join(lines)


def _cut(data: bytes, luck: random.Random) -> bytes:
    at, end = sorted((luck.randrange(len(data) + 1), luck.randrange(len(data) + 1)))
    return luck.choice((data[:at], data[at:], data[:at] + data[end:], data[:at] + data[at:end] * 2 + data[end:]))


_DAMAGES = (_bytes_changed, _bytes_changed, _bytes_changed, _lines_changed, _lines_changed, _lines_changed, _cut)


def write(value: Any, *, flow: bool = False) -> str:
    """A tree as YAML: in blocks, or on one line."""
    return _flow(value) if flow or not isinstance(value, Map) or not value else "\n".join(_block(value, "")) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, Map):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _block(value: Any, indent: str) -> Iterator[str]:
    for entry in value:
        head, item = (f"{_scalar(entry[0])}:", entry[1]) if isinstance(value, Map) else ("-", entry)
        if isinstance(item, list) and item and len(indent) < 60:
            yield indent + head
            yield from _block(item, indent + "  ")
        else:
            yield f"{indent}{head} {_flow(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, str):
        if re.fullmatch(r"[a-z_][a-z_0-9.]*", value) and value not in {"null", "true", "false"}:
            return value
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if isinstance(value, bool) or value is None else repr(value)


def _containers(tree: Any) -> Iterator[Container]:
    if not isinstance(tree, list):
        return
    yield tree
    for entry in tree:
        yield from _containers(entry[1] if isinstance(tree, Map) else entry)


def _key(at: Container, index: int) -> str:
    return str(at[index][0]) if isinstance(at, Map) else ""


def _get(at: Container, index: int) -> Any:
    return at[index][1] if isinstance(at, Map) else at[index]


def _put(at: Container, index: int, value: Any) -> None:
    if isinstance(at, Map):
        at[index][1] = value
    else:
        at[index] = value
