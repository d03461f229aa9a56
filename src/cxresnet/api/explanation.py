"""The explanation of one image: its attribution maps, and their pictures."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet.api.prediction import Prediction
from cxresnet.core.config import ExplainConfig
from cxresnet.core.errors import ConfigError
from cxresnet.core.files import write_bytes
from cxresnet.core.run_folder import RunFolder
from cxresnet.explain.attribution import (
    build_index,
    describe_method,
    explain_images,
    measure_lungs,
)
from cxresnet.explain.choice import find_class
from cxresnet.explain.figures import draw_explanation_figure
from cxresnet.explain.lungs import choose_lungs
from cxresnet.explain.methods.method import build_methods
from cxresnet.explain.overlay import draw_overlay
from cxresnet.explain.record import Attributions, ExplainedImage, MethodRecord
from cxresnet.explain.sanity.card import mark_failed_methods
from cxresnet.explain.sanity.record import SanityCard
from cxresnet.explain.sanity.run import find_card
from cxresnet.predict.decision import CalibratedNetwork, Decision
from cxresnet.predict.predictor import Predictor


@dataclass(frozen=True, eq=False)
class Explanation:
    """An attribution map of one image, or several; the properties are those of the first.

    Attributes:
        attributions: One image and its methods, with everything that is known about them.
        card: Results of the sanity checks on this network; None where they did not run, which
            `cxresnet explain RUN` does.
        prediction: What the network predicts for the image, as `predict` gives it.
    """

    attributions: Attributions
    card: SanityCard | None
    prediction: Prediction

    @property
    def passed_sanity(self) -> bool | None:
        """Whether the method passed the sanity checks; None where it was not tested."""
        return None if self.card is None else self.card.find_verdict(self.method)

    @property
    def class_name(self) -> str:
        """The class whose probability is explained."""
        return self._explained.explained_class

    @property
    def probability(self) -> float:
        """Calibrated probability of the explained class, 0 to 1."""
        return self._explained.explained_probability

    @property
    def predicted_class(self) -> str:
        """The class that the network predicts."""
        return self._explained.predicted_class

    @property
    def method(self) -> str:
        """Name of the attribution method."""
        return self._method.name

    @property
    def unit(self) -> str:
        """Unit of the values of the map, for example "change of probability"."""
        return self._method.unit

    @property
    def interpretation(self) -> str:
        """What a value of the map means, one sentence."""
        return self._method.interpretation

    @property
    def map(self) -> NDArray[np.float32]:
        """The map, (row, column), signed: above 0 speaks for the class, below 0 against it."""
        values: NDArray[np.float32] = self.attributions.maps[self.method][0]
        return values

    @property
    def baseline_range(self) -> NDArray[np.float32] | None:
        """Range of the values between several baselines, (row, column); None for one baseline."""
        ranges = self.attributions.baseline_ranges.get(self.method)
        return None if ranges is None else ranges[0]

    @property
    def image(self) -> NDArray[np.uint8]:
        """The image as the network gets it, (row, column), 0 to 255."""
        pixels: NDArray[np.uint8] = self.attributions.images[0]
        return pixels

    @property
    def lung_share(self) -> float | None:
        """Share of the map's weight that lies in the lungs, 0 to 1; None where none were found.

        A map that ignores the lungs scores `lung_area_share`.
        """
        return self._explained.lung_shares.get(self.method)

    @property
    def lung_area_share(self) -> float | None:
        """Share of the image that is lung, 0 to 1; None where no lungs were found."""
        return self._explained.lung_area_share

    @property
    def _explained(self) -> ExplainedImage:
        return self.attributions.index.images[0]

    @property
    def _method(self) -> MethodRecord:
        return self.attributions.index.methods[0]

    def __repr__(self) -> str:
        return (
            f"Explanation({self.method} of '{self.class_name}', probability "
            f"{self.probability:.3f}, map {self.map.shape}, passed_sanity={self.passed_sanity})"
        )

    def overlay(self, *, side_px: int | None = None) -> Image.Image:
        """Draw the map over the image: orange speaks for the class, blue against it.

        Args:
            side_px: Side of the picture; None for that of the map.

        Returns:
            An RGB picture. `save` adds the colour scale, the caption and the disclaimer.
        """
        pixels = draw_overlay(
            self.image,
            self.attributions.compute_drawn(self._method, 0),
            scale_limit=self.attributions.get_scale_limit(self._method),
        )
        picture = Image.fromarray(pixels)
        if side_px is None:
            return picture
        return picture.resize((side_px, side_px), Image.Resampling.BICUBIC)

    def draw_figure(self) -> Image.Image:
        """Draw image, map, colour scale, caption and disclaimer in one picture."""
        return draw_explanation_figure(self.attributions, 0)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the figure to a file, whole or not at all; returns its path.

        Args:
            path: The suffix chooses the format: .png, .jpg, .webp, .tif or .pdf.

        Raises:
            ConfigError: Pillow writes no files of this suffix.
            StorageError: The file cannot be written.
        """
        target = Path(path)
        kind = Image.registered_extensions().get(target.suffix.casefold())
        if kind is None or kind not in Image.SAVE:
            raise ConfigError(
                f"'{target.name}' does not end in the suffix of a picture. Write for example "
                f"'{target.stem}.png'."
            )
        return write_bytes(target, _encode(self.draw_figure(), kind=kind))

    def _repr_png_(self) -> bytes:
        """Show the figure in a notebook."""
        return _encode(self.draw_figure(), kind="PNG")


def explain_image(  # noqa: PLR0913  the network, the image, and what is to be explained of it
    predictor: Predictor,
    image: NDArray[np.uint8],
    *,
    decision: Decision,
    prediction: Prediction,
    class_name: str | None,
    config: ExplainConfig,
    run: RunFolder,
    image_id: str,
) -> Explanation:
    """Explain one prepared image by the methods of the config.

    Args:
        predictor: The network.
        image: (side, side), as prepared for it.
        decision: Calibrates the network.
        prediction: For the image.
        class_name: The class to explain, also by a short name ("covid"); None for the predicted.
        config: Methods and their parameters.
        run: Where the sanity checks of the network are looked for.
        image_id: Stands in the caption.

    Raises:
        ConfigError: There is no such class.
    """
    names = predictor.class_names
    target = find_class(class_name or prediction.class_name, names)
    methods = build_methods(config.methods, config, side_px=image.shape[-1])
    lungs = choose_lungs(image, None)
    maps = explain_images(
        calibrate(predictor, decision),
        predictor.to_tensor(image[None]),
        methods=methods,
        targets=[target],
        lung_masks=lungs.mask[None],
    )
    area, shares = measure_lungs(lungs.mask, {name: each[0] for name, each in maps.maps.items()})
    explained = _describe_image(
        prediction, explained_class=names[target], image_id=image_id
    ).model_copy(
        update={
            "lung_source": lungs.source,
            "lung_note": lungs.note,
            "lung_area_share": area,
            "lung_shares": shares,
        }
    )
    records = tuple(describe_method(method, maps.maps[method.name]) for method in methods)
    attributions = Attributions(
        index=build_index(records, images=(explained,), class_names=names),
        images=image[None],
        lung_masks=lungs.mask[None],
        maps=maps.maps,
        baseline_ranges=maps.baseline_ranges,
    )
    card = find_card(run.explain, predictor)
    return Explanation(mark_failed_methods(attributions, card), card, prediction)


def calibrate(predictor: Predictor, decision: Decision) -> CalibratedNetwork:
    """Wrap a network so that it gives calibrated logits."""
    point = decision.operating_point
    return CalibratedNetwork(predictor.model, temperature=point.temperature, shifts=point.shifts)


def _describe_image(
    prediction: Prediction, *, explained_class: str, image_id: str
) -> ExplainedImage:
    shares = prediction.probabilities
    return ExplainedImage(
        image_id=image_id or "image",
        patient_id="",
        source="",
        true_class="",
        predicted_class=prediction.class_name,
        probability=shares[prediction.class_name],
        explained_class=explained_class,
        explained_probability=shares[explained_class],
        selection_reason="requested",
    )


def _encode(picture: Image.Image, *, kind: str) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format=kind)
    return stream.getvalue()
