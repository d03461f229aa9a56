"""The plan of phantoms before any is drawn: patients, hospitals, classes, planted faults."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from cxresnet.core.classes import DEFAULT_CLASS_NAMES
from cxresnet.core.errors import ConfigError
from cxresnet.core.seeding import build_generator

# The settings of phantoms, and the short text that holds them on the command line.


ShortcutKind = Literal["none", "marker", "tone", "letters", "frame", "sharpness"]
SHORTCUT_KINDS: tuple[ShortcutKind, ...] = (
    "none",
    "marker",
    "tone",
    "letters",
    "frame",
    "sharpness",
)


@dataclass(frozen=True, kw_only=True)
class PhantomSettings:
    """Which chest X-rays are drawn. The same settings draw the same images.

    Attributes:
        images_per_class: Images of each of the three classes, without near-duplicates and corrupt
            ones.
        min_images_per_patient: A patient has at least so many images (the last one maybe fewer).
        max_images_per_patient: And at most so many.
        sources: Number of hospitals, each with its own tone, sharpness and noise; 1 to 26. Classes
            are spread evenly over them.
        side_px: Images are square, with this side.
        seed: Seed of everything.
        lesion_contrast: How dense lesions are; 1 is the default, 0 makes them invisible.
        distraction: How much healthy images vary: haze, breast shadows, exposure; 1 is the default.
        shortcut: "marker" draws a letter into the upper corner, "tone" darkens the image, "frame"
            draws a bright line along its edge, "sharpness" softens it; "letters" predicts all
            classes: one letter for the first, two for the second and so on.
        shortcut_class: The class that the shortcut predicts; "letters" predicts all.
        shortcut_degree: 0 to 1, with "letters" the share of images whose letters are not
            random. Otherwise, an image of that class has the shortcut with probability
            (1 + degree) / 2, any other with (1 - degree) / 2: 1 equals the class, 0 predicts
            nothing.
        shortcut_sources: Letters of the hospitals in which the shortcut predicts the class, for
            example "bc"; in the others it is random and predicts nothing. "" is all of them.
        near_duplicates: Changed copies of drawn images (re-encoded, resized, brightened), added
            under the ids of other patients.
        corrupt_images: Unreadable images that are added: truncated, empty, or text.

    Raises:
        ConfigError: A value is out of its range.
    """

    images_per_class: int = 200
    min_images_per_patient: int = 1
    max_images_per_patient: int = 4
    sources: int = 3
    side_px: int = 224
    seed: int = 0
    lesion_contrast: float = 1.0
    distraction: float = 1.0
    shortcut: ShortcutKind = "none"
    shortcut_class: str = "covid-19"
    shortcut_degree: float = 1.0
    shortcut_sources: str = ""
    near_duplicates: int = 0
    corrupt_images: int = 0

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"phantoms: {name} = {value} is not between {low} and {high}.")
        if self.min_images_per_patient > self.max_images_per_patient:
            raise ConfigError(
                f"phantoms: min_images_per_patient = {self.min_images_per_patient} is more than "
                f"max_images_per_patient = {self.max_images_per_patient}; raise the latter."
            )
        _require_one_of("shortcut", self.shortcut, SHORTCUT_KINDS)
        _require_one_of("shortcut_class", self.shortcut_class, DEFAULT_CLASS_NAMES)
        letters = "abcdefghijklmnopqrstuvwxyz"[: self.sources]
        if not set(self.shortcut_sources) <= set(letters):
            raise ConfigError(
                f"phantoms: shortcut_sources = '{self.shortcut_sources}' names other hospitals "
                f"than those that are drawn: {letters}."
            )


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("images_per_class", 1, 1_000_000),
    ("min_images_per_patient", 1, 1000),
    ("max_images_per_patient", 1, 1000),
    ("sources", 1, 26),
    ("side_px", 32, 2048),
    ("seed", 0, 2**31 - 1),
    ("lesion_contrast", 0, 4),
    ("distraction", 0, 4),
    ("shortcut_degree", 0, 1),
    ("near_duplicates", 0, 1_000_000),
    ("corrupt_images", 0, 1_000_000),
)


_EARLIER_KEYS = {
    "films_per_class": "images_per_class",  # earlier name
    "films_per_patient": "images_per_patient",  # earlier name
    "min_films_per_patient": "min_images_per_patient",  # earlier name
    "max_films_per_patient": "max_images_per_patient",  # earlier name
    "corrupt_films": "corrupt_images",  # earlier name
}
"""Keys of version 0.1, and what they are called since."""


def _require_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"phantoms: {name} = '{value}' is none of {', '.join(allowed)}.")


def parse_phantom_settings(text: str) -> PhantomSettings:
    """Read settings from the text behind "phantoms:", for example on the command line.

    Args:
        text: KEY=VALUE pairs with commas between; the keys are the attributes of
            `PhantomSettings`. `shortcut` may be written in one go as KIND:CLASS:DEGREE, and
            `images_per_patient` as LOW-HIGH. Empty: the defaults.

    Returns:
        The settings.

    Raises:
        ConfigError: A pair has no "=", a key is unknown, or a value is not of its kind or range.

    >>> settings = parse_phantom_settings("images_per_class=30,shortcut=marker:covid-19:0.8")
    >>> settings.images_per_class, settings.shortcut, settings.shortcut_degree
    (30, 'marker', 0.8)
    """
    values: dict[str, object] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not value:
            raise ConfigError(
                f"phantoms: '{pair}' is not of the form KEY=VALUE; "
                "write for example phantoms:images_per_class=300,seed=3."
            )
        values.update(_parse_pair(key, value))
    return replace(PhantomSettings(), **values)  # type: ignore[arg-type]


def _parse_pair(key: str, value: str) -> dict[str, object]:
    if key == "shortcut":
        return _parse_shortcut(value)
    if key == "images_per_patient":
        low, _, high = value.partition("-")
        return {
            "min_images_per_patient": _parse_number(key, low, int),
            "max_images_per_patient": _parse_number(key, high or low, int),
        }
    kinds: dict[str, type] = {field.name: type(field.default) for field in fields(PhantomSettings)}
    if key in _EARLIER_KEYS:
        raise ConfigError(f"phantoms: the key '{key}' is now '{_EARLIER_KEYS[key]}'.")
    if key not in kinds:
        close = difflib.get_close_matches(key, kinds, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ConfigError(f"phantoms: unknown key '{key}'.{hint} Known keys: {', '.join(kinds)}.")
    return {key: value if kinds[key] is str else _parse_number(key, value, kinds[key])}


def _parse_shortcut(value: str) -> dict[str, object]:
    kind, _, rest = value.partition(":")
    class_name, _, degree = rest.partition(":")
    parsed: dict[str, object] = {"shortcut": kind}
    if class_name:
        parsed["shortcut_class"] = class_name
    if degree:
        parsed["shortcut_degree"] = _parse_number("shortcut", degree, float)
    return parsed


def _parse_number(key: str, value: str, kind: type) -> object:
    try:
        return kind(value)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise ConfigError(f"phantoms: {key} wants {wanted}, not '{value}'.") from None


NearDuplicateKind = Literal["none", "re-encoded", "resized", "brightened"]
NEAR_DUPLICATE_KINDS: tuple[NearDuplicateKind, ...] = ("re-encoded", "resized", "brightened")
CorruptKind = Literal["none", "truncated", "empty", "text"]
CORRUPT_KINDS: tuple[CorruptKind, ...] = ("truncated", "empty", "text")


@dataclass(frozen=True, kw_only=True)
class PhantomPlan:
    """One image that can be drawn.

    Attributes:
        image_number: Seeds what is particular to this image. A near-duplicate has its original's.
        patient_number: Seeds the anatomy. A near-duplicate has its original's.
        class_name: One of the default classes.
        source_number: Seeds the tone, sharpness and noise of the hospital.
        patient_id: As recorded; a near-duplicate has another one.
        age_years: 18 to 90, whatever the class.
        sex: "F" or "M".
        view: "PA" or "AP"; the heart is larger in AP.
        has_shortcut: The image carries the shortcut of the settings.
        letters: How many letters, where the shortcut is "letters".
        copy: How the near-duplicate was made; "none" for an original.
        corrupt: What is wrong with the file; "none" for a readable one.
    """

    image_number: int
    patient_number: int
    class_name: str
    source_number: int
    patient_id: str
    age_years: int
    sex: str
    view: str
    has_shortcut: bool = False
    letters: int = 1
    copy: NearDuplicateKind = "none"
    corrupt: CorruptKind = "none"

    @property
    def source(self) -> str:
        """Name of the drawn hospital: "phantom-a" and so on."""
        return f"phantom-{chr(ord('a') + self.source_number)}"


def plan_phantoms(settings: PhantomSettings) -> tuple[PhantomPlan, ...]:
    """Plan all images of the settings, in an order that does not depend on their class.

    Returns:
        Originals, then near-duplicates, then corrupt ones, shuffled together.
    """
    images = _plan_patients(settings)
    patients = images[-1].patient_number + 1
    images += _plan_near_duplicates(settings, images, first_new_patient=patients) + _plan_corrupt(
        settings, images, first_new_patient=patients + settings.near_duplicates
    )
    order = build_generator(settings.seed, "phantom", "order").permutation(len(images))
    return tuple(images[index] for index in order)


def _plan_patients(settings: PhantomSettings) -> list[PhantomPlan]:
    generator = build_generator(settings.seed, "phantom", "patients")
    images: list[PhantomPlan] = []
    patient_number = 0
    for class_name in DEFAULT_CLASS_NAMES:
        missing = settings.images_per_class
        turn = int(generator.integers(settings.sources))
        while missing:
            wanted = generator.integers(
                settings.min_images_per_patient, settings.max_images_per_patient + 1
            )
            patient = PhantomPlan(
                image_number=0,
                patient_number=patient_number,
                class_name=class_name,
                source_number=(patient_number + turn) % settings.sources,
                patient_id=f"patient-{patient_number:05d}",
                age_years=int(generator.integers(18, 91)),
                sex="F" if generator.random() < 0.5 else "M",
                view="PA" if generator.random() < 0.75 else "AP",
            )
            count = min(int(wanted), missing)
            images += [
                _add_image(patient, len(images) + i, settings, generator) for i in range(count)
            ]
            missing -= count
            patient_number += 1
    return images


def _add_image(
    patient: PhantomPlan,
    image_number: int,
    settings: PhantomSettings,
    generator: np.random.Generator,
) -> PhantomPlan:
    sign = 1 if patient.class_name == settings.shortcut_class else -1
    letter = patient.source[-1]
    is_informative = not settings.shortcut_sources or letter in settings.shortcut_sources
    degree = settings.shortcut_degree if is_informative else 0.0
    random_draw = float(generator.random())
    if settings.shortcut == "letters":
        letters = _count_letters(patient.class_name, degree=degree, random_draw=random_draw)
        return replace(patient, image_number=image_number, has_shortcut=True, letters=letters)
    return replace(
        patient,
        image_number=image_number,
        has_shortcut=random_draw < (1 + sign * degree) / 2 and settings.shortcut != "none",
    )


def _count_letters(class_name: str, *, degree: float, random_draw: float) -> int:
    """Count the letters of an image: its class's number in a share of images, else any."""
    if random_draw < degree:
        return DEFAULT_CLASS_NAMES.index(class_name) + 1
    return int((random_draw - degree) / (1 - degree) * len(DEFAULT_CLASS_NAMES)) + 1


def _plan_near_duplicates(
    settings: PhantomSettings, images: list[PhantomPlan], *, first_new_patient: int
) -> list[PhantomPlan]:
    generator = build_generator(settings.seed, "phantom", "copies")
    originals = generator.integers(len(images), size=settings.near_duplicates)
    return [
        replace(
            images[original],
            patient_id=f"patient-{first_new_patient + number:05d}",
            copy=NEAR_DUPLICATE_KINDS[number % len(NEAR_DUPLICATE_KINDS)],
        )
        for number, original in enumerate(originals)
    ]


def _plan_corrupt(
    settings: PhantomSettings, images: list[PhantomPlan], *, first_new_patient: int
) -> list[PhantomPlan]:
    generator = build_generator(settings.seed, "phantom", "corrupt")
    victims = generator.integers(len(images), size=settings.corrupt_images)
    return [
        replace(
            images[victim],
            patient_id=f"patient-{first_new_patient + number:05d}",
            corrupt=CORRUPT_KINDS[number % len(CORRUPT_KINDS)],
        )
        for number, victim in enumerate(victims)
    ]
