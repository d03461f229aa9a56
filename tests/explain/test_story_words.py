"""Every number in a sentence is one of the record's."""

from __future__ import annotations

import re

import pytest

from cxresnet.explain.story import Covering, FilmStory
from cxresnet.explain.story_words import write_story
from cxresnet.explain.zones import OUTSIDE, ZONE_NAMES


def _tell(shares: dict[str, float], coverings: dict[str, float], **more: object) -> FilmStory:
    base = dict.fromkeys(ZONE_NAMES, 0.0) | {OUTSIDE: 1 - sum(shares.values())}
    areas = dict.fromkeys(ZONE_NAMES, 0.03) | {OUTSIDE: 0.64}
    thirds = {f"{s} {h}": 0.83 for s in ("right", "left") for h in ("upper", "middle", "lower")}
    values = thirds | {"both lungs": 0.2, "outside": 0.8} | coverings
    story = FilmStory(
        image_id="film",
        class_name="covid-19",
        probability=0.83,
        method="occlusion",
        lung_source="dataset",
        shares=base | shares,
        areas=areas,
        coverings=tuple(Covering(name=name, probability=p) for name, p in values.items()),
    )
    return story.model_copy(update=more)


def test_the_sentences_of_a_bilateral_lower_answer() -> None:
    story = _tell({"right lower outer": 0.30, "left lower outer": 0.32}, {"left lower": 0.41})
    assert write_story(story) == (
        (
            "62% of what argues for covid-19 to the network lies in the lower outer zones of "
            "both lungs (6% of the film); 38% lies outside the lungs (64% of the film)."
        ),
        (
            "Covering the lower third of the patient's left lung with grey lowers the probability "
            "that the network gives covid-19 from 0.83 to 0.41."
        ),
        "With both lungs covered it gives 0.20; with all but the lungs covered, 0.80.",
    )


def test_an_answer_from_outside_the_lungs_is_called_one() -> None:
    where, _, lungs = write_story(_tell({"left upper inner": 0.05}, {"both lungs": 0.80}))
    assert where.startswith("95% of what argues for covid-19 to the network lies outside")
    assert lungs.endswith("So for much of this it does not need the lungs.")


def test_where_covering_does_nothing_it_is_said() -> None:
    _, covering, _ = write_story(_tell({"left upper inner": 0.9}, {"right upper": 0.829}))
    assert "hardly lowers" in covering
    assert "(0.83; at lowest 0.83, the upper third of the patient's right lung covered)" in covering


def test_without_lungs_the_reason_is_told() -> None:
    story = _tell({}, {}).model_copy(
        update={"coverings": (), "lung_note": "No lungs to rely on: a lung falls into pieces."}
    )
    assert write_story(story) == (
        "No lungs to rely on: a lung falls into pieces. So no zone of the lungs can be named.",
    )


def test_a_note_on_the_lungs_is_told_last() -> None:
    assert write_story(_tell({"left upper inner": 0.9}, {}, lung_note="Beware."))[-1] == "Beware."


def test_a_map_without_evidence_is_said_to_have_none() -> None:
    (first, *_) = write_story(_tell({}, {}).model_copy(update={"shares": {}}))
    assert first == "Nothing on this film argues for covid-19 to the network, by itself."


@pytest.mark.parametrize("seed", range(5))
def test_every_number_is_in_the_record(seed: int) -> None:
    shares = {"right middle inner": 0.1 * seed + 0.05, "left lower outer": 0.2}
    story = _tell(shares, {"right middle": 0.5 - 0.05 * seed})
    known = {f"{value:.2f}" for value in [0.83, *(one.probability for one in story.coverings)]}
    sums = [story.shares[a] + story.shares[b] for a in ZONE_NAMES for b in ZONE_NAMES if a != b]
    known |= {f"{value:.0%}" for value in [*sums, *story.shares.values(), 0.03, 0.06, 0.64]}
    for sentence in write_story(story):
        numbers = re.findall(r"\d+\.\d+|\d+%", sentence)
        assert set(numbers) <= known


def test_the_words_never_speak_of_the_disease_itself() -> None:
    for sentence in write_story(_tell({"left lower outer": 0.5}, {"left lower": 0.3})):
        assert not re.search(r"patient has|is ill|shows covid|diagnos|infect", sentence)
