"""From what was measured on a film to sentences that anyone can read.

They speak of the network, never of the disease: what argues for an answer of the network need not
be a sign of anything. Every number is one of the record's, rounded.
"""

from __future__ import annotations

import itertools

from cxresnet.explain.story import BOTH_LUNGS, FilmStory
from cxresnet.explain.zones import DEPTHS, HEIGHTS, OUTSIDE, SIDES, describe_zones

__all__ = ["write_story"]

_LEAST_CHANGE = 0.01


def write_story(story: FilmStory) -> tuple[str, ...]:
    """Write what is known of a film, two to four sentences.

    Args:
        story: Measured.

    Returns:
        Plain sentences. Shares are whole percents, probabilities have two places.
    """
    if not story.coverings:
        return (f"{story.lung_note} So no zone of the lungs can be named.".strip(),)
    sentences = [_say_where(story), _say_covering(story), _say_lungs(story)]
    if story.lung_note:
        sentences.append(story.lung_note)
    return tuple(sentences)


def _list_regions() -> tuple[tuple[str, ...], ...]:
    """List what may be named: one zone, a third of one lung, one zone of both lungs."""
    zones = tuple((" ".join(parts),) for parts in itertools.product(SIDES, HEIGHTS, DEPTHS))
    thirds = tuple(
        tuple(f"{side} {height} {depth}" for depth in DEPTHS)
        for side, height in itertools.product(SIDES, HEIGHTS)
    )
    pairs = tuple(
        tuple(f"{side} {height} {depth}" for side in SIDES)
        for height, depth in itertools.product(HEIGHTS, DEPTHS)
    )
    return zones + thirds + pairs


def _say_where(story: FilmStory) -> str:
    name = story.class_name
    if not story.shares:
        return f"Nothing on this film argues for {name} to the network, by itself."

    def add(values: dict[str, float], region: tuple[str, ...]) -> float:
        return sum(values[zone] for zone in region)

    best = max(
        _list_regions(), key=lambda region: add(story.shares, region) - add(story.areas, region)
    )
    share, area = add(story.shares, best), add(story.areas, best)
    outside = story.shares[OUTSIDE]
    where = f"{describe_zones(best)} ({area:.0%} of the film)"
    if outside - story.areas[OUTSIDE] > share - area:
        return (
            f"{outside:.0%} of what argues for {name} to the network lies outside the lungs "
            f"({story.areas[OUTSIDE]:.0%} of the film); within the lungs, most for its size "
            f"lies in {describe_zones(best)}: {share:.0%}."
        )
    return (
        f"{share:.0%} of what argues for {name} to the network lies in {where}; "
        f"{outside:.0%} lies outside the lungs ({story.areas[OUTSIDE]:.0%} of the film)."
    )


def _say_covering(story: FilmStory) -> str:
    thirds = [one for one in story.coverings if one.name not in {BOTH_LUNGS, OUTSIDE}]
    lowest = min(thirds, key=lambda one: one.probability)
    before, after = f"{story.probability:.2f}", f"{lowest.probability:.2f}"
    where = describe_zones(tuple(f"{lowest.name} {depth}" for depth in DEPTHS))
    if story.probability - lowest.probability < _LEAST_CHANGE:
        return (
            f"Covering any one third of a lung with grey hardly lowers the probability that the "
            f"network gives {story.class_name} ({before}; at lowest {after}, {where} covered)."
        )
    return (
        f"Covering {where} with grey lowers the probability that the network gives "
        f"{story.class_name} from {before} to {after}."
    )


def _say_lungs(story: FilmStory) -> str:
    values = {one.name: one.probability for one in story.coverings}
    inside, outside = values[BOTH_LUNGS], values[OUTSIDE]
    words = (
        f"With both lungs covered it gives {inside:.2f}; with all but the lungs covered, "
        f"{outside:.2f}."
    )
    if inside > story.probability / 2:
        words += " So for much of this it does not need the lungs."
    return words
