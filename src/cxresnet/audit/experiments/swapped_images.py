"""The images with swapped lungs that the model answers, in blocks that balance each other.

A pair is two images, each of another patient, that the model decides differently on; their lungs
are swapped in both directions. Two pairs of the same two classes are a block: within it the lungs
of the two images of one class are swapped as well, which is the control. So each image gives its
lungs twice and its frame twice, and lungs and frame of each class meet equally often, whatever
swapping itself does to an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.experiments.swap import swap_lungs
from cxresnet.audit.model import Images, Probabilities
from cxresnet.core.progress import track
from cxresnet.core.seeding import build_generator

MIN_PAIRS = 8
"""With fewer, not even a model that always goes by the frame could be found out."""

_LEAST_LUNG = 0.01
"""Of the image's area: a smaller lung is a fragment of a mask."""

_PURPOSE = "swapped lungs"


@dataclass(frozen=True)
class Recipe:
    """Which lungs are put into which frame.

    Attributes:
        donor: Row of the test image that gives the lungs.
        host: Row of the test image that gives the frame.
        pair: Number of the two images: both directions are one observation.
        block: Number of the block: no patient is in two of them.
        is_control: The model decides alike on both.
    """

    donor: int
    host: int
    pair: int
    block: int
    is_control: bool


@dataclass(frozen=True, eq=False)
class SwappedImages:
    """Images with swapped lungs, and what the model decides on them.

    Attributes:
        recipes: What each is made of.
        images: (swaps, side, side).
        probabilities: (swaps, classes).
        decided: (swaps,), class.
        predicted: The class of every test image as it is, (test images,).
    """

    recipes: tuple[Recipe, ...]
    images: Images
    probabilities: Probabilities
    decided: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @cached_property
    def donors(self) -> NDArray[np.intp]:
        """Row of the test image that gives the lungs, (swaps,)."""
        return np.array([one.donor for one in self.recipes], dtype=np.intp)

    @cached_property
    def hosts(self) -> NDArray[np.intp]:
        """Row of the test image that gives the frame, (swaps,)."""
        return np.array([one.host for one in self.recipes], dtype=np.intp)

    @cached_property
    def pairs(self) -> NDArray[np.str_]:
        """Number of the pair, as a label of its group, (swaps,)."""
        return np.array([str(one.pair) for one in self.recipes])

    @cached_property
    def blocks(self) -> NDArray[np.str_]:
        """Number of the block, as a label of its group, (swaps,)."""
        return np.array([str(one.block) for one in self.recipes])

    @cached_property
    def is_control(self) -> NDArray[np.bool_]:
        """Whether lungs and frame are of one predicted class, (swaps,)."""
        return np.array([one.is_control for one in self.recipes])

    @property
    def lungs_class(self) -> NDArray[np.int64]:
        """The class decided on for the image that gives the lungs, (swaps,)."""
        return self.predicted[self.donors]

    @property
    def frame_class(self) -> NDArray[np.int64]:
        """The class decided on for the image that gives the frame, (swaps,)."""
        return self.predicted[self.hosts]

    @cached_property
    def follows_lungs(self) -> NDArray[np.bool_]:
        """The decision is that of the lungs and not that of the frame, (swaps,)."""
        follows: NDArray[np.bool_] = ~self.is_control & (self.decided == self.lungs_class)
        return follows

    @cached_property
    def follows_frame(self) -> NDArray[np.bool_]:
        """The decision is that of the frame and not that of the lungs, (swaps,)."""
        follows: NDArray[np.bool_] = ~self.is_control & (self.decided == self.frame_class)
        return follows


def find_swapped_images(context: AuditContext) -> SwappedImages:
    """Swap lungs between test images, and run the model on the results; once for all questions.

    Raises:
        CannotBeTestedError: Too few pairs of images with lungs and different answers.
    """
    return context.once(_PURPOSE, lambda: _make(context))


def _make(context: AuditContext) -> SwappedImages:
    drawn = context.draw_rows(2 * context.config.swaps, _PURPOSE)
    rows = np.array(
        [
            row
            for row in track(drawn.tolist(), "Finding lungs", total=len(drawn))
            if _has_lungs(context, row)
        ],
        dtype=np.intp,
    )
    pairs = pair_classes(
        context.predicted[rows],
        most=context.config.swaps,
        generator=build_generator(context.config.seed, "audit", _PURPOSE, "pairs"),
    )
    if len(pairs) < MIN_PAIRS:
        raise CannotBeTestedError(
            f"Lungs can be swapped in {len(pairs)} pairs only, and {MIN_PAIRS} are needed: of "
            f"{len(drawn)} images, one a patient, reliable lungs were found on {len(rows)}, and "
            "two images make a pair where the model decides differently on them. Audit on more "
            "patients."
        )
    recipes = build_recipes(
        [(int(rows[one]), int(rows[two])) for one, two in pairs], predicted=context.predicted
    )
    images = np.stack(
        [_swap(context, recipe) for recipe in track(recipes, "Swapping lungs", total=len(recipes))]
    )
    probabilities = context.model.predict(images)
    return SwappedImages(
        recipes=recipes,
        images=images,
        probabilities=probabilities,
        decided=context.model.decide(probabilities),
        predicted=context.predicted,
    )


def _has_lungs(context: AuditContext, row: int) -> bool:
    """Whether both lungs are known; not where mask and lung finder contradict each other."""
    lungs = context.find_lungs(row)
    return not lungs.note and all(
        lung.mean() >= _LEAST_LUNG for lung in (lungs.right_lung, lungs.left_lung)
    )


def _swap(context: AuditContext, recipe: Recipe) -> NDArray[np.uint8]:
    host, donor = (np.asarray(context.test.images[row]) for row in (recipe.host, recipe.donor))
    return swap_lungs(
        host, context.find_lungs(recipe.host), donor, context.find_lungs(recipe.donor)
    )


def pair_classes(
    labels: NDArray[np.int64], *, most: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Pair images of different classes at random, each image in one pair at most.

    The two classes of which most images are left give the next pair: no order gives more pairs, and
    where the classes are equally frequent, all combinations are.

    Args:
        labels: Class of each image, (images,).
        most: The largest number of pairs.
        generator: Of the draw.

    Returns:
        Places in `labels`; in each pair the lower class first.
    """
    left = {
        int(label): generator.permutation(np.flatnonzero(labels == label)).tolist()
        for label in np.unique(labels)
    }
    pairs: list[tuple[int, int]] = []
    while len(pairs) < most and sum(bool(images) for images in left.values()) > 1:
        classes = sorted(left, key=lambda label: len(left[label]), reverse=True)[:2]
        one, two = (left[label].pop() for label in sorted(classes))
        pairs.append((one, two))
    return pairs


def build_recipes(
    pairs: list[tuple[int, int]], *, predicted: NDArray[np.int64]
) -> tuple[Recipe, ...]:
    """Build the swaps of all pairs in both directions, and the controls of each block.

    Args:
        pairs: Rows of test images, from `pair_classes`.
        predicted: The class of every test image, (test images,).
    """
    by_classes: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for pair in pairs:
        classes = tuple(predicted[list(pair)].tolist())
        by_classes.setdefault(classes, []).append(pair)
    recipes: list[Recipe] = []
    number = block = 0
    for same in by_classes.values():
        for start in range(0, len(same), 2):
            for one, two, is_control in _list_block(same[start : start + 2]):
                recipes += [
                    Recipe(one, two, number, block, is_control),
                    Recipe(two, one, number, block, is_control),
                ]
                number += 1
            block += 1
    return tuple(recipes)


def _list_block(pairs: list[tuple[int, int]]) -> list[tuple[int, int, bool]]:
    """List the pairs of a block, and its controls; a pair that is left alone has none."""
    swapped = [(one, two, False) for one, two in pairs]
    if len(pairs) < 2:
        return swapped
    (one, two), (three, four) = pairs
    return [*swapped, (one, three, True), (two, four, True)]
