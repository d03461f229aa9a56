"""Find what builds an adapter: by the name of a module, or in a file that the user names.

Its code is run because the user named it. Nothing is imported from the current folder, which may
be one that somebody sent: a module has to be installed or on PYTHONPATH, and a file has to be
named by its path.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from cxresnet.core.errors import ConfigError
from cxresnet.core.printable import make_printable

_logger = logging.getLogger(__name__)

_LONGEST_REASON = 300


@dataclass(frozen=True)
class FoundFactory:
    """What builds an adapter.

    Attributes:
        name: For people: "package.module:factory" or "file.py:factory", without folders.
        factory: A class or a function.
        source: The content of its file; empty where it has none.
    """

    name: str
    factory: Callable[[], Any] = field(repr=False)
    source: bytes = field(repr=False)

    def build(self) -> Any:
        """Build the adapter.

        Raises:
            ConfigError: It fails.
        """
        try:
            return self.factory()
        except (Exception, SystemExit) as error:
            _logger.debug("The adapter could not be built.", exc_info=error)
            raise ConfigError(
                f"The adapter '{self.name}' could not be built: it failed with "
                f"{describe_failure(error)} It is called without arguments."
            ) from error


def find_factory(name: str) -> FoundFactory:
    """Find what builds an adapter.

    Args:
        name: "package.module:factory", or "path/to/file.py:factory".

    Raises:
        ConfigError: There is no such module, file or factory, or it cannot be imported.
    """
    place, _, factory_name = name.rpartition(":")
    if not place or not factory_name.isidentifier():
        raise ConfigError(
            f"--model '{name}' names no factory. Write MODULE:FACTORY, for example "
            "my_model.py:Adapter for a class or function in a file, or my_package.module:build "
            "for one that is installed."
        )
    is_file = place.endswith(".py")
    module = _run_file(Path(place)) if is_file else _import_module(place)
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise ConfigError(
            f"'{place}' defines no class or function '{factory_name}'."
            f"{_suggest(module, factory_name)}"
        )
    path = getattr(module, "__file__", None)
    return FoundFactory(
        name=f"{Path(place).name if is_file else place}:{factory_name}",
        factory=factory,
        source=Path(path).read_bytes() if path and Path(path).is_file() else b"",
    )


def describe_failure(error: BaseException) -> str:
    r"""Describe what somebody else's code raised: its kind, and the first line of its message.

    >>> describe_failure(ValueError("too small\nand more"))
    'ValueError (too small).'
    >>> describe_failure(KeyError())
    'KeyError.'
    """
    lines = str(error).strip().splitlines()
    reason = make_printable(lines[0][:_LONGEST_REASON]) if lines else ""
    return (
        f"{type(error).__name__} ({reason.rstrip('.')})." if reason else f"{type(error).__name__}."
    )


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not error.name or not f"{name}.".startswith(f"{error.name}."):
            raise _explain_import(name, error) from error
        raise ConfigError(
            f"There is no module '{name}'. Write {name.replace('.', '/')}.py:… if it is a file "
            "(the current folder is not searched for modules), or install it, or put its folder "
            "into the environment variable PYTHONPATH."
        ) from error
    except (Exception, SystemExit) as error:
        raise _explain_import(name, error) from error


def _run_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"There is no file '{path}'. Give the path of the adapter's file.")
    name = f"cxresnet_adapter_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"'{path}' cannot be run as Python. Give the path of a .py file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as an import would: classes look for their module here
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _explain_import(str(path), error) from error
    return module


def _explain_import(what: str, error: BaseException) -> ConfigError:
    _logger.debug("The adapter could not be imported.", exc_info=error)
    way_out = (
        "Install what is missing; if it is a file beside the adapter, put its folder into the "
        "environment variable PYTHONPATH."
        if isinstance(error, ImportError)
        else "Correct it, and try it alone with Python first; 'cxresnet --verbose audit …' shows "
        "where it failed."
    )
    return ConfigError(f"'{what}' could not be imported: {describe_failure(error)} {way_out}")


def _suggest(module: ModuleType, name: str) -> str:
    """Suggest names of classes and functions that the module itself defines."""
    own = [
        key
        for key, value in vars(module).items()
        if callable(value)
        and not key.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    ]
    close = difflib.get_close_matches(name, own, n=1)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" It defines: {', '.join(own)}." if own else " Define one that builds the adapter."
