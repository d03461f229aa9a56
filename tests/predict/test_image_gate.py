from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxresnet.core.errors import CheckpointError, ImageError
from cxresnet.data.phantoms.plan import parse_phantom_settings
from cxresnet.data.sources.phantom import write_phantom_folder
from cxresnet.model.checkpoint import write_tensor_folder
from cxresnet.predict import image_gate
from cxresnet.predict.image_gate import (
    GateVerdict,
    admit,
    admit_unchecked,
    check_picture,
    list_orientations,
    load_gate,
    mend,
)

Pixels = NDArray[np.float32]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    """A drawn chest X-ray, of 128 × 128 pixels."""
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom_folder(parse_phantom_settings("images_per_class=1,side_px=128,seed=3"), folder)
    (path,) = (folder / "normal").glob("*.png")
    return np.divide(np.asarray(Image.open(path).convert("L")), 255, dtype=np.float32)


def _draw_text() -> Pixels:
    page = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(page).text((10, 10), "findings: none\n" * 9, fill=0)
    return np.divide(np.asarray(page), 255, dtype=np.float32)


def _draw_noise() -> Pixels:
    return np.random.default_rng(0).random((128, 128), dtype=np.float32)


def test_a_drawn_chest_x_ray_passes(phantom: Pixels) -> None:
    admitted = admit(phantom)
    assert (admitted.status, admitted.note) == ("passed", "")
    np.testing.assert_array_equal(admitted.pixels, phantom)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("is_inverted", [False, True])
def test_a_rotated_or_inverted_image_is_named_and_mended_where_asked(
    phantom: Pixels, turns: int, is_inverted: bool
) -> None:
    # Turned clockwise: as many quarters anticlockwise make it upright again.
    altered = np.rot90(phantom, -turns)
    altered = 1 - altered if is_inverted else altered
    name = {1: "rotated by 90° clockwise", 2: "rotated by 180°", 3: "rotated by 90° anticlockwise"}
    with pytest.raises(ImageError, match=name[turns]) as caught:
        admit(altered)
    assert caught.value.code == "rotated"
    assert "--fix" in str(caught.value)
    admitted = admit(altered, fix=True)
    assert admitted.status == "mended"
    assert name[turns] in admitted.note
    assert ("inverted and" in admitted.note) == is_inverted
    np.testing.assert_allclose(admitted.pixels, phantom, atol=1e-6)


def test_an_inverted_image_is_mended_where_asked(phantom: Pixels) -> None:
    with pytest.raises(ImageError, match="The image is inverted"):
        admit(1 - phantom)
    np.testing.assert_allclose(admit(1 - phantom, fix=True).pixels, phantom, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pixels", "colour", "code", "reason"),
    [
        (_draw_noise(), 0.0, "not-a-chest-x-ray", "does not look like a whole, upright, frontal"),
        (_draw_noise(), 0.3, "not-an-x-ray", "in colour"),
        (_draw_text(), 0.0, "not-an-x-ray", "few grey levels"),
        (_draw_noise()[:40], 0.0, "not-an-x-ray", "128 × 40 pixels, too few"),
    ],
)
def test_other_pictures_are_refused_with_the_reason_also_with_fix(
    pixels: Pixels, colour: float, code: str, reason: str
) -> None:
    for fix in (False, True):
        with pytest.raises(ImageError, match=reason) as caught:
            admit(pixels, colour=colour, fix=fix)
        assert caught.value.code == code
        assert "--no-gate" in str(caught.value)


def test_half_a_chest_is_refused(phantom: Pixels) -> None:
    with pytest.raises(ImageError, match="whole, upright, frontal"):
        admit(np.ascontiguousarray(phantom[:, :64]), fix=True)


def test_a_photograph_of_grey_tones_is_no_matter_of_colour() -> None:
    assert check_picture(_draw_noise(), colour=0.01) == ""


def test_what_is_unlike_most_images_is_borderline(
    phantom: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = dataclasses.replace(load_gate(), usual=1e9)
    monkeypatch.setattr(image_gate, "load_gate", lambda: strict)
    admitted = admit(phantom)
    assert admitted.status == "borderline"
    assert "no class is decided on" in admitted.note


def test_without_the_gate_the_image_is_marked() -> None:
    admitted = admit_unchecked(_draw_noise())
    assert (admitted.status, bool(admitted.note)) == ("not checked", True)


def test_orientations_are_undone_by_what_the_verdict_says() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    for number, turned in enumerate(list_orientations(image)):
        verdict = GateVerdict(quarter_turns=number % 4, is_inverted=number >= 4)
        mended = mend((image / 255).astype(np.float32), verdict)
        np.testing.assert_allclose(mended * 255, turned, atol=1e-4)
        assert verdict.can_be_mended == (number > 0)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    folder = write_tensor_folder(tmp_path / "other", tensors={}, documents={"record": {}})
    with pytest.raises(CheckpointError, match="does not hold a gate"):
        load_gate(folder)
