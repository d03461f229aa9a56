"""What does the gate refuse: pictures of other things, altered chest X-rays, and good ones?

Command:  python benchmarks/gate.py IMAGES --others OTHERS [--cache CACHE] [--stored] [--fit FOLDER]
Time:     some ten minutes on 2 cores; seconds with --stored
Needs:    IMAGES, the folder with multisource.csv and unknown-disease.csv; OTHERS, a folder with one
          folder of other pictures a package (docs/benchmarks.md says which). Sample pictures of
          scikit-image and the brain templates of nilearn are used where these are installed.

The table is of all pictures and of the gate that is shipped. CACHE keeps the features of each
picture, so that a stopped call goes on where it was; `--stored` needs no picture at all, and takes
everything from CACHE as the last call left it.

`--fit` fits another gate on half the pictures, writes it to FOLDER, and prints the table of the
other half for it. The halves part patients, photographs and volumes; `nlm` and `belarus` are only
tested. The shipped weights were fitted by the same rules on fewer pictures.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from cxresnet import DISCLAIMER
from cxresnet.core.errors import ImageError
from cxresnet.data.decode.decoder import decode_image
from cxresnet.model.checkpoint import write_tensor_folder
from cxresnet.predict.image_gate import (
    MAX_USUAL_ASPECT,
    Gate,
    GateVerdict,
    check_picture,
    list_orientations,
    load_gate,
    prepare_for_gate,
)
from cxresnet.predict.lungs import load_lung_finder, standardise
from gate_others import list_others
from gate_pictures import (
    ALTERATIONS,
    CUTS,
    HALVES,
    TURNS,
    Picture,
    alter,
    draw_others,
    draw_phantoms,
    read_sources,
)

FRONTAL = "frontal: "
ONLY_TESTED = ("nlm", "belarus")
"""Sources that are not fitted on: how the gate does on a hospital that it has not seen."""

_A_SOURCE = 250
_FITTED_ALTERED, _TESTED_ALTERED = 40, 20
_TURNED_SHARE = 3
"""Of so many pictures one is also looked at turned and inverted; of `TURNS` every one is."""

_ORIENTATIONS = 8
_PENALTY = 0.03
_REFUSED_SHARE, _BORDERLINE_SHARE = 0.005, 0.02


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture as the gate sees it.

    Attributes:
        picture: With its kind and half; without its content.
        features: Of its orientations, (orientation, feature), the last one width over height before
            it was turned; without rows where the decoder or a check of the picture refused it.
    """

    picture: Picture
    features: NDArray[np.float32]

    @property
    def is_frontal(self) -> bool:
        """Whether it is a chest X-ray as it should be."""
        return self.picture.kind.startswith(FRONTAL)

    @property
    def is_development(self) -> bool:
        """Whether `--fit` may use it."""
        is_fitted = self.picture.kind.removeprefix(FRONTAL) not in ONLY_TESTED
        return self.picture.is_development and is_fitted


def main() -> None:
    """Collect, fit where asked, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--others", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--stored", action="store_true")
    parser.add_argument("--fit", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.stored and not arguments.cache:
        parser.error("--stored needs --cache")
    if arguments.stored:
        samples = restore(arguments.cache / _STORED)
    else:
        samples = collect(arguments.images, arguments.others, arguments.cache)
    gate = load_gate()
    if arguments.fit:
        write(build_rows([one for one in samples if one.is_development]), arguments.fit)
        samples = [one for one in samples if not one.is_development]
        gate = load_gate(arguments.fit)
    print_table(samples, gate)


# Collecting


_STORED = "samples.npz"


def collect(images: Path, others: Path | None, cache: Path | None) -> list[Sample]:
    """Collect the features of all pictures, and store them where a cache is given."""
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    samples = [read(picture, cache) for picture in list_pictures(images, others)]
    if cache is not None:
        store(cache / _STORED, samples)
    return samples


def store(path: Path, samples: Sequence[Sample]) -> None:
    """Store the features of all pictures, so that a later call needs no picture."""
    np.savez(
        path,
        kinds=[one.picture.kind for one in samples],
        origins=[one.picture.origin for one in samples],
        are_new=[one.picture.is_new for one in samples],
        counts=[len(one.features) for one in samples],
        features=np.concatenate([one.features for one in samples if len(one.features)]),
    )


def restore(path: Path) -> list[Sample]:
    """Read what `store` stored."""
    with np.load(path) as content:
        names = ("kinds", "origins", "are_new", "counts")
        kinds, origins, are_new, counts = (content[name].tolist() for name in names)
        parts = np.split(content["features"], np.cumsum(counts)[:-1])
    return [
        Sample(Picture(kind, origin, b"", is_new), part)
        for kind, origin, is_new, part in zip(kinds, origins, are_new, parts, strict=True)
    ]


def list_pictures(folder: Path, others: Path | None) -> Iterator[Picture]:
    """List good X-rays, altered ones (a few of each source), and pictures of other things."""
    taken: dict[tuple[str, bool], int] = {}
    for source, origin, content in _list_x_rays(folder):
        whole = Picture(FRONTAL + source, origin, content)
        yield whole
        # Turned images for the fit are computed from the upright ones.
        is_fitted = Sample(whole, np.empty((0, 0), np.float32)).is_development
        taken[source, is_fitted] = taken.get((source, is_fitted), 0) + 1
        if taken[source, is_fitted] <= (_FITTED_ALTERED if is_fitted else _TESTED_ALTERED):
            for kind, change in ALTERATIONS.items():
                if not (is_fitted and kind in TURNS):
                    yield Picture(kind, origin, alter(content, change))
    yield from draw_others()
    yield from list_others(others)


def _list_x_rays(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    yield from read_sources(folder, a_source=_A_SOURCE)
    yield from draw_phantoms(60)


def read(picture: Picture, cache: Path | None) -> Sample:
    """Compute the features of one picture as `predict` does, or read them from the cache."""
    known = Picture(picture.kind, picture.origin, b"", picture.is_new)
    sample = Sample(known, np.empty((0, 0), np.float32))
    digest = hashlib.sha256(picture.content).hexdigest()
    is_chosen = int(digest, 16) % _TURNED_SHARE == 0
    all_turns = (is_chosen and sample.is_frontal == sample.is_development) or known.kind in TURNS
    count = _ORIENTATIONS if all_turns else 1
    path = None if cache is None else cache / f"{digest[:32]}-{count}.npy"
    if path is None or not path.is_file():
        features = compute(picture.content, count)
        if path is not None:
            np.save(path, features)
        return Sample(known, features)
    return Sample(known, np.load(path))


def compute(content: bytes, count: int) -> NDArray[np.float32]:
    """Compute the features of the first orientations; without rows for what a check refuses."""
    try:
        decoded = decode_image(content)
        if check_picture(decoded.pixels, colour=decoded.colour):
            return np.empty((0, 0), np.float32)
        images = list_orientations(prepare_for_gate(decoded.pixels))[:count].astype(np.float32)
    except ImageError:
        return np.empty((0, 0), np.float32)
    with torch.inference_mode():
        inputs = standardise(torch.from_numpy(images).unsqueeze(1))
        means = load_lung_finder().network.forward_features(inputs).numpy()
    height, width = decoded.pixels.shape
    return np.column_stack([means, np.full(count, width / height, np.float32)])


# Fitting


@dataclass(frozen=True, eq=False)
class Rows:
    """Features of pictures; some chest X-rays also turned and inverted.

    Attributes:
        features: (row, feature).
        is_good: Which rows are accepted ideally, (row,).
        kinds: Of the picture, (row,).
        origins: Rows with one origin are never fitted and tested on both, (row,).
    """

    features: NDArray[np.float64]
    is_good: NDArray[np.bool_]
    kinds: NDArray[np.str_]
    origins: NDArray[np.str_]

    def select(self, chosen: NDArray[np.bool_]) -> Rows:
        """Select rows."""
        return Rows(*(array[chosen] for array in vars(self).values()))


def build_rows(samples: Iterable[Sample]) -> Rows:
    """Gather what no check of the picture refused, but halves that are pressed to a square."""
    features, good, kinds, origins = [], [], [], []
    for sample in samples:
        kind = sample.picture.kind
        for turn, row in enumerate(() if kind in HALVES.keys() - CUTS.keys() else sample.features):
            features.append(row[:-1])
            good.append(sample.is_frontal and turn == 0)
            kinds.append(kind)
            origins.append(sample.picture.origin)
    return Rows(np.array(features, np.float64), np.array(good), np.array(kinds), np.array(origins))


def fit(rows: Rows) -> tuple[NDArray[np.float64], float]:
    """Fit a linear score; gives weights and bias for the raw features."""
    scaler = StandardScaler().fit(rows.features)
    model = LogisticRegression(C=_PENALTY, class_weight="balanced", max_iter=3000)
    model.fit(scaler.transform(rows.features), rows.is_good)
    weights = model.coef_[0] / scaler.scale_
    return weights, float(model.intercept_[0] - weights @ scaler.mean_)


def score_left_out(rows: Rows) -> NDArray[np.float64]:
    """Score each row with weights that were fitted without its origin."""
    scores = np.empty(len(rows.is_good))
    for known, test in GroupKFold(5).split(rows.features, groups=rows.origins):
        weights, bias = fit(rows.select(np.isin(np.arange(len(scores)), known)))
        scores[test] = rows.features[test] @ weights + bias
    return scores


def choose_limits(rows: Rows) -> tuple[float, float]:
    """Choose the lowest score accepted, and the lowest that is not borderline."""
    good = score_left_out(rows)[rows.is_good]
    limit, usual = np.quantile(good, (_REFUSED_SHARE, _BORDERLINE_SHARE))
    return float(limit), float(usual)


def write(rows: Rows, folder: Path) -> None:
    """Fit, choose the limits, and write both."""
    weights, bias = fit(rows)
    limit, usual = choose_limits(rows)
    print(f"limit {limit:.2f}, borderline below {usual:.2f}, {len(rows.is_good)} rows")
    write_tensor_folder(
        folder,
        tensors={
            "weights": {
                "weights": torch.tensor(weights, dtype=torch.float32),
                "bias": torch.tensor([bias], dtype=torch.float32),
            }
        },
        documents={
            "record": {
                "format": 1,
                "disclaimer": DISCLAIMER,
                "limit": round(limit, 3),
                "usual": round(usual, 3),
                "fitted_on": f"{int(rows.is_good.sum())} chest X-rays of "
                f"{len(np.unique(rows.kinds[rows.is_good]))} sources, some turned and "
                f"inverted, and {int((~rows.is_good).sum())} negatives in all",
            }
        },
    )


# Testing


_JOINED = {
    "rotated by 90° or 180°, inverted, both (five ways)": tuple(TURNS),
    "left and right halves": ("left half", "right half"),
    "upper and lower halves": ("upper half", "lower half"),
    "halves pressed to a square": tuple(HALVES.keys() - CUTS.keys()),
    "text, screenshots, plots, drawings, noise": (
        *("text", "text, scanned", "screenshot", "plot", "drawing", "noise"),
    ),
    "drawn CT slices of a chest, drawn hands": ("drawn CT slice of a chest", "drawn hand"),
    "photographs in colour and grey, pieces of them": (
        *("photograph in colour", "photograph in grey", "piece of a photograph in grey"),
    ),
    "clip art": ("clip art in colour", "clip art in grey"),
}
"""Rows of the table that stand for several kinds; any other kind has its own."""

_ROWS = {kind: row for row, kinds in _JOINED.items() for kind in kinds}

_TOTALS: dict[str, Callable[[Sample], bool]] = {
    "chest X-rays as they are": lambda one: one.is_frontal,
    "turned, inverted and halves": lambda one: one.picture.kind in TURNS | CUTS,
    "other pictures": lambda one: not (one.is_frontal or one.picture.kind in ALTERATIONS),
    "pictures of the packages in OTHERS": lambda one: one.picture.is_new and not one.is_frontal,
}

_RESULTS = ("mended", "let in by --fix only", "borderline", "decided on")


def print_table(samples: Sequence[Sample], gate: Gate) -> None:
    """Print what happens to each kind of picture, and to groups of kinds."""
    print(f"\n| kind | refused | 95 % interval | {' | '.join(_RESULTS)} | n | made from |")
    print("|---|---|---|" + "---|" * (len(_RESULTS) + 2))
    rows: dict[str, list[Sample]] = {}
    for sample in samples:
        rows.setdefault(_ROWS.get(sample.picture.kind, sample.picture.kind), []).append(sample)
    for name, belongs in _TOTALS.items():
        rows[f"**all {name}**"] = [one for one in samples if belongs(one)]
    for name, chosen in rows.items():
        if chosen:
            print(_format_row(name, chosen, gate))


def judge(sample: Sample, gate: Gate) -> str:
    """Tell what the gate does with a picture: "refused", or one of the other results.

    "mended" is refused without `--fix`, and with it brought back as it was; where `--fix` would
    turn or invert what it should not, the picture is "let in by --fix only"; that is looked for
    where the features of all orientations were computed.
    """
    if not len(sample.features):
        return "refused"
    scores = sample.features[:, :-1] @ gate.weights.numpy() + gate.bias
    is_wide = sample.features[0, -1] > MAX_USUAL_ASPECT
    if scores[0] >= (gate.usual if is_wide else gate.limit):
        return "borderline" if scores[0] < gate.usual else "decided on"
    best = int(np.argmax(scores[1:])) + 1 if len(scores) > 1 else 0
    if scores[best] < gate.limit or not best:
        return "refused"
    found = GateVerdict(quarter_turns=best % 4, is_inverted=best >= 4)
    return "mended" if found.alteration == sample.picture.kind else "let in by --fix only"


def _format_row(kind: str, samples: Sequence[Sample], gate: Gate) -> str:
    """Format one row; what is refused without `--fix` counts as refused."""
    results = [judge(one, gate) for one in samples]
    counts = [results.count(name) for name in _RESULTS]
    refused = len(results) - results.count("borderline") - results.count("decided on")
    interval = binomtest(refused, len(results)).proportion_ci(method="wilson")
    origins = len({one.picture.origin for one in samples})
    shown = " | ".join(f"{count:,}" for count in [*counts, len(results), origins])
    share = f"{refused / len(results):.1%}, {refused:,}"
    return f"| {kind} | {share} | {interval.low:.1%}–{interval.high:.1%} | {shown} |"


if __name__ == "__main__":
    main()
