"""The config as a whole: read from TOML, changed by `--set`, checked before anything is touched."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cxresnet.core.config.data import DataConfig
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.config.explain import ExplainConfig
from cxresnet.core.config.model import ModelConfig
from cxresnet.core.config.section import Section
from cxresnet.core.config.source import SourceConfig
from cxresnet.core.config.train import TrainConfig
from cxresnet.core.errors import ConfigError

__all__ = ["Config", "read_config", "read_written_config"]


class Config(Section):
    """Every choice and default of a run."""

    source: SourceConfig = SourceConfig()
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    explain: ExplainConfig = ExplainConfig()


def read_config(path: Path | None = None, *, settings: Sequence[str] = ()) -> Config:
    """Read a config: defaults, then the file, then `--set section.key=value`.

    Args:
        path: A TOML file; None for the defaults.
        settings: Pairs like "train.epochs=3"; the value is read as TOML, else as plain text.

    Returns:
        The frozen config.

    Raises:
        ConfigError: The file cannot be read, or a key or value is wrong; says which and what to do.
    """
    content = {} if path is None else _read_toml(path)
    for setting in settings:
        _apply(content, setting)
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        where = "" if path is None else f" in '{path}'"
        raise ConfigError(_explain(error.errors()[0], where=where)) from error


def read_written_config(path: Path) -> Config:
    """Read the config that a training wrote beside its network.

    Args:
        path: `config.json` of a run.

    Raises:
        ConfigError: It is missing, or of another version.
    """
    try:
        return Config.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(
            f"'{path}' is not there or cannot be read by this version, so nobody knows how the "
            "network was trained. Train again."
        ) from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"There is no config '{path}'. The ready ones lie in configs/."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The config '{path}' cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The config '{path}' is not valid TOML: {error}.") from error


def _apply(content: dict[str, Any], setting: str) -> None:
    key, equals, value = setting.partition("=")
    names = key.strip().split(".")
    if not equals or len(names) < 2 or not all(names):
        raise ConfigError(f"--set '{setting}' is not of the form section.key=value.")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    section = content
    for name in names[:-1]:
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            raise ConfigError(f"--set '{setting}': '{name}' is a value, not a section.")
    section[names[-1]] = parsed


def _explain(error: ErrorDetails, *, where: str) -> str:
    names = [str(part) for part in error["loc"]]
    key = ".".join(names) or "the config"
    if error["type"] != "extra_forbidden":
        return f"The config key {key}{where} is wrong: {error['msg']} (got {error['input']!r})."
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
