"""Does `predict` know the images that a network was trained on, and no others?

Command:  python benchmarks/known_images.py RUN IMAGES [--images 300]
Time:     one minute on one core
Needs:    RUN, evaluated; IMAGES, the folder that its dataset was prepared from

The share of training images, as they are and changed, that are called known; of validation images,
which must not be; and of images that lie far from the training images: validation images (1 in 100
by construction), the same turned and inverted, and noise.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from cxresnet.core.run_folder import open_run_folder
from cxresnet.core.seeding import build_generator
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.predict.predictor import load_predictor
from cxresnet.predict.training_images import describe_training_images, read_training_images


def _encode(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
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
    "as they are": _encode,
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
    parser.add_argument("--images", type=int, default=300)
    arguments = parser.parse_args()
    run = open_run_folder(arguments.run)
    dataset, predictor = open_dataset(run.read_dataset_path()), load_predictor(run.checkpoint)
    training, validation = dataset.select("train"), dataset.select("val").images
    known = read_training_images(run) or describe_training_images(
        predictor, training.images, validation=validation
    )
    names = build_generator(0, "known images").permutation(training.manifest["image_id"])
    print("| images | called known | n |\n|---|---|---|")
    for change, make in CHANGES.items():
        found = []
        for name in names[: arguments.images]:
            with Image.open(arguments.source / name) as image:
                found.append(known.holds(predictor.prepare(make(image.convert("L")))))
        print(f"| training images, {change} | {np.mean(found):.1%} | {len(found)} |")
    wrong = [known.holds(image) for image in validation]
    print(f"| validation images | {np.mean(wrong):.1%} | {len(wrong)} |")
    noise = build_generator(0, "noise").integers(0, 256, validation[:100].shape, dtype=np.uint8)
    print("\n| images | far | n |\n|---|---|---|")
    for kind, images in {
        "validation images": validation,
        "… turned by 180°": np.ascontiguousarray(np.rot90(validation, 2, axes=(1, 2))),
        "… turned by 90°": np.ascontiguousarray(np.rot90(validation, axes=(1, 2))),
        "… inverted": 255 - np.asarray(validation),
        "noise": noise,
    }.items():
        far = known.measure_distances(predictor.compute_features(images)) > known.limit
        print(f"| {kind} | {far.mean():.1%} | {len(far)} |")


if __name__ == "__main__":
    main()
