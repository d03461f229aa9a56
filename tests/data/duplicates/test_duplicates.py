from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxresnet.data.duplicates import (
    FINGERPRINT_SIZE_BYTES,
    compute_fingerprint,
    compute_fingerprints,
    find_clusters,
    find_near_duplicates,
    fingerprint,
    verification,
)
from cxresnet.data.duplicates import clusters as clusters_module
from cxresnet.data.duplicates.clusters import find_near_pairs
from cxresnet.data.duplicates.fingerprint import equalise_histograms
from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.sources.phantom import PhantomSource


def draw_images(images_per_class: int, *, images_per_patient: int = 1) -> list[np.ndarray]:
    source = PhantomSource(
        PhantomSettings(
            images_per_class=images_per_class,
            max_images_per_patient=images_per_patient,
            side_px=160,
        )
    )
    return [np.asarray(source.read(location)) for location in source.plans]


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Sixty unrelated images."""
    return draw_images(20)


@pytest.fixture(scope="module")
def known(images: list[np.ndarray]) -> np.ndarray:
    return compute_fingerprints(images)


def encode(image: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height)))


def test_a_fingerprint_by_hand() -> None:
    # Half of the image is 0, half is 1: mean 0.5, standard deviation 0.5. One deviation is 48 grey
    # levels around 127.5, so 79.5 and 175.5, rounded to even. Quarters, so that no border is even.
    quarters = np.zeros((64, 64), dtype=np.float32)
    quarters[:32, 32:] = 1
    quarters[32:, :32] = 1
    thumbnail = compute_fingerprint(quarters).reshape(32, 32)
    assert np.unique(thumbnail).tolist() == [80, 176]
    assert thumbnail[0, 0] == 80
    assert thumbnail[0, 31] == 176


@pytest.mark.slow
def test_padding_is_cut_off_whatever_its_grey(images: list[np.ndarray]) -> None:
    plain = compute_fingerprint(images[0] / np.float32(255))
    for grey in (0, 128, 255):
        padded = np.pad(images[0], ((20, 7), (0, 30)), constant_values=grey)
        found = compute_fingerprint(padded / np.float32(255))
        np.testing.assert_array_equal(found, plain)


def test_padding_over_an_even_border_is_cut_off_with_it(images: list[np.ndarray]) -> None:
    bordered = np.pad(images[0], 9, constant_values=12)
    twice = np.pad(bordered, 15, constant_values=255)
    first, second = compute_fingerprints([bordered, twice])
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
def test_an_even_image_has_a_fingerprint_too(grey: float) -> None:
    image = np.full((40, 50), grey, dtype=np.float32)
    assert compute_fingerprint(image).shape == (FINGERPRINT_SIZE_BYTES,)


def test_the_smallest_image_has_a_fingerprint() -> None:
    assert compute_fingerprint(np.array([[0.2]], dtype=np.float32)).shape == (1024,)


def posterise(image: np.ndarray, *, greys: int, gamma: float) -> np.ndarray:
    steps = np.floor((image / 255) ** gamma * greys).clip(0, greys - 1)
    return (steps * (255 / (greys - 1))).astype(np.uint8)


CHANGES = {
    "the same": lambda image: image,
    "JPEG 40": lambda image: encode(image, 40),
    "half the size": lambda image: resize(image, 80, 80),
    "another shape": lambda image: resize(image, 200, 150),
    "padded": lambda image: np.pad(image, ((0, 0), (25, 25))),
    "brighter": lambda image: np.clip(image * 1.1, 0, 255).astype(np.uint8),
    "darker": lambda image: (image * 0.9).astype(np.uint8),
    "cropped": lambda image: image[4:-1, 2:-4],
    "mirrored": lambda image: image[:, ::-1],
    "mirrored, cropped, JPEG 60": lambda image: encode(image[3:-3, ::-1], 60),
    "another tone, in sixteen greys": lambda image: posterise(image, greys=16, gamma=1.6),
}


def test_evened_tones_are_the_ranks_of_the_greys() -> None:
    thumbnail = np.array([[[5, 5], [9, 200]]], dtype=np.uint8)
    # Ranks 0 and 1 share 0.5 of 3: 42 of 255; then 2 of 3: 170; and 3 of 3: 255.
    assert equalise_histograms(thumbnail).tolist() == [[[42, 42], [170, 255]]]
    assert (equalise_histograms(np.full((1, 4, 4), 9, dtype=np.uint8)) == 127).all()
    assert equalise_histograms(np.zeros((0, 4, 4), dtype=np.uint8)).shape == (0, 4, 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_a_copy_lands_in_its_originals_cluster(
    name: str, images: list[np.ndarray], known: np.ndarray
) -> None:
    near_duplicates = compute_fingerprints([CHANGES[name](image) for image in images[:15]])
    clusters = find_clusters(np.concatenate([known, near_duplicates]))
    np.testing.assert_array_equal(clusters[: len(images)], np.arange(len(images)))
    np.testing.assert_array_equal(clusters[len(images) :], np.arange(15))


@pytest.mark.slow
def test_two_images_of_one_patient_are_not_copies() -> None:
    images = draw_images(30, images_per_patient=4)
    assert len(np.unique(find_clusters(compute_fingerprints(images)))) >= 0.98 * len(images)


@pytest.mark.slow
def test_a_mirrored_copy_is_said_to_be_one(images: list[np.ndarray]) -> None:
    near_duplicates = find_near_duplicates(
        compute_fingerprints([images[0], images[1], images[0][:, ::-1]])
    )
    assert near_duplicates.pairs.tolist() == [[0, 2]]
    assert near_duplicates.mirrored.tolist() == [True]
    assert near_duplicates.agreement[0] > 0.99


def test_how_well_copies_must_agree(known: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.92 by greys, or else 0.90 by ranks of greys; the first of three pairs, then the others."""
    asked: list[tuple[bool, int]] = []

    def measure(thumbnails: np.ndarray, pairs: np.ndarray, *, mirrored: bool) -> np.ndarray:
        by_greys = not asked or asked[-1][0] != mirrored
        asked.append((mirrored, len(pairs)))
        if mirrored:
            return np.zeros(len(pairs), dtype=np.float32)
        assert np.array_equal(thumbnails.reshape(3, -1), known[:3]) == by_greys
        return np.array([0.92, 0.9199, 0.5] if by_greys else [0.90, 0.8999], dtype=np.float32)

    monkeypatch.setattr(clusters_module, "measure_agreement", measure)
    near_duplicates = find_near_duplicates(known[:3])
    assert near_duplicates.pairs.tolist() == [[0, 1], [0, 2]]
    assert near_duplicates.agreement == pytest.approx([0.92, 0.9199])
    assert asked == [(False, 3), (False, 2), (True, 3), (True, 3)]


def test_neighbours_are_pairs_of_two_once_and_alike_enough() -> None:
    def turn(*cosines: float) -> np.ndarray:
        """An image, and others at these cosines from it, at right angles otherwise."""
        vectors = np.zeros((len(cosines) + 1, len(cosines) + 1), dtype=np.float32)
        vectors[0, 0] = 1
        for row, cosine in enumerate(cosines, start=1):
            vectors[row, 0], vectors[row, row] = cosine, np.sqrt(1 - cosine**2)
        return vectors

    generator = np.random.default_rng(0)
    vectors = turn(0.67, 0.65, 0.75)
    assert find_near_pairs(vectors, vectors, generator).tolist() == [[0, 1], [0, 3]]
    # In the other view the first two have changed places, and the last is its own mirror image.
    turned = vectors[[1, 0, 2, 3]]
    assert find_near_pairs(vectors, turned, generator).tolist() == [[0, 1], [0, 3], [1, 3]]
    # Of what is alike the six nearest are kept; here the first image alone asks.
    many = turn(*np.linspace(0.70, 0.77, 8).tolist())
    asking = np.where(np.arange(9)[:, None] == 0, many, np.float32(0))
    kept = find_near_pairs(many, asking, generator)
    assert kept.tolist() == [[0, row] for row in range(3, 9)]


def test_the_cells_of_an_image_are_those_of_its_nearest_centres() -> None:
    vectors = _draw_unit_vectors(300)
    centres = vectors[:30]
    order = np.argsort(-(vectors @ centres.T), axis=1, kind="stable")[:, :10]
    expected = [np.flatnonzero((order == number).any(axis=1)).tolist() for number in range(30)]
    cells = clusters_module._assign(vectors, centres)
    assert [cell.tolist() for cell in cells] == expected


def test_pairs_are_found_in_cells_also_where_the_query_is_another_view(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clusters_module, "_IMAGES_PER_CELL", 10)
    vectors = _draw_unit_vectors(300)
    after = np.roll(vectors, -1, axis=0)  # each image asks as the next one looks
    found = find_near_pairs(vectors, after, np.random.default_rng(0)).tolist()
    assert len(list(clusters_module._form_cells(vectors, after, np.random.default_rng(0)))) == 30
    assert all([row, row + 1] in found for row in range(299))
    assert [0, 299] in found


def test_no_image_is_passed_over_between_two_blocks() -> None:
    vectors = _draw_unit_vectors(1_100)
    after = np.roll(vectors, -1, axis=0)
    found = find_near_pairs(vectors, after, np.random.default_rng(0)).tolist()
    assert all([row, row + 1] in found for row in range(1_020, 1_030))


def _draw_unit_vectors(count: int) -> np.ndarray:
    drawn = np.random.default_rng(1).standard_normal((count, 8)).astype(np.float32)
    return clusters_module._to_unit_length(drawn * np.arange(1, count + 1)[:, None])


def test_vectors_of_any_length_are_brought_to_length_one() -> None:
    assert np.linalg.norm(_draw_unit_vectors(50), axis=1) == pytest.approx(1, abs=1e-6)


def test_thumbnails_are_halved_block_by_block() -> None:
    thumbnails = np.arange(4_100 * 16, dtype=np.uint64).reshape(-1, 4, 4).astype(np.uint8)
    expected = thumbnails.reshape(-1, 2, 2, 2, 2).mean(axis=(2, 4)).reshape(-1, 4)
    np.testing.assert_allclose(clusters_module._shrink(thumbnails), expected, atol=1e-4)


@pytest.mark.parametrize(("shift", "edge"), [(0.3, -1), (-0.3, 0)])
def test_beyond_the_edge_a_moved_thumbnail_repeats_its_edge(shift: float, edge: int) -> None:
    nothing = np.zeros(1, dtype=np.float32)
    (weights,) = verification._build_weights(8, nothing, nothing + np.float32(shift))
    assert weights.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert weights[edge, edge] == 1


def test_an_even_image_has_no_padding() -> None:
    assert fingerprint._find_padding(np.ones((6, 6), dtype=np.float32)) == (0, 0)


def test_how_many_clusters_there_are_is_logged(
    known: np.ndarray, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command line, if it has run before, prints by a handler of its own.
    monkeypatch.setattr(logging.getLogger("cxresnet"), "propagate", True)
    with caplog.at_level("INFO", logger="cxresnet"):
        find_clusters(np.concatenate([known[:3], known[:1]]))
    assert "4 images form 3 near-duplicate clusters" in caplog.text


@pytest.mark.slow
def test_clusters_do_not_depend_on_the_order_of_images(
    images: list[np.ndarray], known: np.ndarray
) -> None:
    near_duplicates = compute_fingerprints([encode(image, 60) for image in images[:10]])
    everything = np.concatenate([known, near_duplicates])
    order = np.random.default_rng(0).permutation(len(everything))
    shuffled = find_clusters(everything[order])
    straight = find_clusters(everything)[order]
    assert len({*zip(straight, shuffled, strict=True)}) == len(images)


@pytest.mark.parametrize("count", [0, 1])
def test_no_image_and_one_image_have_no_copies(count: int) -> None:
    fingerprints = np.zeros((count, FINGERPRINT_SIZE_BYTES), dtype=np.uint8)
    assert find_clusters(fingerprints).tolist() == list(range(count))
    assert find_near_duplicates(fingerprints).pairs.shape == (0, 2)


@pytest.mark.slow
def test_an_image_that_is_there_a_thousand_times_is_one_cluster(known: np.ndarray) -> None:
    many = np.concatenate([known, np.repeat(known[:1], 1000, axis=0)])
    clusters = find_clusters(many)
    assert (clusters[len(known) :] == 0).all()
    assert len(np.unique(clusters)) == len(known)


def sample_unrelated(known: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    mean = known.mean(axis=0)
    _, scale, directions = np.linalg.svd(known - mean, full_matrices=False)
    weights = generator.standard_normal((count, len(scale))) * scale / np.sqrt(len(known))
    return np.clip(mean + weights @ directions, 0, 255).astype(np.uint8)


@pytest.mark.slow
def test_copies_are_found_where_images_are_compared_in_cells() -> None:
    generator = np.random.default_rng(0)
    known = compute_fingerprints(draw_images(80))
    unrelated = sample_unrelated(known, 5000, generator)
    noisy = unrelated[:200].astype(float) * 1.02 + generator.normal(0, 3, (200, 1024))
    near_duplicates = np.clip(noisy, 0, 255).astype(np.uint8)
    clusters = find_clusters(np.concatenate([unrelated, near_duplicates]))
    assert np.mean(clusters[5000:] == clusters[:200]) > 0.98
    assert len(np.unique(clusters[:5000])) > 0.99 * 5000


@pytest.mark.slow
@pytest.mark.images
def test_copies_of_real_images_are_found_and_strangers_left_apart(images_root: Path) -> None:
    table = pd.read_csv(images_root / "manifest.csv", dtype=str).fillna("")
    nih = table[table["source"].str.contains("nih", case=False)].iloc[:400]
    images = [np.asarray(Image.open(images_root / name).convert("L")) for name in nih["file"]]
    known = compute_fingerprints(images)
    changed = [encode(image[6:-6, 9:-3], 50) for image in images[:100]]
    clusters = find_clusters(np.concatenate([known, compute_fingerprints(changed)]))
    assert np.mean(clusters[len(images) :] == clusters[:100]) >= 0.99
    assert len(images) - len(np.unique(clusters[: len(images)])) <= 0.01 * len(images)


@pytest.mark.slow
@pytest.mark.images
def test_the_images_that_pneumoniamnist_has_in_train_and_val_are_found(images_root: Path) -> None:
    content = np.load(images_root / "pneumoniamnist.npz")
    both = np.concatenate([content["train_images"], content["val_images"]])
    train = len(content["train_images"])
    pairs = find_near_duplicates(compute_fingerprints(both)).pairs
    across = pairs[(pairs[:, 0] < train) & (pairs[:, 1] >= train)]
    equal = [(both[left] == both[right]).all() for left, right in across]
    assert sum(equal) == 8  # see data/README.md of the shared images
