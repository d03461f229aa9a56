"""How fast phantoms are drawn, and how far a 16×16 thumbnail gets.

Run: python benchmarks/phantoms.py [--images-per-class 200]
Prints images a second on one core, and the accuracy of a logistic regression and of a random forest
on 16×16 thumbnails (five folds, no patient in two), to set beside the network's.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.sources.phantom import PhantomSource

JUDGES = {
    "logistic regression": make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)
    ),
    "random forest": RandomForestClassifier(300, random_state=0),
}


def shrink(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, (1, 99))
    even = np.clip((image - low) / (high - low), 0, 1)
    return even.reshape(16, 14, 16, 14).mean(axis=(1, 3)).ravel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images-per-class", type=int, default=200)
    settings = PhantomSettings(images_per_class=parser.parse_args().images_per_class)
    source = PhantomSource(settings)
    records = source.scan().records
    source.read(records[0].location)  # fills the caches that every image shares
    started, worked = time.perf_counter(), time.process_time()
    images = [np.asarray(source.read(record.location)) for record in records]
    wall, work = time.perf_counter() - started, time.process_time() - worked
    print(
        f"{len(images)} images of {settings.side_px} px: {len(images) / wall:.0f} a second by the "
        f"clock, {len(images) / work:.0f} a second of processor time"
    )
    thumbnails = np.stack([shrink(image) for image in images])
    classes = [record.class_name for record in records]
    patients = [record.patient_id for record in records]
    for name, judge in JUDGES.items():
        folds = cross_val_score(judge, thumbnails, classes, groups=patients, cv=GroupKFold(5))
        spread = f"folds {folds.min():.3f} to {folds.max():.3f}"
        print(f"16×16 {name}: accuracy {folds.mean():.3f} ({spread})")


if __name__ == "__main__":
    main()
