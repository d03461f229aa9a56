"""How well does the lung finder find lungs on patients it has not seen, and does it know when not?

Command:  python benchmarks/lung_finder.py IMAGES [--work FOLDER]
Time:     about 15 minutes on 2 cores, of which 12 train seven networks; --work keeps those

Five folds over patients (joined with clusters of copies), each network tested on the images of the
fold left out; and across sets: trained on one, tested on the other. Beside it three rules without a
network. Then what the finder refuses: good images, and pictures that hold no upright pair of lungs.
Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.cbook
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from sklearn.datasets import load_sample_images
from sklearn.model_selection import GroupKFold

from cxresnet.core.config.data import DataConfig
from cxresnet.core.seeding import build_generator
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.prepare.preprocessing import build_preprocessing, prepare_image
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.statistic import build_mean
from cxresnet.predict.gate import compute_dice
from cxresnet.predict.lungs import FoundLungs, LungFinder, load_lung_finder
from train_lung_finder import Material, read_real_images, train, write_lung_finder

Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]
_FAILED_DICE = 0.85
_FOLDS = 5


def main() -> None:
    """Train, test, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    material = read_real_images(arguments.images)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        held_out = find_held_out(material, work)
        print_dice(material, held_out)
        print_across(material, work)
        print_doubts(material, held_out)
        finders = [open_finder(work / f"fold{fold}") for fold in range(_FOLDS)]
    print_refusals(material, held_out, finders[0], read_unmasked(arguments.images))


def split_folds(material: Material) -> Iterator[tuple[int, Masks]]:
    """Split by groups; yields the fold and which images are left out of its training."""
    folds = GroupKFold(_FOLDS, shuffle=True, random_state=0)
    for fold, (_, test) in enumerate(folds.split(material.images, groups=material.groups)):
        chosen = np.zeros(len(material.images), bool)
        chosen[test] = True
        yield fold, chosen


def open_finder(folder: Path) -> LungFinder:
    """Open a network of this benchmark."""
    return load_lung_finder(folder)


def train_once(material: Material, folder: Path) -> LungFinder:
    """Train on the images whose masks fit, unless the folder holds the network already."""
    if not folder.exists():
        write_lung_finder(folder, train(material.select(material.fits), seed=0), notes={})
    return open_finder(folder)


def find_held_out(material: Material, work: Path) -> list[FoundLungs]:
    """Find the lungs of every image with the network that has not seen its patient."""
    found: dict[int, FoundLungs] = {}
    for fold, test in split_folds(material):
        finder = train_once(material.select(~test), work / f"fold{fold}")
        rows = np.flatnonzero(test).tolist()
        found |= dict(zip(rows, finder.find_all(material.images[test]), strict=True))
    return [found[row] for row in range(len(material.images))]


def score(masks: Masks, found: Masks) -> NDArray[np.float64]:
    """Score each image: Dice of its masks, (image, row, column)."""
    return np.array([compute_dice(a, b) for a, b in zip(masks, found, strict=True)])


def both(found: list[FoundLungs]) -> Masks:
    """Take the lungs as found, refused or not."""
    return np.stack([lungs.right_lung | lungs.left_lung for lungs in found])


def format_mean(values: NDArray[np.float64], groups: NDArray[np.int64]) -> str:
    """Format a mean with its interval over patients, and what it rests on."""
    (estimate,) = compute_estimates(
        [build_mean("mean", values)],
        groups=groups.astype(str),
        resamples=2000,
        confidence=0.95,
        generator=build_generator(0, "lung-finder", "bootstrap"),
    ).values()
    ends = "no interval"
    if estimate.low is not None and estimate.high is not None:
        ends = f"{estimate.low:.3f}–{estimate.high:.3f}"
    return f"{estimate.value:.3f} | {ends} | {estimate.n} images, {estimate.groups} patients"


def print_dice(material: Material, held_out: list[FoundLungs]) -> None:
    """Print the Dice of finder and rules on patients left out."""
    whole = material.masks.any(axis=1)
    fits = material.fits
    rows = {
        "lung finder, all masks": (score(whole, both(held_out)), fits | True),
        "lung finder, masks that fit": (score(whole, both(held_out)), fits),
        "lung finder, masks that do not fit": (score(whole, both(held_out)), ~fits),
        "… patient's right lung": (
            score(material.masks[:, 0], np.stack([f.right_lung for f in held_out])), fits,
        ),
        "… patient's left lung": (
            score(material.masks[:, 1], np.stack([f.left_lung for f in held_out])), fits,
        ),
    }  # fmt: skip
    for name in np.unique(material.sets):
        rows[f"… {name}"] = (rows["lung finder, masks that fit"][0], fits & (material.sets == name))
    for name, rule in RULES.items():
        rows[f"rule: {name}"] = (score(whole, apply_rule(material, rule)), fits)
    print("| on patients left out | mean Dice | interval | n |\n|---|---|---|---|")
    for name, (values, chosen) in rows.items():
        print(f"| {name} | {format_mean(values[chosen], material.groups[chosen])} |")


def apply_rule(material: Material, rule: Callable[[Material, Images], Masks]) -> Masks:
    """Apply a rule fold by fold, so that it too has not seen the patients it is tested on."""
    found = np.zeros_like(material.masks[:, 0])
    for _, test in split_folds(material):
        found[test] = rule(material.select(~test & material.fits), material.images[test])
    return found


def take_mean_shape(known: Material, images: Images) -> Masks:
    """Answer with the mean mask of the known images, whatever the image."""
    shape = known.masks.any(axis=1).mean(axis=0) > 0.5
    return np.broadcast_to(shape, images.shape)


def take_like_images(known: Material, images: Images) -> Masks:
    """Answer with the mean mask of the five known images that look most alike as 32 × 32 pixels."""

    def shrink(many: Images) -> NDArray[np.float64]:
        small = many.reshape(len(many), 32, 4, 32, 4).mean(axis=(2, 4)).reshape(len(many), -1)
        small = small - small.mean(axis=1, keepdims=True)
        return small / np.linalg.norm(small, axis=1, keepdims=True)

    nearest = np.argsort(-shrink(images) @ shrink(known.images).T, axis=1)[:, :5]
    return known.masks.any(axis=1)[nearest].mean(axis=1) > 0.5


def take_dark_places(known: Material, images: Images) -> Masks:
    """Answer with what is darker than Otsu's threshold where lungs are in a fifth of the images."""
    places = known.masks.any(axis=1).mean(axis=0) > 0.2
    found = []
    for image in images:
        dark = (ndimage.gaussian_filter(image, 2) < _find_otsu(image[places])) & places
        closed = ndimage.binary_closing(ndimage.binary_opening(dark, iterations=2), iterations=4)
        labels, _ = ndimage.label(closed)
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        largest = np.isin(labels, np.argsort(sizes)[::-1][:2])
        found.append(ndimage.binary_fill_holes(largest & (labels > 0)))
    return np.stack(found)


def _find_otsu(levels: NDArray[np.uint8]) -> int:
    counts = np.bincount(levels, minlength=256).astype(float)
    below, sums = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above, rest = below[-1] - below, sums[-1] - sums
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = below * above * (sums / below - rest / above) ** 2
    return int(np.nanargmax(spread))


RULES = {
    "mean shape of the other patients": take_mean_shape,
    "mask of the five most similar images": take_like_images,
    "dark places where lungs usually are (Otsu)": take_dark_places,
}


def print_across(material: Material, work: Path) -> None:
    """Print the Dice on a set that the network has not seen at all."""
    print("\n| trained without | tested on | mean Dice | interval | n |\n|---|---|---|---|---|")
    for name in np.unique(material.sets):
        test = material.sets == name
        known = ~test & ~np.isin(material.groups, material.groups[test])
        finder = train_once(material.select(known), work / f"without-{name}")
        chosen = test & material.fits
        values = score(
            material.masks.any(axis=1)[chosen], both(list(finder.find_all(material.images[chosen])))
        )
        print(f"| {name} | {name} | {format_mean(values, material.groups[chosen])} |")


def print_doubts(material: Material, held_out: list[FoundLungs]) -> None:
    """Print how the measures of doubt go with the Dice, and how many failures they catch."""
    fits = material.fits
    dice = score(material.masks.any(axis=1), both(held_out))[fits]
    kept = [lungs for lungs, fit in zip(held_out, fits, strict=True) if fit]
    refused = np.array([lungs.refusal != "" for lungs in kept])
    failed = dice < _FAILED_DICE
    print(
        f"\nHeld-out images with Dice below {_FAILED_DICE}: {failed.sum()}, of which refused: ",
        end="",
    )
    print(f"{(failed & refused).sum()}; refused in all: {refused.sum()} of {len(kept)}.")
    for name in (
        "confidence",
        "agreement",
        "balance",
        "largest_component_share",
        "common_height",
        "area_share",
    ):
        values = np.array([getattr(lungs.measures, name) for lungs in kept])
        order = pd.Series(values).corr(pd.Series(dice), method="spearman")
        low = np.percentile(values, [0, 1, 5, 50]).round(3).tolist()
        print(f"- {name}: 0, 1, 5, 50th percentile {low}; rank correlation with Dice {order:.2f}")


def read_unmasked(folder: Path) -> Images:
    """Read the images of darkcovid without masks: NIH, a third source, never trained on."""
    manifest = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    table = manifest[(manifest["set"] == "darkcovid") & (manifest["lung_mask"] == "")]
    table = table.sample(300, random_state=0)
    road = build_preprocessing(DataConfig())
    return np.stack(
        [
            prepare_image(decode_image((folder / file).read_bytes()).pixels, road)
            for file in table["file"]
        ]
    )


def make_bad_pictures(images: Images) -> dict[str, Images]:
    """Make pictures without an upright pair of lungs; those marked * are of a kind trained on."""
    generator = build_generator(0, "lung-finder", "bad")
    count, side = len(images), images.shape[1]
    shuffled = images.reshape(count, 8, side // 8, 8, side // 8).transpose(0, 1, 3, 2, 4)
    shuffled = shuffled.reshape(count, 64, side // 8, side // 8)[:, generator.permutation(64)]
    shuffled = shuffled.reshape(count, 8, 8, side // 8, side // 8).transpose(0, 1, 3, 2, 4)
    return {
        "turned by 90° *": np.rot90(images, 1, axes=(1, 2)),
        "turned by -90° *": np.rot90(images, -1, axes=(1, 2)),
        "upside down *": np.rot90(images, 2, axes=(1, 2)),
        "white noise *": generator.integers(0, 256, images.shape).astype(np.uint8),
        "cut into 64 squares and shuffled *": shuffled.reshape(images.shape),
        "turned by 45°": ndimage.rotate(images, 45, axes=(1, 2), reshape=False, order=1),
        "one lung covered with black": _cover(images, slice(0, side // 2)),
        "lower part of the image only": _crop(images, top=side // 2),
        "one lung only, enlarged": _crop(images, left=0, right=side // 2),
        "photographs, drawings and text": draw_other_pictures(side),
    }


def _cover(images: Images, columns: slice) -> Images:
    covered = images.copy()
    covered[:, :, columns] = 0
    return covered


def _crop(images: Images, *, top: int = 0, left: int = 0, right: int | None = None) -> Images:
    side = images.shape[1]
    return np.stack(
        [
            np.asarray(Image.fromarray(image[top:, left:right]).resize((side, side)))
            for image in images
        ]
    )


def draw_other_pictures(side: int) -> Images:
    """Gather pictures that are no images: photographs in pieces, bars, circles, text."""
    photographs = [Image.fromarray(photo).convert("L") for photo in load_sample_images().images]
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as stream:
        photographs.append(Image.open(stream).convert("L"))
    pictures = []
    for photo in photographs:
        for left, top, share in ((0, 0, 1.0), (0, 0, 0.5), (0.5, 0.5, 0.5), (0.25, 0.25, 0.5)):
            width, height = photo.size
            box = (left * width, top * height, (left + share) * width, (top + share) * height)
            pictures.append(photo.resize((side, side), box=box))
    for number in range(8):
        page = Image.new("L", (side, side), 255 if number % 2 else 0)
        pen = ImageDraw.Draw(page)
        for line in range(4, side - 8, 4 + 2 * number):
            if number < 4:
                pen.text((6, line), "findings: none " * 2, fill=128)
            else:
                pen.ellipse((line // 2, line // 3, side - 4, side - 6), outline=128)
        pictures.append(page)
    return np.stack([np.asarray(picture) for picture in pictures])


def print_refusals(
    material: Material, held_out: list[FoundLungs], finder: LungFinder, nih: Images
) -> None:
    """Print which share of good images is refused, and which share of bad pictures."""
    print("\n| pictures | refused | n |\n|---|---|---|")
    good = np.array([lungs.refusal != "" for lungs in held_out])[material.fits]
    print(f"| good: held-out images whose masks fit | {good.mean():.1%} | {len(good)} |")
    found = finder.find_all(nih)
    refused = np.array([lungs.refusal != "" for lungs in found])
    print(f"| good: NIH images, a source never trained on | {refused.mean():.1%} | {len(nih)} |")
    for name, pictures in make_bad_pictures(nih[:100]).items():
        refused = np.array(
            [lungs.refusal != "" for lungs in finder.find_all(np.ascontiguousarray(pictures))]
        )
        print(f"| bad: {name} | {refused.mean():.1%} | {len(pictures)} |")


if __name__ == "__main__":
    main()
