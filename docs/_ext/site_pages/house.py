"""How it works: a page for each room of the package, with the paths of values that lead through it."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from site_pages.keras_names import DATA
from site_pages.links import ROOT, file_link
from site_pages.markdown import cell, page, prose, table, toctree

PACKAGE = ROOT / "kerascli"
_ROOM = re.compile(r"^(\d+) +(\w+)(?:/|\.py) +(\S.*)$", re.M)


@dataclass(frozen=True, slots=True)
class ValuePath:
    """The path of a value through the package: (file, what happens there) in order."""

    title: str
    value: str
    steps: tuple[tuple[str, str], ...]

    @property
    def anchor(self) -> str:
        """The heading's anchor on the page of all paths."""
        return re.sub(r"[^\w -]", "", self.title.lower()).replace(" ", "-")


def rooms() -> dict[str, tuple[int, str]]:
    """Return each room's number and its line, as CONTRIBUTING.md has them."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return {name: (int(number), line) for number, name, line in _ROOM.findall(text)}


@cache
def texts() -> dict[str, str]:
    """Return the text of each room."""
    return yaml.safe_load((DATA / "rooms.yaml").read_text(encoding="utf-8"))


@cache
def paths() -> tuple[ValuePath, ...]:
    """Return all paths."""
    written = yaml.safe_load((DATA / "paths.yaml").read_text(encoding="utf-8"))
    return tuple(
        ValuePath(each["title"], each["value"], tuple(step for one in each["steps"] for step in one.items()))
        for each in written
    )


def room_of(file: str) -> str:
    """Return the room that a file of the package is in."""
    return Path(file).with_suffix("").parts[1]


def house_pages(pages: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the index, the page of all paths, and a page for each room."""
    names = list(rooms())
    rows = [(str(number), f"[{name}]({name}.md)", cell(line)) for name, (number, line) in rooms().items()]
    yield (
        "house/index",
        page(
            "How it works",
            "The package consists of rooms: modules and folders directly below `kerascli/`. A room imports only rooms "
            "of lower levels; `tests/test_architecture.py` checks that, and lists the exceptions. Data flows from YAML "
            "to a `RunSpec`, to events, to a run folder.",
            "[Paths of values](paths.md) follows single values through the rooms; each room's page has the paths that "
            "lead through it.",
            table(("Level", "Room", "Contents"), rows),
            toctree(["paths", *names]),
        ),
    )
    yield "house/paths", page("Paths of values", *(_path(each, None, "##") for each in paths()))
    users = _users()
    for name in names:
        yield f"house/{name}", _room(name, users)


def _room(name: str, users: Mapping[str, set[str]]) -> str:
    number, _ = rooms()[name]
    found = [each for each in paths() if any(room_of(file) == name for file, _ in each.steps)]
    used = sorted(other for other, imported in users.items() if name in imported)
    facts = [
        f"- **Level:** {number}",
        f"- **Imports:** {_listed(sorted(users[name]))}",
        f"- **Imported by:** {_listed(used)}",
    ]
    return page(
        name,
        texts()[name],
        "\n".join(facts),
        "## Paths through this room" if found else "",
        *(_path(each, name, "###") for each in found),
        "## Files",
        table(("File", "Contents"), _files(name)),
    )


def _listed(names: list[str]) -> str:
    return ", ".join(f"[{name}]({name}.md)" for name in names) or "no other room"


def _path(path: ValuePath, room: str | None, heading: str) -> str:
    """A path as a numbered list; the steps in `room` stand out."""
    lines = [f"{heading} {path.title}", "", prose(path.value), ""]
    for number, (file, text) in enumerate(path.steps, 1):
        own = room_of(file)
        shown = file_link(file)
        said = prose(text)
        where = f"**{shown}**" if own == room else f"[{own}]({own}.md): {shown}"
        lines.append(f"{number}. {where}<br>{said}")
    return "\n".join(lines)


def _files(room: str) -> Iterator[tuple[str, str]]:
    """Each file of a room with the first line of its docstring."""
    single = PACKAGE / f"{room}.py"
    for file in [single] if single.exists() else sorted((PACKAGE / room).rglob("*.py")):
        if doc := ast.get_docstring(_tree(file)):
            yield file_link(file.relative_to(ROOT).as_posix()), cell(doc.partition("\n")[0])


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _users() -> dict[str, set[str]]:
    """Return the rooms that each room imports."""
    found: dict[str, set[str]] = {name: set() for name in rooms()}
    for file in PACKAGE.rglob("*.py"):
        own = room_of(file.relative_to(ROOT).as_posix())
        for node in ast.walk(_tree(file)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kerascli."):
                found.get(own, set()).add((node.module or "").split(".")[1])
            elif isinstance(node, ast.Import):
                found.get(own, set()).update(n.name.split(".")[1] for n in node.names if n.name.startswith("kerascli."))
    return {name: {each for each in imported if each in found and each != name} for name, imported in found.items()}
