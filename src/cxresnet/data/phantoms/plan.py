"""Which films there are: patients, hospitals, classes, planted faults; nothing is drawn yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cxresnet.core.classes import DEFAULT_CLASS_NAMES
from cxresnet.core.seeding import build_generator
from cxresnet.data.phantoms.settings import PhantomSettings

__all__ = ["CopyKind", "CorruptKind", "FilmPlan", "plan_films"]

CopyKind = Literal["none", "re-encoded", "resized", "brightened"]
COPY_KINDS: tuple[CopyKind, ...] = ("re-encoded", "resized", "brightened")
CorruptKind = Literal["none", "truncated", "empty", "text"]
CORRUPT_KINDS: tuple[CorruptKind, ...] = ("truncated", "empty", "text")


@dataclass(frozen=True, kw_only=True)
class FilmPlan:
    """One film that can be drawn.

    Attributes:
        film_number: Seeds what is particular to this film. A copy has its original's number.
        patient_number: Seeds the anatomy. A copy has its original's number.
        class_name: One of the default classes.
        source_number: Seeds the tone, sharpness and noise of the hospital.
        patient_id: What the film says about whose it is; a copy says another.
        age_years: 18 to 90, whatever the class.
        sex: "F" or "M".
        view: "PA" or "AP"; the heart is larger in AP.
        has_shortcut: The film carries the marker, tone or letters of the settings.
        letters: How many letters, where the shortcut is "letters".
        copy: How the copy was made; "none" for a film of its own.
        corrupt: What is wrong with the file; "none" for a readable one.
    """

    film_number: int
    patient_number: int
    class_name: str
    source_number: int
    patient_id: str
    age_years: int
    sex: str
    view: str
    has_shortcut: bool = False
    letters: int = 1
    copy: CopyKind = "none"
    corrupt: CorruptKind = "none"

    @property
    def source(self) -> str:
        """Name of the drawn hospital: "phantom-a" and so on."""
        return f"phantom-{chr(ord('a') + self.source_number)}"


def plan_films(settings: PhantomSettings) -> tuple[FilmPlan, ...]:
    """Plan all films of the settings, in an order that says nothing about their class.

    Returns:
        Films of their own, then copies, then corrupt ones, shuffled together.
    """
    films = _plan_patients(settings)
    patients = films[-1].patient_number + 1
    films += _plan_copies(settings, films, stranger=patients) + _plan_corrupt(
        settings, films, stranger=patients + settings.near_duplicates
    )
    order = build_generator(settings.seed, "phantom", "order").permutation(len(films))
    return tuple(films[index] for index in order)


def _plan_patients(settings: PhantomSettings) -> list[FilmPlan]:
    generator = build_generator(settings.seed, "phantom", "patients")
    films: list[FilmPlan] = []
    patient_number = 0
    for class_name in DEFAULT_CLASS_NAMES:
        missing = settings.films_per_class
        turn = int(generator.integers(settings.sources))
        while missing:
            wanted = generator.integers(
                settings.min_films_per_patient, settings.max_films_per_patient + 1
            )
            patient = FilmPlan(
                film_number=0,
                patient_number=patient_number,
                class_name=class_name,
                source_number=(patient_number + turn) % settings.sources,
                patient_id=f"patient-{patient_number:05d}",
                age_years=int(generator.integers(18, 91)),
                sex="F" if generator.random() < 0.5 else "M",
                view="PA" if generator.random() < 0.75 else "AP",
            )
            count = min(int(wanted), missing)
            films += [_add_film(patient, len(films) + i, settings, generator) for i in range(count)]
            missing -= count
            patient_number += 1
    return films


def _add_film(
    patient: FilmPlan,
    film_number: int,
    settings: PhantomSettings,
    generator: np.random.Generator,
) -> FilmPlan:
    sign = 1 if patient.class_name == settings.shortcut_class else -1
    letter = patient.source[-1]
    tells = not settings.shortcut_sources or letter in settings.shortcut_sources
    degree = settings.shortcut_degree if tells else 0.0
    lot = float(generator.random())
    if settings.shortcut == "letters":
        letters = _count_letters(patient.class_name, degree=degree, lot=lot)
        return replace(patient, film_number=film_number, has_shortcut=True, letters=letters)
    return replace(
        patient,
        film_number=film_number,
        has_shortcut=lot < (1 + sign * degree) / 2 and settings.shortcut != "none",
    )


def _count_letters(class_name: str, *, degree: float, lot: float) -> int:
    """Count the letters of a film: its class's number in a share of films, else any."""
    if lot < degree:
        return DEFAULT_CLASS_NAMES.index(class_name) + 1
    return int((lot - degree) / (1 - degree) * len(DEFAULT_CLASS_NAMES)) + 1


def _plan_copies(
    settings: PhantomSettings, films: list[FilmPlan], *, stranger: int
) -> list[FilmPlan]:
    generator = build_generator(settings.seed, "phantom", "copies")
    originals = generator.integers(len(films), size=settings.near_duplicates)
    return [
        replace(
            films[original],
            patient_id=f"patient-{stranger + number:05d}",
            copy=COPY_KINDS[number % len(COPY_KINDS)],
        )
        for number, original in enumerate(originals)
    ]


def _plan_corrupt(
    settings: PhantomSettings, films: list[FilmPlan], *, stranger: int
) -> list[FilmPlan]:
    generator = build_generator(settings.seed, "phantom", "corrupt")
    victims = generator.integers(len(films), size=settings.corrupt_films)
    return [
        replace(
            films[victim],
            patient_id=f"patient-{stranger + number:05d}",
            corrupt=CORRUPT_KINDS[number % len(CORRUPT_KINDS)],
        )
        for number, victim in enumerate(victims)
    ]
