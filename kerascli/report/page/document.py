"""Assemble a page's HTML document: its style, script and data, under a policy that lets nothing else in."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any
from xml.etree.ElementTree import Element, tostring

from kerascli.report.markup import element

_STYLES = ("uplot.min.css", "page.css")
_SCRIPTS = ("uplot.min.js", "page.js")
_META = {"viewport": "width=device-width, initial-scale=1", "color-scheme": "light dark", "referrer": "no-referrer"}


def document(
    title: str, sections: Sequence[Element | None], data: Mapping[str, Any], events: str | None = None,
    home: str | None = None,
) -> str:  # fmt: skip
    """Return the text of a page, whose script reads `data`; a page that a server keeps up to date gets the address of
    its events, and that of the list of runs, if there is one."""
    style, script = _asset(_STYLES), _asset(_SCRIPTS)
    policy = f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
    policy += "base-uri 'none'; form-action 'none'"
    if events is not None:
        policy += "; connect-src 'self'"
        data = {**data, "events": events}
    links = [element("a", each[0].text, href=f"#{each.get('id')}") for each in sections if each is not None]
    links = [*([] if home is None else [element("a", "All runs", href=home)]), *(links if len(links) > 1 else [])]
    main = element("main", element("h1", title), element("nav", *links, aria_label="Sections"), *sections)
    # In a script element "<" could begin a tag; in JSON it can only be in a string, where it may be escaped.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    meta = [element("meta", charset="utf-8"), element("meta", http_equiv="Content-Security-Policy", content=policy)]
    meta += [element("meta", name=name, content=content) for name, content in _META.items()]
    head = element("head", *meta, element("title", title), element("style", style))
    read = element("script", text, type="application/json", id="page-data")
    page = element("html", head, element("body", main, read, element("script", script)), lang="en")
    return f"<!DOCTYPE html>\n{tostring(page, 'unicode', method='html')}\n"


@cache
def _asset(names: Sequence[str]) -> str:
    folder = files("kerascli.report.page") / "assets"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def _digest(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
