"""What may be asked of the drawn films, and the short text that asks for it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace
from typing import Literal

from cxresnet.core.classes import DEFAULT_CLASS_NAMES
from cxresnet.core.errors import ConfigError

__all__ = ["PhantomSettings", "parse_phantom_settings"]

ShortcutKind = Literal["none", "marker", "tone", "letters"]
SHORTCUT_KINDS: tuple[ShortcutKind, ...] = ("none", "marker", "tone", "letters")


@dataclass(frozen=True, kw_only=True)
class PhantomSettings:
    """Which chest films are drawn. The same settings draw the same films.

    Attributes:
        films_per_class: Films of each of the three classes, copies and corrupt ones not counted.
        min_films_per_patient: A patient has at least so many films (the last one maybe fewer).
        max_films_per_patient: And at most so many.
        sources: Number of hospitals, each with its own tone, sharpness and noise; 1 to 26. Classes
            are spread evenly over them.
        side_px: Films are square, with this side.
        seed: Seed of everything.
        lesion_contrast: How dense lesions are; 1 is the default, 0 makes them invisible.
        distraction: How much healthy films vary: haze, breast shadows, exposure; 1 is the default.
        shortcut: "marker" draws a letter into the upper corner, "tone" darkens the film; "letters"
            tells all classes: one letter for the first, two for the second and so on.
        shortcut_class: The class that the shortcut tells; "letters" tells all.
        shortcut_degree: 0 to 1, with "letters" the share of films whose letters are not drawn by
            lot. Else a film of that class carries the shortcut with probability
            (1 + degree) / 2, any other with (1 - degree) / 2: 1 equals the class, 0 tells nothing.
        shortcut_sources: Letters of the hospitals in which the shortcut tells the class, for
            example "bc"; in the others it is drawn by lot and tells nothing. "" is all of them.
        near_duplicates: Copies of drawn films (re-encoded, resized, brightened) that are added
            under the ids of other patients.
        corrupt_films: Unreadable films that are added: truncated, empty, or text.

    Raises:
        ConfigError: A value is out of its range.
    """

    films_per_class: int = 200
    min_films_per_patient: int = 1
    max_films_per_patient: int = 4
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
    corrupt_films: int = 0

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"phantoms: {name} = {value} is not between {low} and {high}.")
        if self.min_films_per_patient > self.max_films_per_patient:
            raise ConfigError(
                f"phantoms: min_films_per_patient = {self.min_films_per_patient} is more than "
                f"max_films_per_patient = {self.max_films_per_patient}; raise the latter."
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
    ("films_per_class", 1, 1_000_000),
    ("min_films_per_patient", 1, 1000),
    ("max_films_per_patient", 1, 1000),
    ("sources", 1, 26),
    ("side_px", 32, 2048),
    ("seed", 0, 2**31 - 1),
    ("lesion_contrast", 0, 4),
    ("distraction", 0, 4),
    ("shortcut_degree", 0, 1),
    ("near_duplicates", 0, 1_000_000),
    ("corrupt_films", 0, 1_000_000),
)


def _require_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"phantoms: {name} = '{value}' is none of {', '.join(allowed)}.")


def parse_phantom_settings(text: str) -> PhantomSettings:
    """Read settings from the text behind "phantoms:", for example on the command line.

    Args:
        text: KEY=VALUE pairs with commas between; the keys are the attributes of
            `PhantomSettings`. `shortcut` may be written in one go as KIND:CLASS:DEGREE, and
            `films_per_patient` as LOW-HIGH. Empty: the defaults.

    Returns:
        The settings.

    Raises:
        ConfigError: A pair has no "=", a key is unknown, or a value is not of its kind or range.

    >>> settings = parse_phantom_settings("films_per_class=30,shortcut=marker:covid-19:0.8")
    >>> settings.films_per_class, settings.shortcut, settings.shortcut_degree
    (30, 'marker', 0.8)
    """
    values: dict[str, object] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not value:
            raise ConfigError(
                f"phantoms: '{pair}' is not of the form KEY=VALUE; "
                "write for example phantoms:films_per_class=300,seed=3."
            )
        values.update(_parse_pair(key, value))
    return replace(PhantomSettings(), **values)  # type: ignore[arg-type]


def _parse_pair(key: str, value: str) -> dict[str, object]:
    if key == "shortcut":
        return _parse_shortcut(value)
    if key == "films_per_patient":
        low, _, high = value.partition("-")
        return {
            "min_films_per_patient": _parse_number(key, low, int),
            "max_films_per_patient": _parse_number(key, high or low, int),
        }
    kinds: dict[str, type] = {field.name: type(field.default) for field in fields(PhantomSettings)}
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
