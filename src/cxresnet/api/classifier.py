"""A trained network that classifies and explains images, however they are given."""

from __future__ import annotations

import contextlib
import html
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet import DISCLAIMER
from cxresnet.api.prediction import Prediction
from cxresnet.api.preparation import (
    ImageInput,
    ImagePreparation,
    PreparedInput,
    get_path,
    refuse_kind,
)
from cxresnet.core.backends import check_backend
from cxresnet.core.config import Config, change_config
from cxresnet.core.errors import ImageError
from cxresnet.core.executor import AbstractExecutor, ThisProcess
from cxresnet.core.run_folder import RunFolder, open_run_folder
from cxresnet.predict.bundled import BUNDLED_RUN, read_bundled_headline
from cxresnet.predict.decision import (
    ABSTAIN,
    Decision,
    ImageDecision,
    build_plain_decision,
    read_decision,
)
from cxresnet.predict.image_gate import BORDERLINE, NOT_CHECKED, REFUSED
from cxresnet.predict.predictor import Predictor, load_predictor
from cxresnet.predict.training_images import (
    FAR_NOTE,
    KNOWN_NOTE,
    TrainingImages,
    read_training_images,
)

if TYPE_CHECKING:
    from cxresnet.api.explanation import Explanation

_BATCH_SIZE = 64


@dataclass(frozen=True)
class _Decided:
    """What the network decides on an image, and whether it is unlike the training images."""

    decision: ImageDecision
    is_far: bool


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network, as `load` gives it.

    Attributes:
        run: The run folder that it was read from.
        predictor: The network with the preprocessing of its images.
        decision: Calibration, decision rule and abstention, as chosen on validation images.
        is_evaluated: False where `evaluate` has not run yet: then probabilities are not calibrated
            and no image is abstained from.
        verdict: What the audit found in the training data, one sentence; "" where it did not run.
        gate: Whether each image is checked first to be an upright frontal chest X-ray.
        fix: Whether the rotation and inversion that the gate finds are undone, not refused.
        training_images: What is known of the images that the network was trained on; None where
            nothing is, so that nothing is said of them.
    """

    run: RunFolder
    predictor: Predictor
    decision: Decision
    is_evaluated: bool
    verdict: str
    gate: bool = True
    fix: bool = False
    training_images: TrainingImages | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of every probability."""
        return self.predictor.class_names

    @overload
    def predict(self, images: ImageInput) -> Prediction: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, images: Iterable[ImageInput]) -> list[Prediction]: ...

    def predict(self, images: ImageInput | Iterable[ImageInput]) -> Prediction | list[Prediction]:
        """Classify one image or several.

        Args:
            images: A path, the bytes of a file (PNG, JPEG, BMP, TIFF, WebP, DICOM), a Pillow image,
                or an array of grey levels: (height, width), unsigned integers of which the largest
                is white, or floats from 0 (black) to 1 (white). A list of these for several.

        Returns:
            One prediction; a list of them for a list. An image that cannot be used is refused in
            its prediction and raises nothing, so that one bad file does not stop the others.

        >>> import cxresnet
        >>> import numpy as np
        >>> model = cxresnet.load(gate=False)  # noise is no chest X-ray, and would be refused
        >>> grey_levels = np.random.default_rng(0).integers(0, 256, (128, 128), dtype=np.uint8)
        >>> prediction = model.predict(grey_levels)
        >>> list(prediction.probabilities)
        ['normal', 'pneumonia', 'covid-19']
        >>> model.predict(["nowhere.png"])[0].reason
        'There is no such file.'
        """
        if _is_one_image(images):
            return next(self.predict_each([images]))  # type: ignore[list-item]
        return list(self.predict_each(images))  # type: ignore[arg-type]

    def predict_each(
        self, images: Iterable[ImageInput], *, executor: AbstractExecutor | None = None
    ) -> Iterator[Prediction]:
        """Classify images one after another, however many; memory does not grow with them.

        Args:
            images: As of `predict`.
            executor: Where images are read, decoded, checked and prepared; None for this process.
                The network runs in this process, on the same batches wherever they come from.

        Yields:
            One prediction an image, in order.
        """
        outcomes = (executor or ThisProcess()).run(self._preparation, images)
        with contextlib.closing(outcomes):
            while batch := list(itertools.islice(outcomes, _BATCH_SIZE)):
                usable = [found.image for _, found in batch if isinstance(found, PreparedInput)]
                decisions = iter(self._decide(usable))
                for path, found in batch:
                    yield (
                        self._describe(next(decisions), found, path=path)
                        if isinstance(found, PreparedInput)
                        else self._describe_refusal(found, path=path)
                    )

    def explain(
        self,
        image: ImageInput,
        method: str | Sequence[str] = "occlusion",
        *,
        class_name: str | None = None,
        **settings: Any,
    ) -> Explanation:
        """Compute an attribution map: which places of the image hold the probability of a class.

        Args:
            image: One image, as of `predict`.
            method: An attribution method, for example "occlusion", "grad_cam" or
                "integrated_gradients", or several.
            class_name: The class whose probability is explained; None for the predicted class.
            **settings: Keys of the config section `explain`, for example
                `occlusion_baselines=("mean",)`, which is twice as quick as the default.

        Returns:
            The map, equal to that of `cxresnet explain` with the same settings. Where predictions
            are averaged over several views of an image, the map explains the image itself.

        Raises:
            ImageError: The image cannot be used; the message says why.
            ConfigError: There is no such method, class or setting.

        >>> import cxresnet
        >>> import numpy as np
        >>> grey_levels = np.random.default_rng(0).integers(0, 256, (128, 128), dtype=np.uint8)
        >>> model = cxresnet.load(gate=False)
        >>> explanation = model.explain(grey_levels, "grad_cam", class_name="covid")
        >>> explanation.class_name, explanation.map.shape == explanation.image.shape
        ('covid-19', True)
        """
        from cxresnet.api.explanation import explain_image

        methods = [method] if isinstance(method, str) else method
        config = change_config(
            Config(),
            {f"explain.{name}": value for name, value in settings.items()}
            | {"explain.methods": [name.replace("-", "_") for name in methods]},
        )
        prepared = self._preparation.prepare(image)
        (decided,) = self._decide([prepared.image])
        path = get_path(image)
        return explain_image(
            self.predictor,
            prepared.image,
            decision=self.decision,
            prediction=self._describe(decided, prepared, path=path),
            class_name=class_name,
            config=config.explain,
            run=self.run,
            image_id="" if path is None else path.name,
        )

    @property
    def _preparation(self) -> ImagePreparation:
        return ImagePreparation(self.predictor, self.gate, self.fix, self.training_images)

    def _decide(self, images: Sequence[NDArray[np.uint8]]) -> list[_Decided]:
        if not images:
            return []
        stacked, known = np.stack(images), self.training_images
        are_far = np.zeros(len(images), dtype=np.bool_)
        features = None if known is None else self.predictor.compute_features(stacked)
        if known is not None and features is not None:
            are_far = known.are_far(features)
        if features is None or self.decision.test_time_augmentation:
            logits = self.predictor.predict_images(
                stacked,
                batch_size=_BATCH_SIZE,
                test_time_augmentation=self.decision.test_time_augmentation,
            )
        else:
            logits = self.predictor.classify_features(features)
        decisions = self.decision.decide_images(logits)
        return [
            _Decided(decision, is_far=bool(is_far))
            for decision, is_far in zip(decisions, are_far, strict=True)
        ]

    def _describe(
        self, decided: _Decided, prepared: PreparedInput, *, path: Path | None
    ) -> Prediction:
        notes = (prepared.note, FAR_NOTE * decided.is_far, KNOWN_NOTE * prepared.is_known)
        may_only_abstain = decided.is_far or prepared.gate == BORDERLINE
        decision = decided.decision
        return Prediction(
            path=path,
            probabilities=dict(zip(self.class_names, decision.probabilities, strict=True)),
            class_name=decision.class_name,
            decision=ABSTAIN if may_only_abstain else decision.decision,
            prediction_set=decision.prediction_set,
            gate=prepared.gate,
            note=" ".join(filter(None, notes)),
            abstention_reason=decision.abstention_reason,
        )

    def _describe_refusal(self, error: ImageError, *, path: Path | None) -> Prediction:
        gate = REFUSED if self.gate else NOT_CHECKED
        return Prediction(path=path, reason=str(error), code=error.code, gate=gate)

    def __repr__(self) -> str:
        state = "evaluated" if self.is_evaluated else "not evaluated"
        return f"Model('{self.run.path.name}', classes={self.class_names}, {state})"

    def _repr_html_(self) -> str:
        """Show in a notebook what the network is, and what is known against it."""
        preset = self.predictor.record.model.preset
        side_px = self.predictor.preprocessing.side_px
        lines = [
            f"<b>CXResNet</b>, preset {html.escape(preset)}, {side_px} × {side_px} px",
            f"Classes: {html.escape(', '.join(self.class_names))}",
            html.escape(self.verdict),
            "" if self.is_evaluated else "Not evaluated: the probabilities are not calibrated.",
            f"<small>{html.escape(DISCLAIMER)}</small>",
        ]
        return "".join(f"<p>{line}</p>" for line in lines if line)


def load(
    run: str | os.PathLike[str] | None = None,
    *,
    any_body_part: bool = False,
    gate: bool = True,
    fix: bool = False,
    backend: str = "torch",
) -> Model:
    """Load a trained network.

    Args:
        run: The folder of a run, as `train` writes it; None for the network in the package.
        any_body_part: Classify DICOM radiographs whatever part of the body their header names.
        gate: Refuse what is not an upright frontal chest X-ray of usual tone. Without it every
            prediction is marked "not checked".
        fix: Turn back a rotated image, and exchange black and white of an inverted one, instead of
            refusing it; the prediction says so.
        backend: The library that runs the network: "torch"; "onnxruntime", which needs the extra
            `fast`; or "auto", which is onnxruntime where it is installed. Attribution maps are
            computed by PyTorch.

    Returns:
        The network in evaluation mode on the CPU, with the decision rule of its evaluation.

    Raises:
        RunFolderError: The folder is no run; the message says how to make one.
        CheckpointError: The network is missing or damaged.
        ConfigError: There is no such backend.
        MissingExtraError: The backend is not installed.

    >>> import cxresnet
    >>> cxresnet.load().class_names
    ('normal', 'pneumonia', 'covid-19')
    """
    folder = BUNDLED_RUN if run is None else open_run_folder(Path(run))
    predictor = replace(
        load_predictor(folder.checkpoint),
        any_body_part=any_body_part,
        backend=check_backend(backend),
    )
    decision = read_decision(folder)
    return Model(
        run=folder,
        predictor=predictor,
        decision=decision or build_plain_decision(predictor.class_names),
        is_evaluated=decision is not None,
        verdict=read_bundled_headline()
        if run is None
        else str(predictor.record.notes.get("data_verdict", "")),
        gate=gate,
        fix=fix,
        training_images=read_training_images(folder),
    )


def _is_one_image(images: object) -> bool:
    one = isinstance(images, str | os.PathLike | bytes | Image.Image | np.ndarray)
    if not one and not isinstance(images, Iterable):
        raise refuse_kind(images)
    return one
