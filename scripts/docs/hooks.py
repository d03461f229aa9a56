"""What mkdocs cannot do alone for `make docs`; `mkdocs.yml` names this file.

- A comment `<!-- make: config -->` in a page is replaced by what the code says: commands, config
  keys, records, errors (`reference.py`). Nothing of it is committed, so nothing of it can be out of
  date.
- A link that leaves `docs/`, to SECURITY.md or a file of the source, works on the repository's page
  and on the site: the file becomes a page of the site under `repository/`. The home page takes the
  text of README.md.
- `folder/*` in the navigation stands for the pages of the folder that it does not name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference import MAKERS, start_page

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)(?=[)\s#])")
_DIRECTIVE = re.compile(r"<!-- make: (\w+) ?(.*?) -->")
_LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".cff": "yaml", ".yml": "yaml"}


# The navigation, and the pages of files outside of `docs/`.


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of a folder where the navigation says `folder/*`."""
    config.nav = _expand(config.nav or [])
    return config


def _expand(nav: Sequence[Any]) -> list[Any]:
    named = {
        name
        for item in nav
        for name in (item.values() if isinstance(item, dict) else [item])
        if isinstance(name, str)
    }
    expanded: list[Any] = []
    for item in nav:
        if isinstance(item, str) and item.endswith("/*"):
            found = sorted(
                path.relative_to(ROOT / "docs") for path in (ROOT / "docs").glob(f"{item}.md")
            )
            expanded += [path.as_posix() for path in found if path.as_posix() not in named]
        elif isinstance(item, dict):
            parts = {
                title: _expand(part) if isinstance(part, list) else part
                for title, part in item.items()
            }
            expanded += [{title: part} for title, part in parts.items() if part]
        else:
            expanded.append(item)
    return expanded


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Make a page of each file outside of `docs/` that the navigation or another page links."""
    todo = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
    todo += [
        target
        for page in files.documentation_pages()
        for target in _find_outer_links(f"docs/{page.src_uri}", page.content_string)
    ]
    done: set[str] = set()
    while todo:
        path = todo.pop()
        if path not in done:
            done.add(path)
            text = _read_as_page(path)
            todo += _find_outer_links(path, text)
            if path != "README.md":
                files.append(File.generated(config, _get_src_uri(path), content=text))
    return files


def _find_outer_links(path: str, text: str) -> list[str]:
    targets = [
        posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
        for link in _LINK.findall(text)
    ]
    return [one for one in targets if not one.startswith(("docs/", "..")) and (ROOT / one).exists()]


def _read_as_page(path: str) -> str:
    """Read a file as Markdown: code in a fence, a folder as a list of its files."""
    place = ROOT / path
    if place.is_dir():
        names = sorted(one.name for one in place.iterdir() if one.is_file())
        return f"# {path}/\n\n" + "\n".join(
            f"- [{name}]({path.rpartition('/')[2]}/{name})" for name in names
        )
    text = place.read_text(encoding="utf-8")
    if place.suffix == ".md":
        return text
    return f"# {path}\n\n`````{_LANGUAGES.get(place.suffix, 'text')}\n{text.rstrip()}\n`````\n"


def _get_src_uri(path: str) -> str:
    """Get where the page of a file of the repository lies on the site."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"repository/{path}" if path.endswith(".md") else f"repository/{path}.md"


def _rewrite_links(text: str, *, path: str, src_uri: str) -> str:
    """Rewrite the links of a file of the repository for the page that shows its text."""

    def rewrite(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), found[1]))
        if not (ROOT / target).exists():
            return found[1]  # mkdocs names it
        return posixpath.relpath(_get_src_uri(target), posixpath.dirname(src_uri) or ".")

    return _LINK.sub(rewrite, text)


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what is made from the code, and lead links that leave `docs/` to their pages."""
    del config, files
    start_page()
    uri = page.file.src_uri
    path = uri.removeprefix("repository/") if uri.startswith("repository/") else f"docs/{uri}"
    if not (ROOT / path).exists():
        path = path.removesuffix(".md")
    text = _rewrite_links(markdown, path=path, src_uri=uri)
    return _DIRECTIVE.sub(lambda found: _make(found[1], found[2].split(), uri), text)


def _make(name: str, arguments: Sequence[str], src_uri: str) -> str:
    if name == "readme":
        text = (
            (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Where to go next")[0]
        )
        return _rewrite_links(text, path="README.md", src_uri=src_uri)
    if name == "pages":
        return _list_pages(arguments[0])
    if name not in MAKERS:
        known = ", ".join(("pages", "readme", *MAKERS))
        raise PluginError(f"'{src_uri}' wants '{name}' made; known are {known}.")
    return "\n".join(MAKERS[name](*arguments))


def _list_pages(folder: str) -> str:
    """List the pages of a folder of `docs/` in a sentence, each with its title as a link."""
    titles = {
        path: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        for path in sorted((ROOT / "docs" / folder).glob("*.md"))
    }
    return ", ".join(f"[{title}]({folder}/{path.name})" for path, title in titles.items())
