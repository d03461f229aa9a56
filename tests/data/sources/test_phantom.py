from __future__ import annotations

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxresnet.core.config import DataConfig
from cxresnet.core.errors import ConfigError, ImageError
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.duplicates import compute_fingerprint, find_clusters
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.phantoms.plan import PhantomSettings, parse_phantom_settings, plan_phantoms
from cxresnet.data.prepare.preprocessing import build_preprocessing, prepare_image
from cxresnet.data.sources.phantom import PhantomSource, write_phantom_folder

SMALL = PhantomSettings(images_per_class=6, side_px=96)


def read_pixels(source: PhantomSource, location: str) -> np.ndarray:
    content = source.read(location)
    if isinstance(content, bytes):
        return np.rint(decode_image(content).pixels * 255).astype(np.uint8)
    return content


def read_masks(source: PhantomSource, record: ImageRecord) -> tuple[np.ndarray, np.ndarray]:
    lung, lesion = (source.read(f"{record.location}:{name}") for name in ("lung", "lesion"))
    return np.asarray(lung) > 0, np.asarray(lesion) > 0


def list_records(source: PhantomSource, class_name: str) -> list[ImageRecord]:
    return [record for record in source.scan().records if record.class_name == class_name]


def test_the_same_seed_draws_the_same_images_and_another_seed_others() -> None:
    for location in ("image-00000", "image-00000:lung", "image-00007"):
        first, second = (read_pixels(PhantomSource(SMALL), location) for _ in range(2))
        np.testing.assert_array_equal(first, second)
    other = PhantomSource(PhantomSettings(images_per_class=6, side_px=96, seed=1))
    assert (
        read_pixels(other, "image-00000") != read_pixels(PhantomSource(SMALL), "image-00000")
    ).any()


@pytest.mark.slow
def test_an_image_does_not_depend_on_what_was_drawn_before_it() -> None:
    source = PhantomSource(SMALL)
    for location in source.plans:
        source.read(location)
    np.testing.assert_array_equal(
        read_pixels(source, "image-00003"), read_pixels(PhantomSource(SMALL), "image-00003")
    )


def test_every_class_has_as_many_images_as_asked_for_and_ids_say_nothing() -> None:
    source = PhantomSource(PhantomSettings(images_per_class=50))
    records = source.scan().records
    names = [record.class_name for record in records]
    assert sorted(names) == ["covid-19"] * 50 + ["normal"] * 50 + ["pneumonia"] * 50
    assert [record.image_id for record in records] == sorted(record.image_id for record in records)
    first_third = names[:50]
    assert max(first_third.count(name) for name in set(names)) < 30


def test_scanning_says_that_these_are_drawings() -> None:
    assert "drawings, not patients" in PhantomSource(SMALL).scan().warnings[0]


def test_a_healthy_image_has_no_lesion() -> None:
    source = PhantomSource(SMALL)
    for record in list_records(source, "normal"):
        assert record.lesion_mask == ""
        assert not read_masks(source, record)[1].any()


@pytest.mark.slow
@pytest.mark.parametrize("class_name", ["pneumonia", "covid-19"])
def test_lesions_lie_in_the_lungs_and_are_neither_specks_nor_all_of_them(class_name: str) -> None:
    source = PhantomSource(PhantomSettings(images_per_class=40, side_px=96))
    for record in list_records(source, class_name):
        lung, lesion = read_masks(source, record)
        assert not (lesion & ~lung).any()
        assert 0.01 < lesion.sum() / lung.sum() < 0.5


def count_sides(lung: np.ndarray, lesion: np.ndarray) -> int:
    middle = int(np.flatnonzero(lung.any(axis=0))[[0, -1]].mean())
    return int(lesion[:, :middle].sum() > 8) + int(lesion[:, middle:].sum() > 8)


@pytest.mark.slow
def test_pneumonia_is_on_one_side_and_covid_on_both() -> None:
    source = PhantomSource(PhantomSettings(images_per_class=40, side_px=96))
    for class_name, sides in (("pneumonia", 1), ("covid-19", 2)):
        for record in list_records(source, class_name):
            assert count_sides(*read_masks(source, record)) == sides, record


@pytest.mark.slow
def test_covid_lies_lower_in_the_lungs_than_their_middle() -> None:
    source = PhantomSource(PhantomSettings(images_per_class=20, side_px=96))
    for record in list_records(source, "covid-19"):
        lung, lesion = read_masks(source, record)
        rows = np.arange(len(lung))
        assert np.average(rows, weights=lesion.sum(axis=1)) > np.average(
            rows, weights=lung.sum(axis=1)
        )


@pytest.mark.slow
def test_a_patient_keeps_class_source_sex_and_anatomy() -> None:
    settings = PhantomSettings(
        images_per_class=12, min_images_per_patient=3, max_images_per_patient=3, distraction=0
    )
    source = PhantomSource(settings)
    patients: dict[str, list[ImageRecord]] = {}
    for record in source.scan().records:
        patients.setdefault(record.patient_id, []).append(record)
    assert len(patients) == 12
    areas = []
    for images in patients.values():
        assert len({(f.class_name, f.source, f.sex, f.age_years) for f in images}) == 1
        assert len({read_pixels(source, image.location).tobytes() for image in images}) == 3
        anatomies = [source.plans[image.location].patient_number for image in images]
        assert len(set(anatomies)) == 1
        masks = [read_masks(source, image)[0] for image in images]
        areas.append([mask.any(axis=0).sum() / mask.any(axis=1).sum() for mask in masks])
    within = np.std(areas, axis=1).mean()
    assert np.std(np.mean(areas, axis=1)) > within


def test_every_source_has_all_classes() -> None:
    records = PhantomSource(PhantomSettings(images_per_class=60, sources=3)).scan().records
    assert len({(record.source, record.class_name) for record in records}) == 9


def measure_shortcut_rates(degree: float) -> tuple[float, float]:
    settings = PhantomSettings(images_per_class=1000, shortcut="marker", shortcut_degree=degree)
    plans = plan_phantoms(settings)
    inside = [plan.has_shortcut for plan in plans if plan.class_name == "covid-19"]
    outside = [plan.has_shortcut for plan in plans if plan.class_name != "covid-19"]
    return float(np.mean(inside)), float(np.mean(outside))


@pytest.mark.slow
def test_a_shortcut_equals_the_class_at_degree_1_and_tells_nothing_at_0() -> None:
    assert measure_shortcut_rates(1.0) == (1.0, 0.0)
    inside, outside = measure_shortcut_rates(0.0)
    assert abs(inside - outside) < 0.06  # standard error 0.019
    inside, outside = measure_shortcut_rates(0.5)
    assert inside == pytest.approx(0.75, abs=0.05)
    assert outside == pytest.approx(0.25, abs=0.05)


@pytest.mark.slow
def test_a_shortcut_may_hold_in_some_hospitals_and_tell_nothing_in_the_others() -> None:
    settings = parse_phantom_settings(
        "images_per_class=1500,shortcut=marker:covid-19:1,shortcut_sources=bc"
    )
    rates = {}
    for plan in plan_phantoms(settings):
        key = (plan.source, plan.class_name == "covid-19")
        rates.setdefault(key, []).append(plan.has_shortcut)
    for source in ("phantom-b", "phantom-c"):
        assert np.mean(rates[source, True]) == 1.0
        assert np.mean(rates[source, False]) == 0.0
    for shows in (True, False):
        assert np.mean(rates["phantom-a", shows]) == pytest.approx(0.5, abs=0.08)


def test_letters_tell_every_class_where_they_hold_and_none_elsewhere() -> None:
    plans = plan_phantoms(
        parse_phantom_settings("images_per_class=1500,shortcut=letters,shortcut_sources=bc")
    )
    names = ("normal", "pneumonia", "covid-19")
    for plan in plans:
        if plan.source != "phantom-a":
            assert plan.letters == names.index(plan.class_name) + 1
    for name in names:
        here = [p.letters for p in plans if p.source == "phantom-a" and p.class_name == name]
        shares = np.bincount(here, minlength=4)[1:] / len(here)
        assert shares == pytest.approx([1 / 3] * 3, abs=0.08)


@pytest.mark.slow
def test_each_letter_is_drawn_below_the_one_before() -> None:
    planted = PhantomSource(parse_phantom_settings("images_per_class=3,shortcut=letters"))
    clean = PhantomSource(parse_phantom_settings("images_per_class=3"))
    for location, plan in planted.plans.items():
        changed = read_pixels(planted, location) != read_pixels(clean, location)
        rows = np.flatnonzero(changed.any(axis=1))
        blocks = 1 + int((np.diff(rows) > 3).sum())
        assert blocks == plan.letters
        assert changed[:, 60:].sum() == 0


def test_a_shortcut_in_a_hospital_that_is_not_drawn_is_refused() -> None:
    with pytest.raises(ConfigError, match="shortcut_sources = 'd' names other hospitals"):
        parse_phantom_settings("sources=3,shortcut=marker,shortcut_sources=d")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["marker", "tone", "frame", "sharpness"])
def test_a_planted_shortcut_changes_only_the_images_that_carry_it(kind: str) -> None:
    planted = PhantomSource(
        parse_phantom_settings(f"images_per_class=4,shortcut={kind}:pneumonia:1")
    )
    clean = PhantomSource(parse_phantom_settings("images_per_class=4"))
    for record in planted.scan().records:
        with_it, without = (read_pixels(s, record.location) for s in (planted, clean))
        if record.class_name != "pneumonia":
            np.testing.assert_array_equal(with_it, without)
        else:
            check_shortcut(kind, with_it, without)


def check_shortcut(kind: str, with_it: np.ndarray, without: np.ndarray) -> None:
    changed = np.argwhere(with_it != without)
    if kind == "marker":
        assert len(changed) > 50
        assert changed.max() < 0.25 * len(with_it)
        assert with_it[with_it != without].min() > 200
    elif kind == "tone":
        assert with_it.mean() < without.mean() - 15
    elif kind == "frame":
        from_edge = np.minimum(changed, len(with_it) - 1 - changed).min(axis=1)
        assert from_edge.max() < 0.06 * len(with_it)
        assert len(changed) > 4 * 0.9 * len(with_it)
        assert with_it[with_it != without].min() > 200
    else:
        fine, coarse = (np.abs(np.diff(image.astype(float))).mean() for image in (with_it, without))
        assert fine < 0.6 * coarse
        assert with_it.mean() == pytest.approx(without.mean(), abs=1)


@pytest.mark.parametrize("kind", ["frame", "sharpness"])
def test_a_planted_shortcut_survives_the_preprocessing(kind: str) -> None:
    preprocessing = build_preprocessing(DataConfig(resize_mode="crop"))
    planted = PhantomSource(
        parse_phantom_settings(f"images_per_class=1,shortcut={kind}:pneumonia:1")
    )
    clean = PhantomSource(parse_phantom_settings("images_per_class=1"))
    location = list_records(clean, "pneumonia")[0].location
    with_it, without = (
        prepare_image(np.divide(read_pixels(s, location), 255, dtype=np.float32), preprocessing)
        for s in (planted, clean)
    )
    difference = np.abs(with_it.astype(float) - without)
    inner = slice(8, -8)  # 6 % of 128 pixels
    if kind == "frame":
        assert difference[2:4].max() > 100
        assert difference[inner, inner].mean() < 10
    else:
        assert difference[inner, inner].mean() > 2


@pytest.mark.slow
def test_near_duplicates_have_another_patient_and_land_with_their_original() -> None:
    settings = PhantomSettings(
        images_per_class=20, max_images_per_patient=1, side_px=160, near_duplicates=9
    )
    source = PhantomSource(settings)
    locations = list(source.plans)
    prints = [
        compute_fingerprint(read_pixels(source, location) / np.float32(255))
        for location in locations
    ]
    clusters = find_clusters(np.stack(prints))
    images: dict[int, set[int]] = {}
    for location, cluster in zip(locations, clusters, strict=True):
        images.setdefault(source.plans[location].image_number, set()).add(int(cluster))
    assert all(len(found) == 1 for found in images.values())
    assert len(np.unique(clusters)) == len(images) == 60
    copies = [plan for plan in source.plans.values() if plan.copy != "none"]
    owners = {plan.patient_id for plan in source.plans.values() if plan.copy == "none"}
    assert len(copies) == 9
    assert not owners & {plan.patient_id for plan in copies}


def test_corrupt_images_are_refused_by_the_decoder_and_have_no_masks() -> None:
    source = PhantomSource(PhantomSettings(images_per_class=2, corrupt_images=3, side_px=64))
    codes = []
    for record in source.scan().records:
        if source.plans[record.location].corrupt == "none":
            continue
        content = source.read(record.location)
        assert isinstance(content, bytes)
        with pytest.raises(ImageError) as caught:
            decode_image(content)
        codes.append(caught.value.code)
    assert sorted(codes) == ["empty", "not-an-image", "truncated"]


def test_an_image_that_was_not_drawn_is_refused() -> None:
    with pytest.raises(ImageError, match=r"no drawn image 'image-99999'"):
        PhantomSource(SMALL).read("image-99999")
    with pytest.raises(ImageError, match="no drawn image"):
        PhantomSource(SMALL).read("image-00000:heart")


def test_a_source_survives_the_way_to_a_worker() -> None:
    source = pickle.loads(pickle.dumps(PhantomSource(SMALL)))  # noqa: S301  our own bytes
    np.testing.assert_array_equal(
        read_pixels(source, "image-00001"), read_pixels(PhantomSource(SMALL), "image-00001")
    )


@pytest.mark.parametrize("side_px", [32, 33, 224, 301])
def test_any_side_is_drawn(side_px: int) -> None:
    source = PhantomSource(PhantomSettings(images_per_class=1, side_px=side_px))
    image = read_pixels(source, "image-00000")
    assert image.shape == (side_px, side_px)
    assert image.dtype == np.uint8
    assert image.std() > 20


def test_settings_are_read_from_a_text() -> None:
    settings = parse_phantom_settings(
        "images_per_class=30, images_per_patient=2-5, shortcut=marker:pneumonia:0.5, seed=3"
    )
    assert settings == PhantomSettings(
        images_per_class=30,
        min_images_per_patient=2,
        max_images_per_patient=5,
        shortcut="marker",
        shortcut_class="pneumonia",
        shortcut_degree=0.5,
        seed=3,
    )
    assert parse_phantom_settings("") == PhantomSettings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("images_per_clas=3", r"unknown key 'images_per_clas'\. Did you mean 'images_per_class'\?"),
        ("films_per_class=3", "the key 'films_per_class' is now 'images_per_class'"),
        ("films_per_patient=1-2", "the key 'films_per_patient' is now 'images_per_patient'"),
        ("seed", "'seed' is not of the form KEY=VALUE"),
        ("seed=", "not of the form KEY=VALUE"),
        ("seed=x", "seed wants a whole number, not 'x'"),
        ("shortcut=marker:covid-19:much", "shortcut wants a number, not 'much'"),
        (
            "shortcut=arrow",
            "shortcut = 'arrow' is none of none, marker, tone, letters, frame, sharpness",
        ),
        ("shortcut=tone:flu", "shortcut_class = 'flu' is none of normal, pneumonia, covid-19"),
        ("shortcut_degree=1.5", "shortcut_degree = 1.5 is not between 0 and 1"),
        ("lesion_contrast=nan", "lesion_contrast = nan is not between"),
        ("images_per_patient=5-2", "min_images_per_patient = 5 is more than"),
        ("images_per_class=0", "images_per_class = 0 is not between"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_way_out(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_phantom_settings(text)


@pytest.mark.slow
def test_a_folder_of_phantoms_is_what_its_table_says(tmp_path: Path) -> None:
    settings = PhantomSettings(images_per_class=2, side_px=48, near_duplicates=1, corrupt_images=3)
    write_phantom_folder(settings, tmp_path / "images")
    with (tmp_path / "images" / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 10
    source = PhantomSource(settings)
    for row in rows:
        path = tmp_path / "images" / row["file"]
        assert path.parent.name == row["class"]
        if source.plans[path.stem].corrupt == "none" and path.suffix == ".png":
            np.testing.assert_array_equal(np.asarray(Image.open(path)), source.read(path.stem))
        mask = np.asarray(Image.open(tmp_path / "images" / row["lung_mask"]))
        np.testing.assert_array_equal(mask, source.read(f"{path.stem}:lung"))
        assert bool(row["lesion_mask"]) == (row["class"] != "normal")
    said = (tmp_path / "images" / "README.txt").read_text(encoding="utf-8")
    assert "drawings, not patients" in said


@pytest.mark.slow
def test_a_thumbnail_of_16_px_tells_little_about_the_class() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    source = PhantomSource(PhantomSettings(images_per_class=200, side_px=96))
    records = source.scan().records
    thumbnails = []
    for record in records:
        image = read_pixels(source, record.location).astype(float)
        low, high = np.percentile(image, (1, 99))
        even = np.clip((image - low) / (high - low), 0, 1)
        thumbnails.append(even.reshape(16, 6, 16, 6).mean(axis=(1, 3)).ravel())
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    accuracy = cross_val_score(
        classifier,
        np.array(thumbnails),
        [record.class_name for record in records],
        groups=[record.patient_id for record in records],
        cv=GroupKFold(3),
    ).mean()
    assert 0.42 < accuracy < 0.75  # chance is 0.33; a small network reaches about 0.9
