"""How far do grain and tone go, without any anatomy, and does a network beside them gain by them?

    python benchmarks/texture.py DATASET [--run RUN]

DATASET is prepared with `data.folds`. 78 numbers an image that know no place: how it compresses at
two sizes, its spectrum in rings, its histogram, how rough it is and how often neighbours are
equal. A forest guesses the class of each fold from the others (extremely randomised trees, 600).
RUN is a cross-validation of the same dataset (`cxresnet train DATASET --folds`): then its networks'
mean logits and the forest's log-probabilities are added up, half of these to one of those.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import special
from sklearn.ensemble import ExtraTreesClassifier

from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.dataset.dataset_record import IMAGES_NAME
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.classification import ClassifiedImages, build_headline_statistics
from cxresnet.metrics.paired import build_pair_statistics
from cxresnet.predict import read_predictions
from cxresnet.report.formatting import format_decimal, format_decimal_interval

_RINGS = 21
_GREYS = 32
_WEIGHT = 0.5
_LEAST_PROBABILITY = 1e-3


def measure(image: NDArray[np.uint8]) -> list[float]:
    """Measure what says nothing of places."""
    return [
        *_measure_sizes(image),
        *_measure_spectrum(image),
        *_measure_tone(image),
        *_measure_roughness(image),
    ]


def _measure_sizes(image: NDArray[np.uint8]) -> list[float]:
    sizes: list[float] = []
    side = image.shape[0]
    for wanted in (side, side // 2):
        small = Image.fromarray(image).resize((wanted, wanted), Image.Resampling.BICUBIC)
        for options in (
            {"format": "PNG"},
            *({"format": "JPEG", "quality": q} for q in (95, 75, 30)),
        ):
            stream = io.BytesIO()
            small.save(stream, **options)
            sizes.append(stream.tell())
    return sizes


def _measure_spectrum(image: NDArray[np.uint8]) -> list[float]:
    power = np.abs(np.fft.fftshift(np.fft.fft2(image - image.mean()))) ** 2
    half = image.shape[0] // 2
    ring = np.hypot(*np.mgrid[-half:half, -half:half]).astype(int).ravel()
    mean = np.bincount(ring, power.ravel())[:half] / np.bincount(ring)[:half]
    return [float(np.log(part.mean() + 1e-3)) for part in np.array_split(mean[1:], _RINGS)]


def _measure_tone(image: NDArray[np.uint8]) -> list[float]:
    histogram = np.histogram(image, _GREYS, (0, 256))[0] / image.size
    return [
        *histogram,
        image.mean(),
        image.std(),
        *np.percentile(image, [1, 5, 25, 50, 75, 95, 99]),
    ]


def _measure_roughness(image: NDArray[np.uint8]) -> list[float]:
    numbers: list[float] = []
    for axis in (0, 1):
        steps = np.abs(np.diff(image.astype(np.float64), axis=axis))
        numbers += [steps.mean(), float(np.median(steps)), steps.std(), (steps == 0).mean()]
    return numbers


def guess(
    features: NDArray[np.float64], truth: NDArray[np.int64], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Guess each fold from the others; log-probabilities, (images, classes)."""
    found = np.zeros((len(truth), truth.max() + 1))
    for fold in np.unique(folds):
        forest = ExtraTreesClassifier(
            600, min_samples_leaf=2, max_features=0.3, class_weight="balanced", random_state=0
        ).fit(features[folds != fold], truth[folds != fold])
        found[folds == fold] = forest.predict_proba(features[folds == fold])
    return np.log(np.clip(found, _LEAST_PROBABILITY, 1))


def show(
    name: str,
    logits: NDArray[np.float64],
    truth: NDArray[np.int64],
    groups: NDArray[np.str_],
    class_names: tuple[str, ...],
) -> None:
    """Print a row."""
    evaluated = ClassifiedImages(
        class_names=class_names,
        truth=truth,
        predicted=logits.argmax(axis=1),
        probabilities=special.softmax(logits, axis=1),
    )
    found = compute_estimates(
        [*build_headline_statistics(evaluated), *build_pair_statistics(evaluated)],
        groups=groups,
        strata=truth,
        resamples=2000,
        confidence=0.95,
        generator=np.random.default_rng(0),
    )
    cells = [f"{format_decimal(one)} ({format_decimal_interval(one)})" for one in found.values()]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure, guess, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--run", type=Path)
    given = parser.parse_args()
    dataset = open_dataset(given.dataset)
    manifest = dataset.manifest
    images = np.load(dataset.path / IMAGES_NAME, mmap_mode="r")
    features = np.array([measure(np.asarray(image)) for image in images])
    truth = manifest["class_name"].map(list(dataset.class_names).index).to_numpy(np.int64)
    groups = manifest["group_id"].to_numpy(str)
    logits = guess(features, truth, manifest["fold"].to_numpy())
    print(f"{len(truth)} images, {features.shape[1]} numbers, {images.shape[1]} px")
    print("| | accuracy | balanced accuracy | macro F1 | macro AUROC | pairs: AUROC … |")
    show("grain and tone", logits, truth, groups, dataset.class_names)
    if given.run is None:
        return
    tables = [
        read_predictions(path)
        for path in sorted(RunFolder(given.run).train.glob("predictions_seed-*.csv"))
    ]
    order = [tables[0].image_ids.index(name) for name in manifest["image_id"]]
    networks = np.mean([table.logits for table in tables], axis=0)[order]
    show(f"{len(tables)} networks", networks, truth, groups, dataset.class_names)
    show("both", networks + _WEIGHT * logits, truth, groups, dataset.class_names)


if __name__ == "__main__":
    main()
