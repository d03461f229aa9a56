"""What does the gate refuse: pictures of other things, altered chest X-rays, and good ones?

Command:  python benchmarks/gate.py IMAGES [--a-source 40] [--fit] [--left-out]
Time:     a few minutes on 2 cores
Needs:    IMAGES, the folder with multisource.csv. Sample pictures of scikit-image and the brain
          template of nilearn are used where these packages are installed.

Pictures lie in two halves by what they were made from. `--fit` fits weights and limits on the
development half and writes them to `predict/gate_weights`; the table is of the other half.
`--left-out` fits on both halves without one source or one kind at a time, and tests on that one.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from cxresnet import DISCLAIMER
from cxresnet.core.errors import ImageError
from cxresnet.data.decode.decoder import decode_image
from cxresnet.model.checkpoint import write_tensor_folder
from cxresnet.predict.image_gate import (
    GATE_WEIGHTS,
    Gate,
    check_picture,
    is_wide,
    list_orientations,
    load_gate,
    prepare_for_gate,
)
from cxresnet.predict.lungs import load_lung_finder, standardise
from gate_pictures import ALTERATIONS, Picture, alter, draw_phantoms, list_junk, read_sources

FRONTAL = "frontal: "
_ORIENTATIONS = 8
_PENALTY = 0.03
_REFUSED_SHARE, _BORDERLINE_SHARE = 0.005, 0.02


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture as the gate sees it.

    Attributes:
        picture: With its kind and half.
        refusal: Of the decoder or of a check of the picture; "" for neither.
        image: As the gate scores it; None where it was refused.
        is_wide: Whether it is wider than most.
    """

    picture: Picture
    refusal: str
    image: NDArray[np.uint8] | None = None
    is_wide: bool = False

    @property
    def is_frontal(self) -> bool:
        """Whether it is a chest X-ray as it should be."""
        return self.picture.kind.startswith(FRONTAL)


def main() -> None:
    """Collect, fit where asked, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--a-source", type=int, default=40)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--left-out", action="store_true")
    arguments = parser.parse_args()
    samples = [read(one) for one in list_pictures(arguments.images, arguments.a_source)]
    if arguments.fit:
        rows = build_rows([one for one in samples if one.picture.is_development])
        write(rows, GATE_WEIGHTS)
        load_gate.cache_clear()
    if arguments.left_out:
        print_left_out(build_rows(samples))
    print_table([one for one in samples if not one.picture.is_development], load_gate())


def list_pictures(folder: Path, a_source: int) -> Iterator[Picture]:
    """List good X-rays, pictures of other things, and altered X-rays (eight of each source)."""
    taken: dict[str, int] = {}
    real = read_sources(folder, a_source=a_source)
    for source, file, content in itertools.chain(real, draw_phantoms(a_source)):
        yield Picture(FRONTAL + source, file, content)
        taken[source] = taken.get(source, 0) + 1
        if taken[source] <= 8:
            for kind in ALTERATIONS:
                yield Picture(kind, file, alter(content, kind))
    yield from list_junk()


def read(picture: Picture) -> Sample:
    """Decode and prepare one picture as `predict` does."""
    try:
        decoded = decode_image(picture.content)
        if reason := check_picture(decoded.pixels, colour=decoded.colour):
            return Sample(picture, reason)
        image = prepare_for_gate(decoded.pixels)
        return Sample(picture, "", image, is_wide(decoded.pixels.shape))
    except ImageError as error:
        return Sample(picture, str(error))


# Fitting


@dataclass(frozen=True, eq=False)
class Rows:
    """Features of pictures; the chest X-rays also turned and inverted.

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


def build_rows(samples: Sequence[Sample]) -> Rows:
    """Compute the features; rotated and inverted X-rays come from the upright ones."""
    network = load_lung_finder().network
    features, good, kinds, origins = [], [], [], []
    for sample in samples:
        kind = sample.picture.kind
        if sample.image is None or kind.startswith(("rotated", "inverted")):
            continue
        count = _ORIENTATIONS if sample.is_frontal else 1
        images = torch.from_numpy(list_orientations(sample.image)[:count].astype(np.float32))
        with torch.inference_mode():
            features.append(network.forward_features(standardise(images[:, None])).numpy())
        good += [sample.is_frontal and not turn for turn in range(count)]
        kinds += [kind] * count
        origins += [sample.picture.origin] * count
    return Rows(
        np.concatenate(features).astype(np.float64),
        np.array(good),
        np.array(kinds),
        np.array(origins),
    )


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
                f"{len(np.unique(rows.kinds[rows.is_good]))} sources, the same turned and "
                f"inverted, and {int((~rows.is_good).sum())} negatives in all",
            }
        },
    )


def print_left_out(rows: Rows) -> None:
    """Fit without one source or kind at a time, and print what happens to it."""
    print("\n| left out of the fit | refused | n |\n|---|---|---|")
    for kind in dict.fromkeys(rows.kinds):
        test = rows.kinds == kind
        known = rows.select(~test & ~np.isin(rows.origins, rows.origins[test]))
        if kind in ALTERATIONS:
            known = rows.select(~test)
        weights, bias = fit(known)
        limit, _ = choose_limits(known)
        shown = test & (rows.is_good | ~np.char.startswith(rows.kinds, FRONTAL))
        refused = rows.features[shown] @ weights + bias < limit
        print(f"| {kind} | {refused.mean():.1%} | {len(refused)} |")


# Testing


GROUPS = ("chest X-rays as they are", "altered chest X-rays", "other pictures")
_RESULTS = ("mended", "let in by --fix only", "borderline", "accepted")


def print_table(samples: Sequence[Sample], gate: Gate) -> None:
    """Print what happens to each kind of picture, and to each group of kinds."""
    print(f"\n| kind | refused | {' | '.join(_RESULTS)} | n |")
    print("|---|---|" + "---|" * (len(_RESULTS) + 1))
    totals: dict[str, list[str]] = {name: [] for name in GROUPS}
    for kind in dict.fromkeys(one.picture.kind for one in samples):
        results = [judge(one, gate) for one in samples if one.picture.kind == kind]
        print(_format_row(kind, results))
        group = 0 if kind.startswith(FRONTAL) else 1 if kind in ALTERATIONS else 2
        totals[GROUPS[group]] += results
    for name, results in totals.items():
        print(_format_row(f"**all {name}**", results))


def judge(sample: Sample, gate: Gate) -> str:
    """Tell what the gate does with a picture: "refused", or one of the other results.

    "mended" is refused without `--fix`, and with it brought back as it was; where `--fix` would
    turn or invert what it should not, the picture is "let in by --fix only".
    """
    if sample.image is None:
        return "refused"
    verdict = gate.check_prepared(sample.image, is_wide=sample.is_wide)
    if verdict.can_be_mended:
        is_right = verdict.alteration == sample.picture.kind
        return "mended" if is_right else "let in by --fix only"
    if verdict.reason:
        return "refused"
    return "borderline" if verdict.is_borderline else "accepted"


def _format_row(kind: str, results: Sequence[str]) -> str:
    """Format one row; what is refused without `--fix` counts as refused."""
    counts = [results.count(name) for name in _RESULTS]
    refused = len(results) - results.count("borderline") - results.count("accepted")
    shown = " | ".join(map(str, counts))
    return f"| {kind} | {refused / len(results):.1%} | {shown} | {len(results)} |"


if __name__ == "__main__":
    main()
