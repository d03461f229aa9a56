"""Somebody else's model: an adapter of a few lines makes it one that can be audited.

An adapter is an object that its class, or a function, builds without arguments:

    class Adapter:
        class_names = ("normal", "pneumonia", "covid-19")  # order of the logits
        def preprocess(self, image): ...  # one image, uint8 (height, width) of any size
        def logits(self, batch): ...      # a list of what `preprocess` gave; (images, classes)

`probabilities(batch)` may stand in the place of `logits`, and `features(batch)`, (images,
channels), beside it. The adapter is tried on a few drawn images before the test set is opened, so
that its faults are told at once, each in one sentence.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet.audit.adapter_import import FoundFactory, describe_failure, find_factory
from cxresnet.audit.model import Images, Probabilities
from cxresnet.core.errors import ConfigError
from cxresnet.core.seeding import build_generator
from cxresnet.data.decode.decoder import decode_image
from cxresnet.metrics.calibration import compute_probabilities

_logger = logging.getLogger(__name__)

_TRIED_SIZES_PX = (*[(128, 128)] * 6, (112, 144), (160, 120))
"""Height and width of the images that an adapter is tried on."""

_TOLERANCE = 5e-3
"""Of the largest score: rounding is far below, dropout and batch statistics are far above."""

_SUM_TOLERANCE = 1e-3
_CONTENT_DECIMALS = 4

_Item = TypeVar("_Item")
_GreyImages = Sequence[NDArray[np.uint8]]
_Scores = Literal["logits", "probabilities"]


@dataclass(frozen=True, eq=False)
class ForeignModel:
    """A model behind an adapter; an `AuditedModel`.

    Attributes:
        name: "package.module:factory", or "file.py:factory".
        adapter: As above.
        class_names: Order of the probabilities.
        scores: What the adapter computes.
        content: SHA-256 of the adapter's file, its weights and its answers to drawn images.
        batch_size: Images that are handed to it at once.
    """

    name: str
    adapter: Any = field(repr=False)
    class_names: tuple[str, ...]
    scores: _Scores = "logits"
    content: str = ""
    batch_size: int = 64

    @property
    def predictor(self) -> None:
        """None: it is no network of ours."""

    @property
    def network(self) -> None:
        """None, likewise: maps of it are not drawn."""

    def predict(self, images: Images) -> Probabilities:
        """Compute the probabilities of prepared images, (images, classes).

        Raises:
            ConfigError: The adapter fails, or gives what is no score.
        """
        return self._join(self._predict_batch(part) for part in self._split(images))

    def decide(self, probabilities: Probabilities) -> NDArray[np.int64]:
        """Decide on the most probable class of each image, (images,)."""
        decided: NDArray[np.int64] = probabilities.argmax(axis=1).astype(np.int64)
        return decided

    def predict_files(self, contents: Sequence[bytes]) -> Probabilities:
        """Compute the probabilities of files; the adapter gets each decoded image in its own size.

        Raises:
            ImageError: A file cannot be used.
            ConfigError: The adapter fails, or gives what is no score.
        """
        return self._join(
            self._predict_batch([_decode(content) for content in part])
            for part in self._split(contents)
        )

    def compute_features(self, images: Images) -> NDArray[np.float32] | None:
        """Compute the features of prepared images, (images, channels); None if it offers none.

        Raises:
            ConfigError: The adapter fails, or gives another shape.
        """
        if getattr(self.adapter, "features", None) is None:
            return None
        parts = [self._compute_features(part) for part in self._split(images)]
        return np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)

    def compute_scores(self, images: _GreyImages) -> Probabilities:
        """Compute what the adapter gives for images, (images, classes), and check it.

        Args:
            images: Each (height, width), 0 to 255; all in one batch.

        Raises:
            ConfigError: The adapter fails, or gives another shape, or what is no number.
        """
        found = self._compute_array(self.scores, images)
        expected = (len(images), len(self.class_names))
        if found.shape != expected:
            raise self._refuse(
                f"{self.scores}() gave an array of shape {found.shape} for {len(images)} images; "
                f"it must be {expected}: one row an image, one column for each of the class_names "
                f"{', '.join(self.class_names)}."
            )
        if not np.isfinite(found).all():
            raise self._refuse(
                f"{self.scores}() gave values that are not numbers (NaN or infinite). Check that "
                "preprocess brings grey levels of 0 to 255 to the scale of the model, and that "
                "its weights are loaded."
            )
        return found

    def _split(self, items: Sequence[_Item] | NDArray[Any]) -> Iterator[Any]:
        for start in range(0, len(items), self.batch_size):
            yield items[start : start + self.batch_size]

    def _join(self, parts: Iterator[Probabilities]) -> Probabilities:
        return np.concatenate([np.empty((0, len(self.class_names))), *parts])

    def _predict_batch(self, images: _GreyImages) -> Probabilities:
        scores = self.compute_scores(images)
        if self.scores == "logits":
            return compute_probabilities(scores)
        if not _are_probabilities(scores):
            raise self._refuse(
                "probabilities() gave rows that do not sum to 1, or negative values. Name the "
                "method logits if they are logits. Where findings do not exclude each other, "
                "give one column for without and one for with."
            )
        positive = np.maximum(scores, 0)
        normalised: Probabilities = positive / positive.sum(axis=1, keepdims=True)
        return normalised

    def _compute_features(self, images: _GreyImages) -> NDArray[np.float32]:
        found = self._compute_array("features", images)
        if found.ndim != 2 or len(found) != len(images) or not np.isfinite(found).all():
            raise self._refuse(
                f"features() gave an array of shape {found.shape} for {len(images)} images; it "
                "must be (images, channels), all of them numbers. Average a feature map over "
                "height and width, or leave the method out."
            )
        return found.astype(np.float32)

    def _compute_array(self, method: str, images: _GreyImages) -> NDArray[np.float64]:
        """Hand images to a method of the adapter; nothing is kept for gradients."""
        with torch.no_grad():
            # A copy: what the adapter does to its image must not reach other questions.
            batch = [self._call("preprocess", np.array(image)) for image in images]
            found = self._call(method, batch)
        try:
            return _to_array(found)
        except (TypeError, ValueError, RuntimeError) as error:
            raise self._refuse(
                f"{method}() gave {type(found).__name__}, which is no array of numbers. Return a "
                "torch tensor or a NumPy array, (images, classes)."
            ) from error

    def _call(self, method: str, argument: object) -> Any:
        try:
            return getattr(self.adapter, method)(argument)
        except Exception as error:
            _logger.debug("The adapter failed.", exc_info=error)
            raise self._refuse(f"{method}() failed with {describe_failure(error)}") from error

    def _refuse(self, reason: str) -> ConfigError:
        return ConfigError(f"The adapter '{self.name}': {reason}")


def load_adapter(name: str, *, batch_size: int) -> ForeignModel:
    """Load somebody else's model, and try it on a few drawn images.

    Args:
        name: "package.module:factory", or "path/to/file.py:factory". The module is imported, or the
            file run: give only names of code that you trust.
        batch_size: Images that are handed to it at once.

    Raises:
        ConfigError: It cannot be imported or built, or does not answer as an adapter must.
    """
    found = find_factory(name)
    adapter = found.build()
    model = ForeignModel(
        name=found.name,
        adapter=adapter,
        class_names=_read_class_names(found.name, adapter),
        scores=_choose_scores(found.name, adapter),
        batch_size=batch_size,
    )
    scores = _try_adapter(model)
    return replace(model, content=_compute_content(found, adapter, scores))


def _read_class_names(name: str, adapter: object) -> tuple[str, ...]:
    """Read the classes, and refuse what leaves open which column is which.

    Raises:
        ConfigError: They are missing, or not at least two different texts.
    """
    given = getattr(adapter, "class_names", None)
    is_list = isinstance(given, Sequence | np.ndarray) and not isinstance(given, str)
    names = list(given) if is_list and given is not None else []
    are_texts = all(isinstance(one, str) and one.strip() for one in names)
    if not are_texts or len(names) < 2 or len(set(names)) < len(names):
        raise ConfigError(
            f"The adapter '{name}' has no class_names that can be used. Give it one, a list of "
            "at least two different names as in the dataset, in the order of the logits: "
            "class_names = ('normal', 'pneumonia', 'covid-19')."
        )
    return tuple(str(one) for one in names)


def _choose_scores(name: str, adapter: object) -> _Scores:
    """Choose between logits and probabilities, by the methods that are there.

    Raises:
        ConfigError: One of the two, or `preprocess`, is missing; or both are there.
    """
    kinds: tuple[_Scores, ...] = ("logits", "probabilities")
    offered = [kind for kind in kinds if callable(getattr(adapter, kind, None))]
    if not callable(getattr(adapter, "preprocess", None)) or not offered:
        missing = "logits" if callable(getattr(adapter, "preprocess", None)) else "preprocess"
        raise ConfigError(
            f"The adapter '{name}' has no method {missing}. It needs preprocess(image) and "
            "logits(batch), or probabilities(batch) in place of logits; "
            "docs/how-to/audit-a-model.md has examples."
        )
    if len(offered) > 1:
        raise ConfigError(
            f"The adapter '{name}' has both logits and probabilities. Leave one of them out."
        )
    return offered[0]


def _try_adapter(model: ForeignModel) -> Probabilities:
    """Try an adapter on drawn images, and return its scores.

    Raises:
        ConfigError: It fails; its logits are probabilities; or its answers are not repeatable.
    """
    images = _draw_images()
    scores = model.compute_scores(images)
    if model.scores == "logits" and _are_probabilities(scores):
        raise ConfigError(
            f"The adapter '{model.name}': logits() gave probabilities (no value is negative, and "
            "each row sums to 1). Return what stands before the softmax, or name the method "
            "probabilities."
        )
    if not _are_alike(scores, model.compute_scores(images)):
        raise ConfigError(
            f"The adapter '{model.name}' gives other answers when the same images are given again. "
            "Switch off what is random: call .eval() on the network (dropout), and leave out "
            "augmentation in preprocess."
        )
    half = len(images) // 2
    if not _are_alike(scores[:half], model.compute_scores(images[:half])):
        raise ConfigError(
            f"The adapter '{model.name}': its answer to an image depends on which other images are "
            "in the batch. Call .eval() on the network, so that batch normalisation uses what it "
            "learnt."
        )
    model.predict(images[0][None])
    model.compute_features(np.stack(images[:half]))
    return scores


def _draw_images() -> list[NDArray[np.uint8]]:
    """Draw smooth patches with noise, of several sizes: no chest, but no flat grey either."""
    generator = build_generator(0, "audit", "adapter")
    images = []
    for height, width in _TRIED_SIZES_PX:
        coarse = generator.uniform(20, 235, size=(8, 8))
        smooth = np.kron(coarse, np.ones((-(-height // 8), -(-width // 8))))[:height, :width]
        noisy = smooth + generator.normal(0, 8, size=(height, width))
        images.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    return images


def _are_probabilities(scores: Probabilities) -> bool:
    sums = scores.sum(axis=1)
    return bool((scores >= -_SUM_TOLERANCE).all() and (abs(sums - 1) < _SUM_TOLERANCE).all())


def _are_alike(first: Probabilities, second: Probabilities) -> bool:
    scale = float(np.abs(first).max())
    return bool(np.abs(first - second).max() <= _TOLERANCE * scale)


def _decode(content: bytes) -> NDArray[np.uint8]:
    return np.rint(decode_image(content).pixels * 255).astype(np.uint8)


def _to_array(found: object) -> NDArray[np.float64]:
    if isinstance(found, Tensor):
        found = found.detach().cpu().to(torch.float64).numpy()
    return np.asarray(found, dtype=np.float64)


def _compute_content(found: FoundFactory, adapter: object, scores: Probabilities) -> str:
    """Compute the SHA-256 of what the answers depend on, as far as it can be seen.

    Weights outside of torch, and preprocessing in other files, are seen by the scores alone.
    """
    digest = hashlib.sha256(found.source)
    for name, tensor in _list_weights(adapter):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    digest.update(np.round(scores, _CONTENT_DECIMALS).tobytes())
    return digest.hexdigest()


def _list_weights(adapter: object) -> Iterator[tuple[str, Tensor]]:
    """List the dense tensors of the adapter, where it is a torch module, and of those it holds."""
    held = [("", adapter), *getattr(adapter, "__dict__", {}).items()]
    for place, module in held:
        if isinstance(module, nn.Module):
            for name, tensor in module.state_dict().items():
                is_tensor = isinstance(tensor, Tensor)
                if is_tensor and tensor.layout == torch.strided and not tensor.is_quantized:
                    yield f"{place}.{name}", tensor
