"""The backends that can run a network for prediction, and whether their libraries are installed."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Literal, get_args

from cxresnet.core.errors import ConfigError, MissingExtraError

BackendName = Literal["torch", "onnxruntime", "auto"]
"""PyTorch; ONNX Runtime; or ONNX Runtime where it is installed and can run the network."""

_EXTRA = "fast"


def check_backend(name: str) -> BackendName:
    """Check that there is a backend of that name, and that it is installed; imports neither.

    Raises:
        ConfigError: There is none; lists those that are known.
        MissingExtraError: The extra `fast` is not installed.
    """
    for known in get_args(BackendName):
        if name == known:
            if name == "onnxruntime" and not is_onnxruntime_installed():
                raise MissingExtraError(_EXTRA, needed_for="The backend 'onnxruntime'")
            backend: BackendName = known
            return backend
    names = ", ".join(get_args(BackendName))
    raise ConfigError(f"There is no backend '{name}'. Known backends: {names}.")


def is_onnxruntime_installed() -> bool:
    """Say whether ONNX Runtime, and what writes a network for it, is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def require_onnx() -> Any:
    """Import `onnx`, which writes networks as ONNX files.

    Raises:
        MissingExtraError: The extra `fast` is not installed.
    """
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise MissingExtraError(_EXTRA, needed_for="Writing an ONNX file") from error


def require_onnxruntime() -> Any:
    """Import `onnxruntime`, which runs ONNX files; what it would report to its maker is off.

    Raises:
        MissingExtraError: The extra `fast` is not installed.
    """
    try:
        onnxruntime: Any = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MissingExtraError(_EXTRA, needed_for="ONNX Runtime") from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime
