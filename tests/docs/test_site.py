"""The site: built without a warning, loads nothing from elsewhere, and its reference is whole."""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cxresnet.cli.commands import find_commands
from cxresnet.core import errors
from cxresnet.core.config import Config
from cxresnet.data.manifest import MANIFEST_COLUMNS

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the build is in the first of them


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it, by a process that no proxy lets out."""
    folder = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


class _Loaded(HTMLParser):
    """Collects what a page loads when it is opened; a link that is clicked is none of it."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"src", "srcset", "data", "poster"} | ({"href"} if tag == "link" else set())
        self.urls += [value or "" for name, value in attrs if name in names]


def _find_foreign(text: str) -> list[str]:
    loaded = _Loaded()
    loaded.feed(text)
    return [url for url in loaded.urls if re.match(r"(https?:)?//", url)]


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    assert {page.name: _find_foreign(page.read_text("utf-8")) for page in pages} == {
        page.name: [] for page in pages
    }
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text("utf-8")), style
    # Diagrams in this language would load their program when a page is opened.
    assert not [page for page in pages if 'class="mermaid"' in page.read_text("utf-8")]


def test_what_is_loaded_from_elsewhere_is_found() -> None:
    page = '<a href="https://a.example"><script src="//b.example/x.js"></script><link href="x.css">'
    assert _find_foreign(page) == ["//b.example/x.js"]


def test_every_document_is_a_page_and_in_the_navigation(site: Path) -> None:
    home = (site / "index.html").read_text("utf-8")
    for path in (ROOT / "docs").rglob("*.md"):
        name = path.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert (site / name).is_file()
        assert name == "index.html" or f'href="{name}"' in home, name


def _read(site: Path, name: str) -> str:
    return (site / "reference" / name).read_text("utf-8")


def test_nothing_in_the_reference_is_left_undescribed(site: Path) -> None:
    for page in (site / "reference").glob("*.html"):
        text = page.read_text("utf-8")
        assert "Not described." not in text, page.name
        assert "make:" not in re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL), page.name


def test_the_reference_of_the_command_line_has_every_command(site: Path) -> None:
    text = _read(site, "cli.html")
    for one in find_commands():
        assert f"cxresnet {one.name}" in text
    assert "--leave-sources-out" in text


def test_the_reference_of_the_config_has_every_key_with_its_default(site: Path) -> None:
    text = _read(site, "config.html")
    config = Config()
    for section in Config.model_fields:
        for key in type(getattr(config, section)).model_fields:
            assert f'id="{section}.{key}"' in text, f"{section}.{key}"
    entry = text.split('id="data.side_px"')[1].split("</dt>")[0]
    said = re.sub(r"<[^>]+>", "", entry)
    assert said.endswith("a whole number, at least 16 and at most 2,048 · default 128")
    assert "Images are never turned upside down." in text


def test_the_reference_of_the_files_has_every_column_and_record(site: Path) -> None:
    text = _read(site, "file-formats.html")
    for column in MANIFEST_COLUMNS:
        assert f"<code>{column}</code>" in text
    for record in ("datasetrecord", "checkpointrecord", "evaluation", "decision", "sanitycard"):
        assert text.count(f'id="{record}"') == 1, record


def test_the_reference_of_errors_has_every_exit_code_and_class(site: Path) -> None:
    text = _read(site, "errors.html")
    for code in (0, 2, 3, 70, 130, 141):
        assert f"<code>{code}</code>" in text
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.CXResnetError):
            assert f"<code>{name}</code>" in text
    for code in ("truncated", "too-slow", "not-a-chest-x-ray", "duplicate-row", "unexpected"):
        assert f'id="{code}"' in text, code


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
        return


@pytest.fixture
def url(site: Path) -> Iterator[str]:
    """Where a small server on this machine shows the site."""
    handler = functools.partial(_QuietHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")
def test_on_a_phone_no_page_scrolls_sideways_and_the_search_finds(site: Path, url: str) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        requests: list[str] = []
        tab.on("request", lambda request: requests.append(request.url))
        for name in ("index", "benchmarks", "reference/cli", "reference/config"):
            assert (site / f"{name}.html").is_file()
            tab.goto(f"{url}/{name}.html")
            assert tab.evaluate("document.documentElement.scrollWidth") == 390, name
        tab.click("label[for=__search].md-header__button")
        tab.type("[data-md-component=search-query]", "side_px")
        tab.wait_for_selector(".md-search-result__item")
        browser.close()
    assert requests
    assert not [one for one in requests if not one.startswith((url, "data:", "blob:"))]
