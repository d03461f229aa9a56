"""The gate before every prediction: is this a whole, upright, frontal chest X-ray of usual tone?

Checks of the picture itself refuse what is in colour, too small, or made of few grey levels (text,
drawings, screenshots). For the rest one score decides: a linear function of features of the lung
finder's network, fitted on chest X-rays against pictures of other things, and against the same
X-rays turned, inverted and cropped. An image that is refused as it is, and accepted after a turn or
an inversion, is one that was turned or inverted. `benchmarks/gate.py` fits it and measures it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import CheckpointError, ImageError
from cxresnet.data.prepare.preprocessing import build_preprocessing, prepare_image
from cxresnet.model.checkpoint import read_tensor_folder
from cxresnet.model.lung_net import LUNG_SIDE_PX
from cxresnet.predict.lungs import LungFinder, load_lung_finder, standardise

GATE_WEIGHTS = Path(__file__).parent / "gate_weights"
"""The folder that `benchmarks/gate.py --fit` wrote."""

MIN_SIDE_PX = 64
"""Shortest side at which a chest X-ray can be told from other pictures."""

MAX_USUAL_ASPECT = 1.7
"""Width over height; halves of an X-ray cut across have about 2."""

MAX_COLOUR = 0.10
"""Mean of the largest less the smallest of red, green and blue; a tinted X-ray has less."""

MAX_SHARE_OF_FEW_LEVELS = 0.80
"""Of the pixels, those that the four commonest of 256 grey levels may hold."""

PASSED, MENDED, BORDERLINE = "passed", "mended", "borderline"
REFUSED, NOT_CHECKED = "refused", "not checked"

_PREPROCESSING = build_preprocessing(DataConfig(resize_mode="squash", side_px=LUNG_SIDE_PX))
_QUARTER_TURNS = ("", "by 90° clockwise", "by 180°", "by 90° anticlockwise")
_BORDERLINE_NOTE = (
    "The image is unlike most chest X-rays that the gate was fitted on, so no class is decided on."
)
_WAY_OUT = "If it is one, use --no-gate (in Python: gate=False)."


@dataclass(frozen=True, kw_only=True)
class GateVerdict:
    """What the gate found.

    Attributes:
        code: The reason in one word; "" where the image is accepted.
        reason: Why the image is refused, in plain sentences; "" where it is accepted.
        score: Higher is more like a chest X-ray; None where a check of the picture refused it.
        is_borderline: Accepted, but unlike most images that are: no class should be decided on.
        quarter_turns: Anticlockwise, that make the image upright.
        is_inverted: Whether black and white have to be exchanged.
    """

    code: str = ""
    reason: str = ""
    score: float | None = None
    is_borderline: bool = False
    quarter_turns: int = 0
    is_inverted: bool = False

    @property
    def can_be_mended(self) -> bool:
        """Whether `mend` makes an image of it that the gate accepts."""
        return self.quarter_turns > 0 or self.is_inverted

    @property
    def alteration(self) -> str:
        """How the image was altered, as in "rotated by 180°"; "" where it was not."""
        turned = f"rotated {_QUARTER_TURNS[self.quarter_turns]}" if self.quarter_turns else ""
        inverted = "inverted" if self.is_inverted else ""
        return " and ".join(filter(None, (inverted, turned)))


@dataclass(frozen=True, eq=False)
class AdmittedImage:
    """An image that may be classified.

    Attributes:
        pixels: (height, width), 0 to 1; upright and of usual tone where it was mended.
        status: "passed", "mended", "borderline" or "not checked".
        note: What has to be said beside the prediction, one sentence; "" where it passed.
    """

    pixels: NDArray[np.float32]
    status: str
    note: str = ""


@dataclass(frozen=True, eq=False)
class Gate:
    """Tells chest X-rays from other pictures, on the CPU.

    Attributes:
        finder: Its network computes the features, and its checks say what is missing.
        weights: One a feature.
        bias: Added to the weighted sum.
        limit: Lowest score that is accepted.
        usual: Lowest score that is not borderline.
    """

    finder: LungFinder
    weights: Tensor
    bias: float
    limit: float
    usual: float

    def check(self, pixels: NDArray[np.float32], *, colour: float = 0.0) -> GateVerdict:
        """Decide whether an image is a whole, upright, frontal chest X-ray of usual tone.

        Args:
            pixels: (height, width), 0 (black) to 1 (white), as decoded.
            colour: How coloured the file was; see `measure_colour`.

        Raises:
            ImageError: "blank".
        """
        if reason := check_picture(pixels, colour=colour):
            return GateVerdict(code="not-an-x-ray", reason=f"{reason} {_WAY_OUT}")
        return self.check_prepared(prepare_for_gate(pixels), is_wide=is_wide(pixels.shape))

    def check_prepared(self, image: NDArray[np.uint8], *, is_wide: bool = False) -> GateVerdict:
        """Decide on an image that `prepare_for_gate` prepared.

        A wide image may be the upper or lower half of an X-ray: nothing borderline is accepted.
        """
        score = self.score_all(image[None])[0]
        if score >= (self.usual if is_wide else self.limit):
            return GateVerdict(score=score, is_borderline=score < self.usual)
        return self._explain(image, score=score)

    def score_all(self, images: NDArray[np.uint8]) -> list[float]:
        """Score prepared images, (image, side, side)."""
        inputs = torch.from_numpy(images.astype(np.float32)).unsqueeze(1)
        with torch.inference_mode():
            features = self.finder.network.forward_features(standardise(inputs))
            scores: list[float] = (features @ self.weights + self.bias).tolist()
        return scores

    def _explain(self, image: NDArray[np.uint8], *, score: float) -> GateVerdict:
        """Explain a refusal: another orientation or tone, or what the lung finder misses."""
        scores = self.score_all(list_orientations(image)[1:])
        best = int(np.argmax(scores)) + 1
        if scores[best - 1] >= self.limit:
            found = GateVerdict(score=score, quarter_turns=best % 4, is_inverted=best >= 4)
            return GateVerdict(
                code="rotated" if found.quarter_turns else "inverted",
                reason=f"The image is {found.alteration}. Use --fix (in Python: fix=True) to undo "
                "it, or --no-gate (gate=False) to classify it as it is.",
                score=score,
                quarter_turns=found.quarter_turns,
                is_inverted=found.is_inverted,
            )
        missing = self.finder.find(image).refusal.removeprefix("No reliable lungs found: ")
        return GateVerdict(
            code="not-a-chest-x-ray",
            reason="This does not look like a whole, upright, frontal chest X-ray"
            f"{f': {missing}' if missing else '.'} {_WAY_OUT}",
            score=score,
        )


def admit(pixels: NDArray[np.float32], *, colour: float = 0.0, fix: bool = False) -> AdmittedImage:
    """Admit an image to the network, or refuse it: the one gate before every prediction.

    Args:
        pixels: As of `Gate.check`.
        colour: Likewise.
        fix: Undo rotation and inversion instead of refusing the image.

    Raises:
        ImageError: "blank", or the code of the verdict; the message gives the reason.
    """
    verdict = load_gate().check(pixels, colour=colour)
    if verdict.reason and not (fix and verdict.can_be_mended):
        raise ImageError(verdict.code, verdict.reason)
    if verdict.can_be_mended:
        note = f"The file shows the image {verdict.alteration}; this was undone first."
        return AdmittedImage(mend(pixels, verdict), MENDED, note)
    if verdict.is_borderline:
        return AdmittedImage(pixels, BORDERLINE, _BORDERLINE_NOTE)
    return AdmittedImage(pixels, PASSED)


def admit_unchecked(pixels: NDArray[np.float32]) -> AdmittedImage:
    """Admit an image without looking at it, and say so."""
    return AdmittedImage(pixels, NOT_CHECKED, "Nothing checked that this is a chest X-ray.")


def is_wide(shape: tuple[int, ...]) -> bool:
    """Tell whether an image, (height, width), is wider than whole chest X-rays mostly are."""
    return shape[1] > MAX_USUAL_ASPECT * shape[0]


def prepare_for_gate(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Bring a decoded image to the size and grey levels that the gate scores.

    Raises:
        ImageError: "blank".
    """
    return prepare_image(pixels, _PREPROCESSING)


def list_orientations(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """List a square image turned by 0 to 3 quarters anticlockwise, then these inverted."""
    turned = np.stack([np.rot90(image, turns) for turns in range(4)])
    return np.concatenate([turned, 255 - turned])


def mend(pixels: NDArray[np.float32], verdict: GateVerdict) -> NDArray[np.float32]:
    """Undo the rotation and inversion that the gate found."""
    upright = np.rot90(pixels, verdict.quarter_turns)
    return np.ascontiguousarray(1 - upright if verdict.is_inverted else upright)


@functools.cache
def load_gate(folder: Path = GATE_WEIGHTS) -> Gate:
    """Load the gate that is shipped, once.

    Raises:
        CheckpointError: The weights are missing or altered, or belong to another lung finder.
    """
    content = read_tensor_folder(folder)
    tensors, record = content.tensors.get("weights"), content.documents.get("record")
    finder = load_lung_finder()
    if tensors is None or not isinstance(record, dict) or not {"limit", "usual"} <= record.keys():
        raise CheckpointError(f"'{folder}' does not hold a gate. Install cxresnet again.")
    weights, bias = tensors["weights"], float(tensors["bias"])
    return Gate(finder, weights, bias, float(record["limit"]), float(record["usual"]))


def check_picture(pixels: NDArray[np.float32], *, colour: float) -> str:
    """Check the picture itself; gives the reason why it is no X-ray, or "".

    The few grey levels are counted on the pixels as decoded: reducing a picture makes new ones.
    """
    height, width = pixels.shape
    if min(height, width) < MIN_SIDE_PX:
        return (
            f"The image has {width} × {height} pixels, too few to be recognised as a chest X-ray "
            f"(at least {MIN_SIDE_PX} are needed)."
        )
    if colour > MAX_COLOUR:
        return "This is a picture in colour, not an X-ray."
    counts = np.bincount(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.intp).ravel())
    if np.sort(counts)[-4:].sum() > MAX_SHARE_OF_FEW_LEVELS * pixels.size:
        return "Nearly all of the image has a few grey levels, as text, drawings and screenshots."
    return ""
