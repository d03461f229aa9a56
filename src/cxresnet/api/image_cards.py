"""Explain any images: for each a card (HTML, PNG, JSON, `.npz`), and a page that links the cards.

A card that is complete is kept: whoever repeats an interrupted command goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxresnet.api.classifier import Model
from cxresnet.api.explanation import Explanation, calibrate
from cxresnet.api.prediction import Prediction
from cxresnet.api.preparation import ImageInput
from cxresnet.core.config import ExplainConfig
from cxresnet.core.errors import CXResnetError, ImageError, RunFolderError, explain_image_fault
from cxresnet.core.files import write_text
from cxresnet.core.printable import make_printable
from cxresnet.core.progress import reporting_nothing, track
from cxresnet.core.record import read_record, write_record
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.explain.choice import find_class
from cxresnet.explain.context import list_versions
from cxresnet.explain.neighbours import (
    Gallery,
    ImageNeighbours,
    build_gallery,
    compute_features,
)
from cxresnet.explain.record import write_arrays
from cxresnet.explain.sanity.record import SanityCard
from cxresnet.explain.sanity.run import find_card, hash_network
from cxresnet.explain.text_summary import compute_text_summaries
from cxresnet.predict.bundled import BUNDLED_RUN
from cxresnet.predict.files import read_image_file
from cxresnet.report.image_card import (
    ClassShare,
    ImageCard,
    IndexRow,
    MethodVerdict,
    RefusedImage,
    render_card_index,
    render_image_card,
)

INDEX_NAME = "index.html"
_COMMAND = "cxresnet explain IMAGE"
_NAME_LENGTH = 60
_HASH_DIGITS = 6


@dataclass(frozen=True)
class ImageCards:
    """What `write_image_cards` wrote.

    Attributes:
        page: The page that links all cards in its folder.
        written: How many cards are new.
        kept: How many cards were complete already.
        refused: The images without a card, and why.
    """

    page: Path
    written: int
    kept: int
    refused: tuple[RefusedImage, ...]


def write_image_cards(
    model: Model,
    files: Sequence[Path],
    *,
    out: Path,
    config: ExplainConfig,
    class_name: str | None = None,
) -> ImageCards:
    """Explain images, and write a card of each into one folder.

    Args:
        model: The network.
        files: Images; one that is refused is named on the page and does not stop the others.
        out: The folder. A card that is complete and of the same content is kept.
        config: Methods, and how finely.
        class_name: The class explained, also by a synonym ("covid"); None: the predicted class.

    Raises:
        ConfigError: There is no such class.
        StorageError: The folder cannot be written.
    """
    if class_name is not None:
        class_name = model.class_names[find_class(class_name, model.class_names)]
    settings = _hash_settings(model, config=config, class_name=class_name)
    refused: list[RefusedImage] = []
    waiting: list[_Card] = []
    for path in files:
        try:
            content = hashlib.sha256(settings + read_image_file(path)).hexdigest()
        except ImageError as error:
            refused.append(_refuse(path, str(error)))
            continue
        card = _Card(out / _build_name(path), path, content)
        if not card.is_complete():
            waiting.append(card)
    kept = len(files) - len(waiting) - len(refused)
    written = 0
    try:
        writer = _Writer(
            model, config, class_name, open_gallery(model, config) if waiting else None
        )
        for card in track(waiting, "Explaining images"):
            with reporting_nothing():
                reason = writer.write(card)
            if reason:
                refused.append(_refuse(card.image, reason))
            written += not reason
    finally:
        page = write_text(out / INDEX_NAME, render_card_index(_list_cards(out), refused))
    return ImageCards(page, written, kept, tuple(refused))


@dataclass(frozen=True)
class _Card:
    """The files of one card.

    Attributes:
        stem: The path of its files without their suffix.
        image: The image.
        content: Hash over the image and everything that its card depends on.
    """

    stem: Path
    image: Path
    content: str

    def get_path(self, suffix: str) -> Path:
        return self.stem.with_name(self.stem.name + suffix)

    def is_complete(self) -> bool:
        """Whether all files are there, and of this content; the record is written last."""
        try:
            record = read_record(self.get_path(".json"), ImageCard, command=_COMMAND)
        except RunFolderError:
            return False
        others = (self.get_path(suffix) for suffix in (".html", ".png", ".npz"))
        return record.content == self.content and all(path.is_file() for path in others)


@dataclass(frozen=True, eq=False)
class _Writer:
    """Explains one image after another.

    Attributes:
        model: The network.
        config: Methods, and how finely.
        class_name: The class explained; None: the predicted one.
        gallery: The training images; None where they are not there.
    """

    model: Model
    config: ExplainConfig
    class_name: str | None
    gallery: Gallery | None

    def write(self, card: _Card) -> str:
        """Write the card of an image; returns why it was refused, "" if it was not."""
        try:
            self._write(card)
        except Exception as error:  # noqa: BLE001  one image must not end the work on all others
            return str(explain_image_fault(error))
        return ""

    def _write(self, card: _Card) -> None:
        card.get_path(".json").unlink(missing_ok=True)
        explanation = self._explain(card.image)
        record = self._describe(card, explanation)
        write_arrays(card.get_path(".npz"), explanation.attributions)
        explanation.save(card.get_path(".png"))
        write_text(card.get_path(".html"), render_image_card(record, explanation.attributions))
        write_record(card.get_path(".json"), record, with_checksum=False)

    def _explain(self, image: Path) -> Explanation:
        return explain_for_card(self.model, image, config=self.config, class_name=self.class_name)

    def _describe(self, card: _Card, explanation: Explanation) -> ImageCard:
        found = find_neighbours(self.model, explanation, self.gallery, count=self.config.neighbours)
        return build_image_card(
            self.model,
            explanation,
            content=card.content,
            file=make_printable(str(card.image)),
            neighbours=None if found is None else found[0],
        )


def explain_for_card(
    model: Model, image: ImageInput, *, config: ExplainConfig, class_name: str | None = None
) -> Explanation:
    """Explain an image by the methods of a config; what the audit found stands with the maps.

    Args:
        model: The network.
        image: As of `Model.predict`.
        config: Methods, and how finely.
        class_name: The class explained; None: the predicted one.

    Raises:
        ImageError: The image cannot be used.
        ConfigError: There is no such class.
    """
    settings = config.model_dump(exclude={"methods"})
    found = model.explain(image, config.methods, class_name=class_name, **settings)
    index = found.attributions.index.model_copy(update={"data_verdict": model.verdict})
    return replace(found, attributions=replace(found.attributions, index=index))


def build_image_card(
    model: Model,
    explanation: Explanation,
    *,
    content: str,
    file: str,
    neighbours: ImageNeighbours | None = None,
) -> ImageCard:
    """Build everything that the card of one image says.

    Args:
        model: The network.
        explanation: Of the image, as `explain_for_card` gives it.
        content: Hash over everything that the card depends on.
        file: What the image is called; must be printable.
        neighbours: The most similar training images; None where they are not there.
    """
    attributions, prediction = explanation.attributions, explanation.prediction
    network = calibrate(model.predictor, model.decision)
    images = model.predictor.to_tensor(attributions.images)
    (summary,) = compute_text_summaries(network, images, attributions)
    return ImageCard(
        content=content,
        file=file,
        network=name_network(model),
        data_verdict=model.verdict,
        predicted_class=prediction.class_name,
        decision=prediction.decision,
        gate=prediction.gate,
        note=prediction.note,
        weighing=model.decision.describe_weights() if prediction.is_weighed else "",
        nominal_coverage=model.decision.nominal_coverage,
        classes=_list_classes(model, prediction),
        index=attributions.index,
        text_summary=summary,
        neighbours=neighbours,
        sanity=tuple(
            describe_verdict(method.name, method.title, explanation.card)
            for method in attributions.index.methods
        ),
    )


def find_neighbours(
    model: Model, explanation: Explanation, gallery: Gallery | None, *, count: int
) -> tuple[ImageNeighbours, NDArray[np.uint8]] | None:
    """Find the training images most similar to an explained image; None without a gallery.

    Returns:
        The record, and the images themselves, (count or fewer, side, side).
    """
    if gallery is None:
        return None
    (feature,) = compute_features(model.predictor, explanation.attributions.images)
    image_id = explanation.attributions.index.images[0].image_id
    # An image from outside belongs to no group, so no training image is left out.
    return gallery.find(feature, image_id=image_id, group_id="", count=count)


def _list_classes(model: Model, prediction: Prediction) -> tuple[ClassShare, ...]:
    thresholds = model.decision.set_thresholds or (None,) * len(model.class_names)
    return tuple(
        ClassShare(
            name=name,
            probability=min(1.0, prediction.probabilities[name]),
            possible=name in prediction.prediction_set,
            threshold=threshold,
        )
        for name, threshold in zip(model.class_names, thresholds, strict=True)
    )


def describe_verdict(name: str, title: str, card: SanityCard | None) -> MethodVerdict:
    """Say whether a method passed the sanity checks on the network of a card."""
    found = [one for one in ([] if card is None else card.methods) if one.name == name]
    if not found:
        return MethodVerdict(name=name, title=title, passed=None)
    reasons = tuple(test.sentence for test in found[0].tests if test.verdict == "fail")
    return MethodVerdict(name=name, title=title, passed=found[0].passed, reasons=reasons)


def open_gallery(model: Model, config: ExplainConfig) -> Gallery | None:
    """Compute the features of the training images; None where they are not there or not wanted."""
    if not config.neighbours:
        return None
    try:
        dataset = open_dataset(model.run.read_dataset_path())
    except CXResnetError:
        return None
    return build_gallery(model.predictor, dataset.select("train"), class_names=dataset.class_names)


def _hash_settings(model: Model, *, config: ExplainConfig, class_name: str | None) -> bytes:
    """Compute the hash over everything that a card depends on, except the image."""
    card = find_card(model.run.explain, model.predictor)
    settings = {
        "network": hash_network(model.predictor),
        "run": name_network(model),
        "verdict": model.verdict,
        "decision": model.decision.model_dump(mode="json"),
        "config": config.model_dump(mode="json"),
        "class": class_name,
        "reading": (model.predictor.any_body_part, model.gate, model.fix),
        "sanity": "" if card is None else card.content,
        "versions": list_versions(),
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).digest()


def _list_cards(out: Path) -> list[IndexRow]:
    """List all complete cards in a folder, also those of earlier calls, by the image's name."""
    rows = []
    for path in out.glob("*.json"):
        try:
            card = read_record(path, ImageCard, command=_COMMAND)
        except RunFolderError:
            continue
        rows.append(IndexRow(link=path.with_suffix(".html").name, card=card))
    return sorted(rows, key=lambda row: (row.card.file, row.link))


def _build_name(image: Path) -> str:
    """Name a card after its image; images of the same name in several folders stay apart."""
    slug = re.sub(r"[^a-z0-9]+", "-", image.stem.casefold()).strip("-")[:_NAME_LENGTH] or "image"
    place = hashlib.sha256(str(image.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{slug}-{place[:_HASH_DIGITS]}"


def name_network(model: Model) -> str:
    """Name a network after its run."""
    return "bundled network" if model.run == BUNDLED_RUN else model.run.path.resolve().name


def _refuse(image: Path, reason: str) -> RefusedImage:
    return RefusedImage(file=make_printable(str(image)), reason=reason)
