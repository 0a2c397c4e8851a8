"""The gallery: a page for each example config, with the picture of its model for some."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from site_pages.keras_names import DATA
from site_pages.links import ROOT, rewritten
from site_pages.markdown import block, page

CONFIGS = ROOT / "configs"
_ROW = re.compile(r"^\| `([\w/]+\.yaml)`(?: \(`\w+`\))? \| (.*?) \| (.*?) *\|$", re.M)


def config_names() -> list[str]:
    """Return the configs below configs/, by their paths without a suffix."""
    return sorted(path.relative_to(CONFIGS).with_suffix("").as_posix() for path in CONFIGS.rglob("*.yaml"))


def pictures() -> dict[str, str]:
    """Return the pictures of configs: a file below docs/images, or `model` for a drawing of the model."""
    return yaml.safe_load((DATA / "gallery.yaml").read_text(encoding="utf-8"))


def gallery_pages(pages: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the index and the page of each config; `pages` has the site's pages by the files of the repository."""
    readme = (CONFIGS / "README.md").read_text(encoding="utf-8")
    rows = reversed(list(_ROW.finditer(readme.replace("](#", "](README.md#"))))  # the first of a config is its own
    facts = {found[1].removesuffix(".yaml"): (found[2], found[3]) for found in rows}
    yield "gallery/index", _index(readme, pages)
    for name in config_names():
        own = f"gallery/{name}"
        shows, result = (rewritten(text, own, "configs/README.md", pages) for text in facts.get(name, ("", "")))
        yield own, _page(name, shows, result)


def _index(readme: str, pages: Mapping[str, str]) -> str:
    linked = _ROW.sub(lambda found: found[0].replace(f"`{found[1]}`", f"[{found[1]}]({found[1][:-5]}.md)"), readme)
    title, _, rest = rewritten(linked, "gallery/index", "configs/README.md", {**pages, **_own_pages()}).partition("\n")
    shown = "\n".join(f"[![{name}]({_picture(name, 0)})]({name}.md)" for name in pictures())
    return "\n\n".join([title, f":::{{container}} gallery\n{shown}\n:::", rest.strip()]) + "\n"


def _own_pages() -> dict[str, str]:
    return {f"configs/{name}.md": f"gallery/{name}" for name in config_names()}


def _page(name: str, shows: str, result: str) -> str:
    text = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8")
    picture = f"![{name}]({_picture(name, name.count('/'))})" if name in pictures() else ""
    return page(
        name.rpartition("/")[2],
        f"It shows {shows}." if shows else "",
        picture,
        f"Result: {result}" if result else "",
        block(text),
        f"[The gallery]({'../' * name.count('/')}index.md) says how results were measured.",
        listed=False,
    )


def _picture(name: str, depth: int) -> str:
    """The path of a config's picture from a page of the gallery `depth` folders down."""
    chosen = pictures()[name]
    up = "../" * depth
    return f"{up}models/{name.rpartition('/')[2]}.svg" if chosen == "model" else f"{up}../images/{chosen}"


def model_drawings() -> Iterator[tuple[str, bytes]]:
    """Yield the drawings of models as (path below docs/, contents), as `kerascli plot --model` draws them."""
    from kerascli.report.architecture.drawing import encoded_model
    from kerascli.workflow.check import graphs_of, spec_of

    for name, chosen in pictures().items():
        if chosen == "model":
            called, graph, beside = graphs_of(spec_of(CONFIGS / f"{name}.yaml"), None)
            contents = encoded_model(graph, called, ".svg", updates=beside)
            yield f"gallery/models/{Path(name).name}.svg", contents
