"""The Sphinx extension: writes the generated pages before the sources are read, and turns links into the repository."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from site_pages.commands import commands_page
from site_pages.components import component_pages
from site_pages.gallery import gallery_pages, model_drawings
from site_pages.house import house_pages
from site_pages.links import ROOT, rewritten
from site_pages.sections import section_pages

FOLDERS = ("reference", "sections", "gallery", "house", "project")
"""Folders below docs/ that hold generated pages alone."""
COPIED = {
    "CONTRIBUTING.md": "project/contributing",
    "CHANGELOG.md": "project/changelog",
    "benchmarks/README.md": "project/benchmarks",
}
"""Files of the repository that are pages of the site, too."""


def setup(app: Any) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir)))
    app.connect("source-read", _rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def site_pages(docs: Path) -> dict[str, str]:
    """Return the pages of the site by the files of the repository that they are made of."""
    written = (*docs.glob("*.md"), *docs.glob("guides/*.md"), *docs.glob("language/*.md"))
    pages = {
        f"docs/{page}.md": page for page in (path.relative_to(docs).with_suffix("").as_posix() for path in written)
    }
    return {**pages, **COPIED, "README.md": "index", "configs/README.md": "gallery/index"}


def generated(docs: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path below docs/, contents) of all that is generated."""
    pages = site_pages(docs)
    for text_pages in (component_pages(), section_pages(), gallery_pages(pages), house_pages(pages)):
        for path, text in text_pages:
            yield f"{path}.md", text.encode()
    for file, path in COPIED.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        yield f"{path}.md", rewritten(text, path, file, pages).encode()
    yield "reference/commands.md", commands_page().encode()
    yield from model_drawings()


def write_pages(docs: Path) -> list[str]:
    """Write the generated pages below `docs`, and remove those of before; returns their paths."""
    written = []
    for path, contents in generated(docs):
        file = docs / path
        if not file.exists() or file.read_bytes() != contents:  # Sphinx reads again what is newer than its cache
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(contents)
        written.append(path)
    for folder in FOLDERS:
        for file in (docs / folder).rglob("*"):
            if file.is_file() and file.relative_to(docs).as_posix() not in written:
                file.unlink()
    return written


def _rewrite(app: Any, page: str, source: list[str]) -> None:
    """Turn the links of a page of docs/ that is not generated: they are written for readers of the repository."""
    if "/" not in page or page.startswith(("guides/", "language/")):
        source[0] = rewritten(source[0], page, f"docs/{page}.md", site_pages(Path(app.srcdir)))
