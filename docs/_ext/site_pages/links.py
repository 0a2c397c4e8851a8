"""Links of pages to files of the repository: to the site's own page of a file, or to the repository's."""

import inspect
import os
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath

import kerascli
from site_pages.markdown import code

ROOT = Path(kerascli.__file__).parent.parent
_LINK = re.compile(r"\[([^\[\]]*)\]\((?![a-z]+:)([^)#\s]+)(#[^)\s]*)?\)")
"""A link within the repository: its text, its path, its anchor."""
_FENCE = re.compile(r"(^```.*?^```$)", re.M | re.S)


@cache
def repository() -> str | None:
    """Return the address of the repository, as pyproject.toml has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    urls = {name.lower(): url for name, url in project.get("urls", {}).items()}
    found = next((urls[name] for name in ("repository", "source", "homepage") if name in urls), None)
    return found and found.rstrip("/").removesuffix(".git")


def file_link(path: str, text: str | None = None) -> str:
    """Return a link to a file of the repository; its name alone where the repository has no address."""
    shown = text or code(path)
    return f"[{shown}]({repository()}/blob/main/{path})" if repository() else shown


def source_link(cls: type) -> str:
    """Return a link to the file that defines a class."""
    file = inspect.getsourcefile(cls)
    assert file is not None
    return file_link(Path(file).resolve().relative_to(ROOT.resolve()).as_posix())


def _is_page_file(path: str) -> bool:
    """Return True for what a page of docs/ shows, such as an image; False for data and scripts beside the pages."""
    return path.startswith("docs/") and not path.startswith("docs/guides/data/")


def rewritten(text: str, page: str, file: str, pages: Mapping[str, str]) -> str:
    """Return the text of a file of the repository as that of a page of the site, its links to other files included.

    `page` is the page's path below docs/, `file` the file's below the repository; `pages` has the pages by their files.
    """

    def link(found: re.Match[str]) -> str:
        text, anchor = found[1], found[3] or ""
        path = os.path.normpath(PurePosixPath(file).parent / found[2])
        own = f"{pages[path]}.md" if path in pages else path.removeprefix("docs/") if _is_page_file(path) else None
        if own is not None:
            return f"[{text}]({os.path.relpath(own, PurePosixPath(page).parent)}{anchor})"
        return file_link(path, text)

    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in parts)
