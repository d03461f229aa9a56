from __future__ import annotations

import numpy as np
import pytest

from cxresnet.data.phantoms.film import DrawnFilm, draw_film
from cxresnet.data.phantoms.plan import plan_films
from cxresnet.data.phantoms.settings import PhantomSettings
from cxresnet.explain.film_lungs import choose_lungs


@pytest.fixture(scope="module")
def drawn() -> DrawnFilm:
    settings = PhantomSettings(films_per_class=1, side_px=128, seed=99)
    return draw_film(plan_films(settings)[0], settings)


def test_the_mask_of_the_dataset_comes_first(drawn: DrawnFilm) -> None:
    lungs = choose_lungs(drawn.pixels, drawn.lung_mask)
    assert (lungs.source, lungs.note) == ("dataset", "")
    np.testing.assert_array_equal(lungs.mask, drawn.lung_mask)


@pytest.mark.parametrize("given", [None, np.zeros((128, 128), np.uint8)])
def test_without_a_mask_the_lung_finder_looks(drawn: DrawnFilm, given: np.ndarray | None) -> None:
    lungs = choose_lungs(drawn.pixels, given)
    assert lungs.source == "lung finder"
    overlap = (lungs.mask > 0) & (drawn.lung_mask > 0)
    assert overlap.sum() > 0.85 * (drawn.lung_mask > 0).sum()


def test_a_mask_beside_the_lungs_is_used_and_the_note_says_so(drawn: DrawnFilm) -> None:
    lungs = choose_lungs(drawn.pixels, np.roll(drawn.lung_mask, 40, axis=0))
    assert lungs.source == "dataset"
    assert "one of them is wrong" in lungs.note


def test_where_there_are_no_lungs_there_is_a_reason_and_an_empty_mask() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    lungs = choose_lungs(noise, None)
    assert lungs.source == "none"
    assert lungs.note.startswith("No lungs to rely on")
    assert not lungs.mask.any()
