"""CXResnet: classify chest X-rays with a residual network, and test how far to trust the result.

    import cxresnet

    model = cxresnet.load()                            # the bundled network, or load("runs/first")
    model.predict("image.png")                         # probabilities, decision, prediction set
    model.explain("image.png").save("explanation.png") # an attribution map over the image

    dataset = cxresnet.prepare("phantoms:images_per_class=60", out="dataset")
    run = cxresnet.train(dataset, out="runs/first", epochs=10)
    cxresnet.evaluate(run).headline.balanced_accuracy

Everything here is imported when it is first used, so that `import cxresnet` is quick. What the
names are is declared for type checkers in `__init__.pyi`.

Research and teaching only, not a medical device.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect

__all__ = [
    "DISCLAIMER",
    "Explanation",
    "Model",
    "Prediction",
    "TrainedRun",
    "__version__",
    "evaluate",
    "list_presets",
    "load",
    "open_dataset",
    "prepare",
    "train",
]

__version__ = "0.2.0"

DISCLAIMER = "Research and teaching only, not a medical device."
"""Part of every output: terminal, report, pictures, tables."""

_HOMES = {
    "Explanation": "cxresnet.api.explanation",
    "Model": "cxresnet.api.classifier",
    "Prediction": "cxresnet.api.prediction",
    "TrainedRun": "cxresnet.api.stages",
    "evaluate": "cxresnet.api.stages",
    "list_presets": "cxresnet.api.stages",
    "load": "cxresnet.api.classifier",
    "open_dataset": "cxresnet.api.stages",
    "prepare": "cxresnet.api.stages",
    "train": "cxresnet.api.stages",
}
"""From name to the module that it is imported from when it is first used."""

_CALLABLE_ROOMS = ("evaluate", "train")
"""Names that are both a function of the interface and a subpackage; see `_CallableRoom`."""


class _CallableRoom(ModuleType):
    """A subpackage that can be called, as in `cxresnet.train(dataset, out="runs/first")`.

    Python binds a subpackage to its name in the package as soon as anything inside of it is
    imported, and would replace a function of that name.
    """

    def __call__(self, *arguments: object, **options: object) -> object:
        return _get_function(self)(*arguments, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        """The function's signature, for `help` in a notebook."""
        import inspect  # noqa: PLC0415  seldom needed, and slow to import

        return inspect.signature(_get_function(self))


def _get_function(room: ModuleType) -> Callable[..., object]:
    return _import(room.__name__.rpartition(".")[2])


def _import(name: str) -> object:
    return getattr(importlib.import_module(_HOMES[name]), name)


class _Package(ModuleType):
    """This package; makes some of its subpackages callable when Python binds them."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _CALLABLE_ROOMS and isinstance(value, ModuleType):
            value.__class__ = _CallableRoom
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    if name in _CALLABLE_ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return _import(name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
