"""What the shell completes: names that only the package knows.

Each function takes the beginning of a word and yields what it may become. They import what they
need only then, because every command names them when it starts.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path


def complete_config(incomplete: str) -> Iterator[str]:
    """Complete the name of a ready config, or the path of a TOML file."""
    from cxresnet.core.config import list_named_configs

    yield from (one.name for one in list_named_configs() if one.name.startswith(incomplete))
    for path in sorted(glob.glob(f"{glob.escape(incomplete)}*")):  # noqa: PTH207  keeps "./"
        if Path(path).is_dir():
            yield f"{path}/"
        elif path.endswith(".toml"):
            yield path


def complete_config_key(incomplete: str) -> Iterator[str]:
    """Complete a key of the config, for example train.epochs."""
    from cxresnet.core.config.keys import list_config_keys

    yield from (one.name for one in list_config_keys() if one.name.startswith(incomplete))


def complete_setting(incomplete: str) -> Iterator[str]:
    """Complete the key of `--set section.key=value`."""
    yield from (f"{key}=" for key in complete_config_key(incomplete))


def complete_class(incomplete: str) -> Iterator[str]:
    """Complete one of the classes that are there unless the data bring others."""
    from cxresnet.core.classes import DEFAULT_CLASS_NAMES

    yield from (name for name in DEFAULT_CLASS_NAMES if name.startswith(incomplete))


def complete_class_pair(incomplete: str) -> Iterator[str]:
    """Complete the class of the last pair of `--classes CLASS=LABEL,CLASS=LABEL`."""
    before, comma, last = incomplete.rpartition(",")
    yield from (f"{before}{comma}{name}=" for name in complete_class(last))


def complete_methods(incomplete: str) -> Iterator[str]:
    """Complete the last name of a list of attribution methods."""
    from typing import get_args

    from cxresnet.core.config.explain import MethodName

    before, comma, last = incomplete.rpartition(",")
    for name in get_args(MethodName):
        if name.startswith(last):
            yield f"{before}{comma}{name}"


def complete_preset(incomplete: str) -> Iterator[str]:
    """Complete the name of a network preset."""
    from cxresnet.model.presets import list_presets

    yield from (one.name for one in list_presets() if one.name.startswith(incomplete))


def complete_dataset_preset(incomplete: str) -> Iterator[str]:
    """Complete the name of a public dataset."""
    from cxresnet.data.sources.known_presets import DATASET_PRESETS

    names = ("none", *(one.name for one in DATASET_PRESETS))
    yield from (name for name in names if name.startswith(incomplete))
