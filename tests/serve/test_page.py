"""The page in a browser: it is used with mouse and keyboard, and says what the network says."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cxresnet
from cxresnet import DISCLAIMER

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=alert(1)>"
SECONDS = 120
EXPLAINED = "The map is shown"


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["desktop", "phone"])
def page(browser: Any, live: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, opened; ends with an error where it complained or asked another host."""
    width, colours = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=colours, accept_downloads=True
    )
    page = context.new_page()
    page.set_default_timeout(1000 * SECONDS)
    complaints: list[str] = []
    page.on("console", lambda one: complaints.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda one: _check_place(one.url, live.port, complaints))
    page.goto(f"http://127.0.0.1:{live.port}")
    page.locator("#examples button").first.wait_for()
    yield page
    context.close()
    assert complaints == []


def _check_place(url: str, port: int, complaints: list[str]) -> None:
    if not url.startswith((f"http://127.0.0.1:{port}/", "blob:", "data:")):
        complaints.append(url)


def _give(page: Any, *files: tuple[str, bytes]) -> None:
    page.locator("#files").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in files]
    )


def test_an_example_is_explained_step_by_step(page: Any, tmp_path: Path) -> None:
    page.get_by_role("button", name="pneumonia").click()
    page.get_by_text(EXPLAINED).wait_for()
    assert page.get_by_text(DISCLAIMER).first.is_visible()
    assert page.locator("#decision").inner_text().startswith(("Abstains", "Decision"))
    assert page.get_by_role("row").count() == 4
    assert page.get_by_role("radio", name="Integrated Gradients").is_checked()
    assert page.locator(".band").is_hidden()
    label = page.locator("canvas").get_attribute("aria-label")
    assert "Integrated Gradients: contribution" in label

    before = page.locator("canvas").screenshot()
    page.get_by_label("Opacity of the map").fill("0")
    without_map = page.locator("canvas").screenshot()
    page.get_by_label("Contour of the lungs").uncheck()
    without_line = page.locator("canvas").screenshot()
    page.get_by_label("Level (brightness)").fill("60")
    bright = page.locator("canvas").screenshot()
    page.locator("canvas").focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    zoomed = page.locator("canvas").screenshot()
    assert len({before, without_map, without_line, bright, zoomed}) == 5
    page.get_by_label("Contour of the lungs").check()
    page.get_by_role("button", name="Reset the view").click()
    page.locator("canvas").evaluate("canvas => canvas.blur()")
    assert page.locator("canvas").screenshot() == before

    page.get_by_role("radio", name="Grad-CAM").check()
    page.locator(".band").wait_for(state="visible")
    assert page.locator(".band").inner_text() == "not trustworthy for this model"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as HTML").click()
    assert download.value.suggested_filename == "drawn-pneumonia-card.html"
    assert DISCLAIMER in Path(download.value.path()).read_text(encoding="utf-8")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_the_page_fits_and_the_scorecard_is_one_click_away(page: Any) -> None:
    page.get_by_role("button", name="normal").click()
    page.get_by_text(EXPLAINED).wait_for()
    root = page.locator("html")
    assert root.evaluate("root => root.scrollWidth") == page.viewport_size["width"]
    page.get_by_role("button", name="Scorecard of the model").click()
    dialog = page.get_by_role("dialog")
    assert "Verdict on the data: RED" in dialog.inner_text()
    assert "Macro AUROC 0.889" in dialog.inner_text()
    dialog.get_by_text("Model card", exact=True).click()
    assert dialog.get_by_role("heading", name="Limitations").is_visible()
    page.keyboard.press("Escape")
    assert dialog.is_hidden()


def test_it_is_used_with_the_keyboard_alone(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.locator(":focus").inner_text() == "covid-19":
            break
    page.keyboard.press("Enter")
    page.get_by_text(EXPLAINED).wait_for()
    page.locator("#list button").focus()
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.locator(":focus").get_attribute("name") == "method":
            break
    page.keyboard.press("ArrowUp")
    page.locator(".band").wait_for(state="visible")


def test_everything_has_a_name_for_a_screen_reader(page: Any) -> None:
    page.get_by_role("button", name="normal").click()
    page.get_by_text(EXPLAINED).wait_for()
    unnamed = page.locator("body").evaluate(
        """body => [...body.querySelectorAll("button, input, select, canvas, img")].filter(one =>
             !(one.textContent.trim() || one.getAttribute("aria-label") || one.alt
               || (one.labels && one.labels.length))).map(one => one.outerHTML)"""
    )
    assert unnamed == []
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("[role=status][aria-live=polite]").count() == 1
    assert page.locator("h1").count() == 1


def test_axe_finds_nothing_serious(page: Any) -> None:
    sync_axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="accessibility was NOT checked by axe: pip install axe-playwright-python",
    )
    axe, found = sync_axe.Axe(), []

    def check(part: str) -> None:
        for colours in ("light", "dark"):
            page.emulate_media(color_scheme=colours)
            for one in axe.run(page).response["violations"]:
                if one["impact"] in {"serious", "critical"}:
                    places = [node["target"] for node in one["nodes"]]
                    found.append(f"{part}, {colours}: {one['id']}, {one['help']}, at {places}")

    check("first page")
    page.get_by_role("button", name="covid-19").click()
    page.get_by_text(EXPLAINED).wait_for()
    check("card")
    page.get_by_role("radio", name="Grad-CAM").check()
    page.locator(".band").wait_for(state="visible")
    check("map that failed its checks")
    page.get_by_role("button", name="Scorecard of the model").click()
    page.get_by_role("dialog").get_by_text("Model card", exact=True).click()
    check("scorecard")
    page.keyboard.press("Escape")
    _give(page, ("junk.png", b"junk"))
    page.get_by_text("Refused").first.wait_for()
    check("refused image")
    assert found == []
    page.locator("main").evaluate("main => main.append(document.createElement('input'))")
    check("planted")
    assert all("label" in one for one in found)
    assert len(found) == 2


@pytest.mark.parametrize("name", [f"{HOSTILE}.png", "a\u202egnp.exe", "&lt;b&gt;.dcm", "x" * 300])
def test_the_name_of_a_file_is_text_and_nothing_else(page: Any, name: str) -> None:
    _give(page, (name, b"<script>alert(2)</script>"))
    page.get_by_text("0 of 1").or_(page.get_by_text("1 of 1")).wait_for()
    assert page.locator("#list .name").inner_text() == name
    assert page.locator("#decision").inner_text() == "Refused"
    assert page.locator("#main img, #main script").count() == 0


def test_files_are_dropped_many_at_once(page: Any, kit: Any) -> None:
    files = [base64.b64encode(kit.build_image(seed)).decode() for seed in range(10)]
    page.locator("#main").evaluate(
        """(main, files) => {
          const data = new DataTransfer();
          files.forEach((one, at) => data.items.add(new File(
            [Uint8Array.from(atob(one), letter => letter.charCodeAt(0))], `${at}.png`)));
          main.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        }""",
        files,
    )
    page.get_by_text("10 of 10 images classified").or_(page.get_by_text(EXPLAINED)).wait_for()
    page.locator("#list li:nth-child(10) .badge:not(:text-is('…'))").wait_for()
    assert page.locator("#list li").count() == 10


def test_a_token_is_asked_for_and_kept_out_of_the_address(
    browser: Any, model: cxresnet.Model, kit: Any
) -> None:
    with kit.serving(model, token="a-token-of-the-tests") as server:  # noqa: S106
        page = browser.new_page()
        page.set_default_timeout(1000 * SECONDS)
        page.goto(f"http://127.0.0.1:{server.port}")
        page.get_by_label("This server asks for a token").fill("a-token-of-the-tests")
        page.get_by_role("button", name="Use it").click()
        page.get_by_role("button", name="normal").wait_for()
        page.goto("about:blank")
        page.goto(f"http://127.0.0.1:{server.port}/#token=a-token-of-the-tests")
        page.get_by_role("button", name="normal").wait_for()
        assert "token" not in page.url
        page.close()
