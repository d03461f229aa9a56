"""The files of the page: a fixed list, read at the start, so that no path of a client is opened."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_NAMES = (
    "index.html",
    "page.css",
    "app.js",
    "client.js",
    "dom.js",
    "model.js",
    "result.js",
    "viewer.js",
    "icon.svg",
)


@dataclass(frozen=True)
class StaticFile:
    """One file.

    Attributes:
        content: Its bytes.
        media_type: What it is.
    """

    content: bytes
    media_type: str


def read_static_files() -> dict[str, StaticFile]:
    """Read the files of the page, by name; the colours are those of the report."""
    folder = files("cxresnet.serve") / "static"
    found = {name: _build(name, (folder / name).read_bytes()) for name in _NAMES}
    style = files("cxresnet.report") / "templates" / "style.css"
    return found | {"report.css": _build("report.css", style.read_bytes())}


def _build(name: str, content: bytes) -> StaticFile:
    return StaticFile(content, _TYPES[name.rpartition(".")[2]])
