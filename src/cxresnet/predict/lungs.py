"""Segment the lungs on an image, or explain why they were refused.

A small network of our own (`model/lung_net.py`), shipped with the package; its weights are read
like every checkpoint, so that reading runs no code. It stands in wherever a share inside the lungs
is measured and no masks were given. docs/reference/lung-finder.md reports its accuracy.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from cxresnet import DISCLAIMER
from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import CheckpointError, explain_image_fault
from cxresnet.core.files import write_bytes
from cxresnet.core.printable import make_printable
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.decode.limits import DEFAULT_LIMITS, DecodeLimits
from cxresnet.data.manifest import write_safe_csv
from cxresnet.data.prepare.preprocessing import build_preprocessing, prepare_image
from cxresnet.model.checkpoint import load_weights, read_tensor_folder
from cxresnet.model.lung_net import LUNG_SIDE_PX, LungNet
from cxresnet.predict.files import read_image_file
from cxresnet.predict.gate import LungMeasures, explain_refusal, measure_lungs

SHIPPED_WEIGHTS = Path(__file__).parent / "lung_weights"
"""The folder that `benchmarks/train_lung_finder.py` wrote."""

_BATCH = 16


@dataclass(frozen=True, eq=False)
class FoundLungs:
    """The lungs of one image.

    Attributes:
        right_lung: (row, column), true where the patient's right lung lies, at the picture's left.
            Kept also where it was refused.
        left_lung: The same of the patient's left lung, at the picture's right.
        measures: What was measured on them.
        refusal: Why they are not reliable, one sentence; "" if they are.
    """

    right_lung: NDArray[np.bool_]
    left_lung: NDArray[np.bool_]
    measures: LungMeasures
    refusal: str

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Both lungs, (row, column), 255 inside and 0 outside; all 0 where they were refused."""
        both = (self.right_lung | self.left_lung) & (self.refusal == "")
        return both.astype(np.uint8) * 255


@dataclass(frozen=True)
class LungFinder:
    """Finds lungs on frontal images, on the CPU.

    Attributes:
        network: In evaluation mode.
    """

    network: LungNet

    def find(self, image: NDArray[np.uint8]) -> FoundLungs:
        """Find the lungs on one image.

        Args:
            image: Grey levels, (row, column), any size; upright, air dark.

        Returns:
            Lungs of the image's own size.
        """
        return self.find_all(image[None])[0]

    def find_all(self, images: NDArray[np.uint8]) -> tuple[FoundLungs, ...]:
        """Find the lungs on images of one size, (image, row, column); see `find`."""
        found: list[FoundLungs] = []
        for start in range(0, len(images), _BATCH):
            batch = np.asarray(images[start : start + _BATCH])
            views = self._predict_all_views(batch)
            found += [_assess(outputs, shape=batch.shape[1:]) for outputs in views]
        return tuple(found)

    def _predict_all_views(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network on every view of every image, and map the results back to the image.

        Returns:
            (image, view, 2, side, side), probability of either lung.
        """
        small = np.stack([_shrink(image) for image in images]).astype(np.float32)
        inputs = torch.from_numpy(small).unsqueeze(1)
        with torch.inference_mode():
            outputs = [_predict_view(self.network, inputs, view) for view in _VIEWS]
        return torch.stack(outputs, dim=1).numpy()


def standardise(images: Tensor) -> Tensor:
    """Standardise each image to mean 0 and standard deviation 1, whatever its exposure.

    Args:
        images: (image, 1, row, column).
    """
    sd, mean = torch.std_mean(images, dim=(1, 2, 3), keepdim=True, correction=0)
    return (images - mean) / sd.clamp_min(1e-3)


@functools.cache
def load_lung_finder(folder: Path = SHIPPED_WEIGHTS) -> LungFinder:
    """Load the lung finder that is shipped, once.

    Raises:
        CheckpointError: The weights are missing or altered, or are another network's.
    """
    content = read_tensor_folder(folder)
    weights, record = content.tensors.get("weights"), content.documents.get("record")
    if weights is None or not isinstance(record, dict) or "widths" not in record:
        raise CheckpointError(f"'{folder}' does not hold a lung finder. Install cxresnet again.")
    network = LungNet(tuple(record["widths"]))
    expected = network.state_dict()
    # Stored in half precision; computed in single precision.
    load_weights(
        network,
        {
            name: tensor.to(expected[name].dtype) if name in expected else tensor
            for name, tensor in weights.items()
        },
    )
    return LungFinder(network.eval())


_VIEWS = (
    ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    ((1.0, 0.0, 0.06), (0.0, 1.0, -0.06)),
    ((1.12, 0.0, -0.04), (0.0, 1.12, 0.04)),
)
"""The image, mirrored, shifted and reduced; as matrices for `affine_grid`."""


def _predict_view(network: LungNet, images: Tensor, view: tuple[tuple[float, ...], ...]) -> Tensor:
    """Predict one view, and map the result back; mirroring swaps the lungs."""
    geometry = torch.tensor(view)
    transformed = _move(images, geometry, edge="border")
    output = network(standardise(transformed)).sigmoid()
    whole = torch.cat((geometry, torch.tensor([[0.0, 0.0, 1.0]])))
    back = _move(output, torch.linalg.inv(whole)[:2], edge="border")
    return back.flip(1) if geometry[0, 0] < 0 else back


def _move(inputs: Tensor, geometry: Tensor, *, edge: str) -> Tensor:
    grid = functional.affine_grid(
        geometry.expand(len(inputs), 2, 3), list(inputs.shape), align_corners=False
    )
    return functional.grid_sample(inputs, grid, padding_mode=edge, align_corners=False)


def _shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(np.ascontiguousarray(image))
    size = (LUNG_SIDE_PX, LUNG_SIDE_PX)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))


def _assess(views: NDArray[np.float32], *, shape: tuple[int, ...]) -> FoundLungs:
    """Measure the predictions for one image, clean the lungs, and resize them to the image."""
    shares = views.mean(axis=0)
    measures = measure_lungs(shares, views)
    right, left = (_clean(_enlarge(share, shape)) for share in shares)
    return FoundLungs(right, left & ~right, measures, explain_refusal(measures))


def _enlarge(share: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    picture = Image.fromarray(share).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture) > 0.5


def _clean(lung: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest piece, and fill its holes."""
    from scipy import ndimage  # noqa: PLC0415  slow to import, and not needed to predict

    labels, count = ndimage.label(lung)
    if count == 0:
        return lung
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(labels == largest)
    return filled


# Lungs of image files: a mask and a contour for each image, or the reason for the refusal.


_MAX_STEM_BYTES = 200
_RIGHT_RGB, _LEFT_RGB = (255, 106, 0), (38, 128, 255)
_COLUMNS = (
    "file", "mask", "contour", "area_share", "right_share", "left_share", "confidence", "agreement",
    "refused",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class FileLungs:
    """The lungs of one file.

    Attributes:
        path: The file as given.
        image: Grey levels, (row, column), uint8; None where the file is not an image.
        right_lung: (row, column), true in the patient's right lung; None likewise.
        left_lung: The same of the left lung.
        found: Segmentation and measures; None likewise.
        reason: Why there is no reliable mask, one sentence; "" if there is one.
    """

    path: Path
    image: NDArray[np.uint8] | None = None
    right_lung: NDArray[np.bool_] | None = None
    left_lung: NDArray[np.bool_] | None = None
    found: FoundLungs | None = None
    reason: str = ""


def find_lungs_in_files(
    paths: Sequence[Path], *, any_body_part: bool = False, limits: DecodeLimits = DEFAULT_LIMITS
) -> Iterator[FileLungs]:
    """Segment the lungs in files, whatever they hold; yields one result a path, in order."""
    for path in paths:
        try:
            yield _find(path, any_body_part=any_body_part, limits=limits)
        except Exception as error:  # noqa: BLE001  one image must not end the work on all others
            yield FileLungs(path=path, reason=str(explain_image_fault(error)))


def _find(path: Path, *, any_body_part: bool, limits: DecodeLimits) -> FileLungs:
    content = read_image_file(path)
    pixels = decode_image(content, limits=limits, any_body_part=any_body_part).pixels
    preprocessing = build_preprocessing(DataConfig(resize_mode="squash", side_px=LUNG_SIDE_PX))
    found = load_lung_finder().find(prepare_image(pixels, preprocessing))
    low, high = np.percentile(pixels, (1, 99))
    grey = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255
    return FileLungs(
        path=path,
        image=np.rint(grey).astype(np.uint8),
        right_lung=_enlarge_mask(found.right_lung, pixels.shape),
        left_lung=_enlarge_mask(found.left_lung, pixels.shape),
        found=found,
        reason=found.refusal,
    )


def _enlarge_mask(lung: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    picture = Image.fromarray(lung.astype(np.uint8) * 255)
    enlarged = picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(enlarged) > 127


def write_lung_pictures(out: Path, results: Sequence[FileLungs]) -> Path:
    """Write a mask (255 in the lungs) and a contour for each image, and `lungs.csv` over all.

    An image whose lungs were refused gets a contour, to show what was segmented, but no mask. A
    mask has the size of the image; a contour has a strip with the disclaimer below it.

    Args:
        out: The folder.
        results: One a file.

    Returns:
        The table.

    Raises:
        StorageError: The folder cannot be written.
    """
    rows = [_write_one(out, number, result) for number, result in enumerate(results, start=1)]
    return write_safe_csv(out / "lungs.csv", _COLUMNS, rows)


def _write_one(out: Path, number: int, result: FileLungs) -> tuple[str | float, ...]:
    image, right, left = result.image, result.right_lung, result.left_lung
    name = make_printable(str(result.path))
    if image is None or right is None or left is None or result.found is None:
        return (name, "", "", "", "", "", "", "", result.reason)
    stem = f"{number:04d}-{_shorten(make_printable(result.path.stem))}"
    mask, contour = "", f"{stem}-contour.png"
    write_bytes(out / contour, _encode(_add_foot(_draw_contour(image, right, left))))
    if not result.reason:
        mask = f"{stem}-mask.png"
        write_bytes(out / mask, _encode(((right | left) * 255).astype(np.uint8)))
    measures = result.found.measures
    shares = (float((right | left).mean()), float(right.mean()), float(left.mean()))
    numbers = (*shares, measures.confidence, measures.agreement)
    rounded = (round(value, 4) for value in numbers)
    return (name, mask, contour, *rounded, result.reason)


def _shorten(name: str) -> str:
    """Shorten a name, so that what is put beside it still makes a name of a file."""
    return name.encode()[:_MAX_STEM_BYTES].decode(errors="ignore")


def _draw_contour(
    image: NDArray[np.uint8], right: NDArray[np.bool_], left: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Draw the patient's right lung orange and the left one blue, thick enough to be seen."""
    from scipy import ndimage  # noqa: PLC0415  slow to import, and not needed to predict

    width = max(1, max(image.shape) // 250)
    picture = np.repeat(image[..., None], 3, axis=2)
    for lung, colour in ((right, _RIGHT_RGB), (left, _LEFT_RGB)):
        picture[lung & ~ndimage.binary_erosion(lung, iterations=width)] = colour
    return picture


def _add_foot(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add a strip with the disclaimer below the picture."""
    width = picture.shape[1]
    size = max(8, min(width // 28, 28))
    foot = Image.new("RGB", (width, 2 * size), "black")
    font = ImageFont.load_default(size)
    ImageDraw.Draw(foot).text((size // 2, size // 3), DISCLAIMER, fill="white", font=font)
    return np.concatenate([picture, np.asarray(foot)])


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()
