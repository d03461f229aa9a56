"""The ready configs in the package: found by name, listed with what they are for."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from cxresnet.core.errors import ConfigError

_FOLDER = Path(__file__).with_name("ready")


@dataclass(frozen=True)
class NamedConfig:
    """A ready config, as the comment at its beginning describes it.

    Attributes:
        name: What stands after `--config`.
        path: Its TOML file in the package.
        purpose: One sentence.
        time: How long it takes.
    """

    name: str
    path: Path
    purpose: str
    time: str


def list_named_configs() -> tuple[NamedConfig, ...]:
    """List the ready configs by name."""
    return tuple(_read_heading(path) for path in sorted(_FOLDER.glob("*.toml")))


def find_config_file(name: Path) -> Path:
    """Find the file of a config: an existing file, else the ready config of that name.

    Args:
        name: A path, or a name such as "small".

    Raises:
        ConfigError: There is neither; the message lists the names.
    """
    if name.is_file():
        return name
    known = {path.stem: path for path in sorted(_FOLDER.glob("*.toml"))}
    if str(name) in known:
        return known[str(name)]
    if name.exists():
        raise ConfigError(f"The config '{name}' is not a file. {_list_names(known)}")
    close = difflib.get_close_matches(name.stem, known, n=1, cutoff=0.75)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise ConfigError(f"There is no config '{name}'.{hint} {_list_names(known)}")


def _list_names(known: dict[str, Path]) -> str:
    return f"Give the path of a TOML file, or the name of a ready config: {', '.join(known)}."


def _read_heading(path: Path) -> NamedConfig:
    lines = path.read_text(encoding="utf-8").splitlines()
    text = " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
    purpose = re.match(r".*?\.(?= |$)", text)
    time = re.search(r"Time: +(.*?) +Expected:", text)
    return NamedConfig(
        path.stem, path, purpose[0] if purpose else "", time[1] if time else "unknown"
    )
