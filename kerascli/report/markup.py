"""Build HTML and SVG as a tree of elements; texts and attributes are escaped when the tree is written."""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from xml.etree.ElementTree import Element

from kerascli.foundation.errors import safe_lines

Child = Element | str | None
_LEVELS = 4
"""Number of shades of a text with a share for something, and of as many against it."""


def element(tag: str, *children: Child, **attributes: object) -> Element:
    """Return an element with its children; None is left out. In names of attributes `_` stands for `-`, as in
    `aria_label`, and is dropped at the end, as in `class_`."""
    made = Element(tag, {key.rstrip("_").replace("_", "-"): str(value) for key, value in attributes.items()})
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif child is not None and len(made):
            made[-1].tail = (made[-1].tail or "") + child
        elif child is not None:
            made.text = (made.text or "") + child
    return made


def section(title: str, *children: Child, anchor: str) -> Element:
    """Return a section of the page with its heading."""
    heading = element("h2", title, id=f"{anchor}-title")
    return element("section", heading, *children, id=anchor, aria_labelledby=f"{anchor}-title")


def table(
    caption: str, heads: Sequence[str], rows: Iterable[Sequence[Child]], *, numbers_from: int = 1, class_: str = ""
) -> Element:
    """Return a table in a box that scrolls sideways; the first cell of a row is its heading, and cells from the column
    `numbers_from` on are aligned as numbers."""
    kinds = ["number" if column >= numbers_from else "text" for column in range(len(heads))]
    head = element(
        "tr", *(element("th", text, scope="col", class_=kind) for text, kind in zip(heads, kinds, strict=True))
    )
    body = []
    for first, *rest in rows:
        cells = (element("td", cell, class_=kind) for cell, kind in zip(rest, kinds[1:], strict=True))
        body.append(element("tr", element("th", first, scope="row"), *cells))
    parts = element("caption", caption), element("thead", head), element("tbody", *body)
    return scrolling(element("table", *parts, class_=class_ or "plain"), caption)


def scrolling(content: Element, label: str, class_: str = "wide") -> Element:
    """Return a box around wide content, which a keyboard can scroll."""
    return element("div", content, class_=class_, tabindex=0, role="region", aria_label=label)


def figure(caption: str, *children: Child) -> Element:
    """Return a figure with its caption."""
    return element("figure", element("figcaption", caption), *children)


def folded(summary: str, *children: Child) -> Element:
    """Return content that is shown once its summary is clicked."""
    return element("details", element("summary", summary), *children)


def image(png: bytes, alt: str) -> Element:
    """Return an image that the page itself holds."""
    return element("img", src=f"data:image/png;base64,{b64encode(png).decode()}", alt=alt)


def shaded(texts: Sequence[tuple[str, float]]) -> Iterator[Child]:
    """Yield texts shaded by their shares, with spaces between them."""
    bound = max((abs(share) for _, share in texts), default=0.0) or 1.0
    for text, share in texts:
        level = round(_LEVELS * abs(share) / bound)
        kind = "for" if share > 0 else "against"
        yield element("span", safe_lines(text), class_=f"{kind}-{level}", title=f"{share:+.3g}")
        yield " "
