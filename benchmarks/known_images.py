"""Does `predict` know the images that a network was trained on, and no others?

Command:  python benchmarks/known_images.py RUN IMAGES [--images 150]
Time:     one minute on one core
Needs:    RUN, evaluated; IMAGES, the folder that its dataset was prepared from

The share of training images, as they are and changed, that are called known; of validation images,
which must not be; and of images that lie far from the training images: validation images (1 in 100
by construction), 200 of them turned and inverted, and noise.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet.core.run_folder import open_run_folder
from cxresnet.core.seeding import build_generator
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.predict.predictor import Predictor, load_predictor
from cxresnet.predict.training_images import (
    TrainingImages,
    describe_training_images,
    read_training_images,
)

_ALTERED = 200
_NOISE = 50


def _encode(image: Image.Image, kind: str = "BMP", **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _darken(level: float) -> float:
    return 255 * float((level / 255) ** 1.3)


def _crop(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop(
        (int(0.02 * width), int(0.02 * height), int(0.98 * width), int(0.98 * height))
    )


CHANGES: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG, quality 50": lambda image: _encode(image, "JPEG", quality=50),
    "224 × 224 pixels": lambda image: _encode(image.resize((224, 224))),
    "darker, gamma 1.3": lambda image: _encode(image.point(_darken)),
    "2 % cut off at each edge": lambda image: _encode(_crop(image)),
}


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("--images", type=int, default=150)
    arguments = parser.parse_args()
    run = open_run_folder(arguments.run)
    dataset, predictor = open_dataset(run.read_dataset_path()), load_predictor(run.checkpoint)
    training, validation = dataset.select("train"), np.asarray(dataset.select("val").images)
    known = read_training_images(run) or describe_training_images(
        predictor, training.images, validation=validation
    )
    names = build_generator(0, "known images").permutation(training.manifest["image_id"])
    paths = [arguments.source / str(name) for name in names[: arguments.images]]
    print("| images | called known | n |\n|---|---|---|")
    for kind, found in find_known(known, predictor, paths).items():
        _print_row(f"training images, {kind}", found)
    _print_row("validation images", [known.holds(image) for image in validation])
    print("\n| images | far | n |\n|---|---|---|")
    for kind, images in list_altered(validation):
        distances = known.measure_distances(predictor.compute_features(images))
        _print_row(kind, (distances > known.limit).tolist())


def find_known(
    known: TrainingImages, predictor: Predictor, paths: Sequence[Path]
) -> dict[str, list[bool]]:
    """Find which files are called known, as they are and after each change."""
    found: dict[str, list[bool]] = {kind: [] for kind in ("as they are", *CHANGES)}
    for path in paths:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            grey = image.convert("L")
        versions = {"as they are": content} | {kind: CHANGES[kind](grey) for kind in CHANGES}
        for kind, version in versions.items():
            found[kind].append(known.holds(predictor.prepare(version)))
    return found


def list_altered(validation: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """List validation images as they are, turned and inverted, and noise."""
    some = build_generator(0, "altered").permutation(validation)[:_ALTERED]
    yield "validation images", validation
    for turns in (1, 2, 3):
        turned = np.rot90(some, turns, axes=(1, 2))
        yield f"… turned by {90 * turns}° anticlockwise", np.ascontiguousarray(turned)
    yield "… inverted", 255 - some
    shape = (_NOISE, *validation.shape[1:])
    yield "noise", build_generator(0, "noise").integers(0, 256, shape, dtype=np.uint8)


def _print_row(kind: str, found: Sequence[bool]) -> None:
    print(f"| {kind} | {sum(found)} ({np.mean(found):.1%}) | {len(found)} |", flush=True)


if __name__ == "__main__":
    main()
