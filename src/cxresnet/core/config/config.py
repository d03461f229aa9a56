"""The whole config: read from TOML, changed by `--set`, and checked before any file is written."""

from __future__ import annotations

import difflib
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cxresnet.core.checksums import require_unaltered
from cxresnet.core.config.audit import AuditConfig
from cxresnet.core.config.data import DataConfig
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.config.explain import ExplainConfig
from cxresnet.core.config.model import ModelConfig
from cxresnet.core.config.named import find_config_file
from cxresnet.core.config.section import Section
from cxresnet.core.config.source import SourceConfig
from cxresnet.core.config.train import TrainConfig
from cxresnet.core.errors import ConfigError

_LONGEST_VALUE = 100

RENAMED_KEYS = {
    "data.fit": "data.resize_mode",
    "data.equalise_limit": "data.equalisation_clip_limit",
    "data.outside": "data.external_test",
    "source.recipe": "source.dataset_preset",
    "train.average_decay": "train.ema_decay",
    "evaluate.test_views": "evaluate.test_time_augmentation",
    "evaluate.baselines": "evaluate.shortcut_baselines",
    "evaluate.least_sensitivity": "evaluate.target_sensitivity",
    "evaluate.cost_of_miss": "evaluate.false_negative_cost",
    "evaluate.slice_patients": "evaluate.min_slice_patients",
    "evaluate.few_patients": "evaluate.min_patients_per_class",
    "evaluate.confidence": "evaluate.confidence_level",
    "explain.films_per_class": "explain.images_per_class",
    "explain.occlusion_covers": "explain.occlusion_baselines",
    "explain.trust_films": "explain.sanity_check_images",
    "explain.concept_films": "explain.zone_mean_images",
    "explain.superpixels_along_side": "explain.superpixels_per_side",
    "explain.superpixel_sets": "explain.kernel_shap_samples",
}
"""Keys of configs that were written for version 0.1, and what they are called since."""


class Config(Section):
    """Every choice and default of a run."""

    source: SourceConfig = SourceConfig()
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    explain: ExplainConfig = ExplainConfig()
    audit: AuditConfig = AuditConfig()


def read_config(path: Path | None = None, *, settings: Sequence[str] = ()) -> Config:
    """Read a config: defaults, then the file, then `--set section.key=value`.

    Args:
        path: A TOML file, or the name of a ready config; None for the defaults.
        settings: Pairs like "train.epochs=3"; the value is read as TOML, else as plain text.

    Returns:
        The frozen config.

    Raises:
        ConfigError: The file cannot be read, or a key or value is wrong; the message names it.
    """
    if path is not None:
        path = find_config_file(path)
    content = {} if path is None else _read_toml(path)
    for setting in settings:
        _apply(content, setting)
    return _validate(content, where="" if path is None else f" in '{path}'", settings=settings)


def change_config(config: Config, values: Mapping[str, object]) -> Config:
    """Change values of a config; the result is checked as a whole.

    Args:
        config: Stays as it is.
        values: By key, for example {"train.epochs": 3}. A mapping changes only the keys that it
            has.

    Raises:
        ConfigError: A key or value is wrong; the message says which and what to do.

    >>> change_config(Config(), {"train.epochs": 3}).train.epochs
    3
    """
    content = config.model_dump()
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        place = content
        for part in section.split("."):
            place = place[part]
        old = place.get(name)
        if isinstance(old, dict) and isinstance(value, Mapping):
            place[name] = old | dict(value)
        else:
            place[name] = value
    return _validate(content, where="")


def _validate(content: Mapping[str, Any], *, where: str, settings: Sequence[str] = ()) -> Config:
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        setting = _find_setting(first, settings)
        text = _explain(first, where="" if setting else where)
        raise ConfigError(f"--set '{_shorten(setting)}': {text}" if setting else text) from error


def _find_setting(error: ErrorDetails, settings: Sequence[str]) -> str:
    """Name the `--set` that an error is of; "" if it is of the file or of a default."""
    key = ".".join(str(part) for part in error["loc"])
    return next(
        (
            setting
            for setting in reversed(settings)
            if f"{setting.partition('=')[0].strip()}.".startswith(f"{key}.")
            or f"{key}.".startswith(f"{setting.partition('=')[0].strip()}.")
        ),
        "",
    )


def read_written_config(path: Path) -> Config:
    """Read the config that a training wrote beside its network.

    Args:
        path: `config.json` of a run.

    Raises:
        ConfigError: It is missing, or of another version.
        RunFolderError: It was altered.
    """
    require_unaltered(path, way_out="Train again.")
    try:
        return Config.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(
            f"'{path}' is missing or was written by another version, so it is not known how the "
            "network was trained. Train again."
        ) from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return _parse_toml(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The config '{path}' cannot be read: {error}.") from error
    except RecursionError as error:
        raise ConfigError(f"The config '{path}' is nested too deeply.") from error
    except ValueError as error:  # also of a number of thousands of digits
        raise ConfigError(f"The config '{path}' is not valid TOML: {error}.") from error


def _parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ValueError: It is none, or has a number of thousands of digits, hexadecimal ones too.
        RecursionError: It is nested too deeply.
    """
    content = tomllib.loads(text)
    repr(content)  # nobody could show such a number, or write it into the record of a run
    return content


def _apply(content: dict[str, Any], setting: str) -> None:
    key, equals, value = setting.partition("=")
    names = key.strip().split(".")
    if not equals or len(names) < 2 or not all(names):
        raise ConfigError(f"--set '{_shorten(setting)}' is not of the form section.key=value.")
    try:
        parsed = _parse_toml(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value
    section = content
    for name in names[:-1]:
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            raise ConfigError(f"--set '{_shorten(setting)}': '{name}' is a value, not a section.")
    section[names[-1]] = parsed


def _shorten(setting: str) -> str:
    return setting if len(setting) <= _LONGEST_VALUE else f"{setting[:_LONGEST_VALUE]}…"


def _explain(error: ErrorDetails, *, where: str) -> str:
    names = [str(part) for part in error["loc"]]
    key = ".".join(names) or "the config"
    if error["type"] != "extra_forbidden":
        got = textwrap.shorten(repr(error["input"])[:1000], _LONGEST_VALUE)
        return f"The config key {key}{where} is wrong: {error['msg']} (got {got})."
    if key in RENAMED_KEYS:
        return f"The config key {key}{where} is now {RENAMED_KEYS[key]}."
    known = sorted(_find_known_keys(Config, names[:-1]))
    close = difflib.get_close_matches(names[-1], known, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'?" if close else f"Known here: {', '.join(known)}."
    return f"The config key {key}{where} is unknown. {hint}"


def _find_known_keys(section: type[BaseModel], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        annotation = section.model_fields[name].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            section = annotation
    yield from section.model_fields
