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
