"""Were the images of a source filtered, upscaled or compressed again before they came here?

Public collections are copied from hand to hand, and a copy may have lost what a diagnosis needs.
One copy of a well-known Kaggle data set had gone through a superpixel filter: its images looked
like X-rays at thumbnail size and held no lung texture. Such a source is useless for training, and
where it stands beside others, the class can be predicted from its texture.

The limits were set on eleven public sources of 224 to 512 px. Medians of ten of them: flat patches
0.00 to 0.09, bandwidth 0.93 and more; of the filtered copy: flat patches 0.42. Six images each
of four sources: after they were upscaled twofold, bandwidth 0.37 to 0.72; block edges 1.01 to 1.02
after they were reduced, and 1.03 to 1.29 after they were stored as JPEG of quality 85.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from cxresnet.core.finding import Finding, Measure, Verdict

_RED_FLAT, _AMBER_FLAT = 0.30, 0.20
_MIN_FLAT_EXCESS = 0.15
_AMBER_BANDWIDTH = 0.60
_AMBER_BLOCK_EDGES = 1.08
_MIN_IMAGES = 5
_COMPRESSED_FORMATS = ("JPEG", "WEBP")
"""Formats in which block edges are expected."""

_TITLE = "Filtered or re-encoded images"


def check_image_processing(manifest: pd.DataFrame) -> Finding | None:
    """Check whether the images of a source were filtered, upscaled or compressed again.

    Args:
        manifest: With the columns `source`, `file_format`, `flat_patch_share`, `bandwidth_share`
            and `block_edge_strength`.

    Returns:
        Red where a source has flat patches in at least 30 % of the median image, and 15 percentage
        points more than the median image of the other sources, if there are any. Amber from 20 %
        on, or with signs of upscaling or of a JPEG file inside another format; else green. None
        where no source has 5 images.
    """
    counts = manifest["source"].value_counts()
    sources = sorted(str(source) for source in counts.index[counts >= _MIN_IMAGES])
    if not sources:
        return None
    found = [problem for source in sources for problem in _find_problems(manifest, source)]
    verdicts = {verdict for verdict, _ in found}
    verdict: Verdict = "red" if "red" in verdicts else "amber" if "amber" in verdicts else "green"
    # The worst first, so that the first sentence is about what gave the verdict.
    sentences = [sentence for _, sentence in sorted(found, key=lambda one: one[0] != "red")]
    return Finding(
        question="image_processing",
        title=_TITLE,
        verdict=verdict,
        sentence=" ".join(sentences) or _word_green(manifest),
        measures=tuple(measure for source in sources for measure in _measure(manifest, source)),
    )


def _find_problems(manifest: pd.DataFrame, source: str) -> Iterator[tuple[Verdict, str]]:
    own = manifest["source"] == source
    for problem in (
        _find_flat_patches(manifest, own, source),
        _find_upscaling(manifest, own, source),
        _find_block_edges(manifest, own, source),
    ):
        if problem is not None:
            yield problem


def _find_flat_patches(
    manifest: pd.DataFrame, own: pd.Series, source: str
) -> tuple[Verdict, str] | None:
    flat = float(manifest["flat_patch_share"][own].median())
    if flat < _AMBER_FLAT:
        return None
    others = manifest["flat_patch_share"][~own].median()
    is_higher = bool(own.all()) or flat - others >= _MIN_FLAT_EXCESS
    against = "" if own.all() else f", against {others:.0%} in the other sources"
    sentence = (
        f"In the median image of {source}, {flat:.0%} of the patches of 5 × 5 pixels are flat"
        f"{against}: "
    )
    if flat >= _RED_FLAT and is_higher:
        return "red", (
            f"{sentence}these images were probably filtered (smoothed or turned into superpixels) "
            "and have lost lung texture. Do not train or test on them before you have compared "
            "them with the original images."
        )
    return "amber", f"{sentence}they may have been filtered. Look at some of them at full size."


def _find_upscaling(
    manifest: pd.DataFrame, own: pd.Series, source: str
) -> tuple[Verdict, str] | None:
    bandwidth = float(manifest["bandwidth_share"][own].median())
    if bandwidth >= _AMBER_BANDWIDTH:
        return None
    others = manifest["bandwidth_share"][~own].median()
    against = "" if own.all() else f" ({others:.0%} in the other sources)"
    return "amber", (
        f"The median image of {source} holds detail only up to {bandwidth:.0%} of the highest "
        f"spatial frequency of its pixels{against}: these images were probably upscaled or "
        "smoothed."
    )


def _find_block_edges(
    manifest: pd.DataFrame, own: pd.Series, source: str
) -> tuple[Verdict, str] | None:
    lossless = own & ~manifest["file_format"].isin(_COMPRESSED_FORMATS)
    edges = manifest["block_edge_strength"][lossless]
    if len(edges) < _MIN_IMAGES or float(edges.median()) < _AMBER_BLOCK_EDGES:
        return None
    share = float((edges >= _AMBER_BLOCK_EDGES).mean())
    formats = " or ".join(sorted(set(manifest["file_format"][lossless].astype(str))))
    return "amber", (
        f"{share:.0%} of the {formats} images of {source} show the block edges of JPEG: these "
        "images were compressed and stored again in another format."
    )


def _word_green(manifest: pd.DataFrame) -> str:
    flat = float(manifest["flat_patch_share"].median())
    return (
        "No source shows signs of filtering, upscaling or repeated compression (flat patches in "
        f"the median image: {flat:.0%})."
    )


def _measure(manifest: pd.DataFrame, source: str) -> Iterator[Measure]:
    own = manifest[manifest["source"] == source]
    for name, column, note in (
        ("Share of flat patches", "flat_patch_share", "5 × 5 pixels within one grey level"),
        ("Bandwidth", "bandwidth_share", "as a share of the highest frequency; low: upscaled"),
        ("Strength of block edges", "block_edge_strength", "1: none; expected in JPEG files"),
    ):
        low, high = own[column].quantile([0.1, 0.9])
        yield Measure(
            name=f"{name}, {source} (median)",
            value=float(own[column].median()),
            n=len(own),
            note=f"{note}; 80 % of the images between {low:.2f} and {high:.2f}",
        )
