"""Find the lungs on a film, or say why they cannot be found.

A small network of our own (`model/lung_net.py`), shipped with the package; its weights are read
like every checkpoint, so that reading runs no code. Whoever measures "how much lies in the lungs"
on films without masks comes here. docs/reference/lung-finder.md says how well it works.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from cxresnet.core.errors import CheckpointError
from cxresnet.model.checkpoint import load_weights
from cxresnet.model.lung_net import LUNG_SIDE_PX, LungNet
from cxresnet.model.tensor_folder import read_tensor_folder
from cxresnet.predict.lung_checks import LungMeasures, explain_refusal, measure_lungs

__all__ = ["SHIPPED_WEIGHTS", "FoundLungs", "LungFinder", "load_lung_finder", "standardise"]

SHIPPED_WEIGHTS = Path(__file__).parent / "lung_weights"
"""The folder that `benchmarks/train_lung_finder.py` wrote."""

_BATCH = 16


@dataclass(frozen=True, eq=False)
class FoundLungs:
    """What was found on one film.

    Attributes:
        right_lung: (row, column), true where the patient's right lung lies, at the picture's left.
            Kept also where it was refused.
        left_lung: The same of the patient's left lung, at the picture's right.
        measures: What was measured on them.
        refusal: Why they are not to be relied on, one sentence; "" if they are.
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
    """Finds lungs on frontal films, on the CPU.

    Attributes:
        network: In evaluation mode.
    """

    network: LungNet

    def find(self, film: NDArray[np.uint8]) -> FoundLungs:
        """Find the lungs on one film.

        Args:
            film: Grey levels, (row, column), any size; upright, air dark.

        Returns:
            Lungs of the film's own size.
        """
        return self.find_all(film[None])[0]

    def find_all(self, films: NDArray[np.uint8]) -> tuple[FoundLungs, ...]:
        """Find the lungs on films of one size, (film, row, column); see `find`."""
        found: list[FoundLungs] = []
        for start in range(0, len(films), _BATCH):
            batch = np.asarray(films[start : start + _BATCH])
            views = self._ask(batch)
            found += [_judge(answers, shape=batch.shape[1:]) for answers in views]
        return tuple(found)

    def _ask(self, films: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Ask about every view of every film; the answers lie on the film itself.

        Returns:
            (film, view, 2, side, side), probability of either lung.
        """
        small = np.stack([_shrink(film) for film in films]).astype(np.float32)
        images = torch.from_numpy(small).unsqueeze(1)
        with torch.inference_mode():
            answers = [_ask_view(self.network, images, view) for view in _VIEWS]
        return torch.stack(answers, dim=1).numpy()


def standardise(films: Tensor) -> Tensor:
    """Give each film mean 0 and standard deviation 1, whatever its exposure.

    Args:
        films: (film, 1, row, column).
    """
    sd, mean = torch.std_mean(films, dim=(1, 2, 3), keepdim=True, correction=0)
    return (films - mean) / sd.clamp_min(1e-3)


@functools.cache
def load_lung_finder(folder: Path = SHIPPED_WEIGHTS) -> LungFinder:
    """Load the lung finder that is shipped, once.

    Raises:
        CheckpointError: The weights are missing or altered, or are another network's.
    """
    content = read_tensor_folder(folder)
    weights, record = content.tensors.get("weights"), content.documents.get("record")
    if weights is None or not isinstance(record, dict) or "widths" not in record:
        raise CheckpointError(f"'{folder}' holds no lung finder. Install cxresnet again.")
    network = LungNet(tuple(record["widths"]))
    expected = network.state_dict()
    # Stored in half precision; they are computed with in single.
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
"""The film, mirrored, shifted, and made smaller; places on the film, as for `affine_grid`."""


def _ask_view(network: LungNet, films: Tensor, view: tuple[tuple[float, ...], ...]) -> Tensor:
    """Show a view, and lay the answer back on the film; in a mirror the lungs change places."""
    geometry = torch.tensor(view)
    shown = _move(films, geometry, edge="border")
    answer = network(standardise(shown)).sigmoid()
    whole = torch.cat((geometry, torch.tensor([[0.0, 0.0, 1.0]])))
    back = _move(answer, torch.linalg.inv(whole)[:2], edge="border")
    return back.flip(1) if geometry[0, 0] < 0 else back


def _move(images: Tensor, geometry: Tensor, *, edge: str) -> Tensor:
    grid = functional.affine_grid(
        geometry.expand(len(images), 2, 3), list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, grid, padding_mode=edge, align_corners=False)


def _shrink(film: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(np.ascontiguousarray(film))
    size = (LUNG_SIDE_PX, LUNG_SIDE_PX)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))


def _judge(views: NDArray[np.float32], *, shape: tuple[int, ...]) -> FoundLungs:
    """Measure the answers to one film, clean the lungs, and bring them to the film's size."""
    shares = views.mean(axis=0)
    measures = measure_lungs(shares, views)
    right, left = (_clean(_enlarge(share, shape)) for share in shares)
    return FoundLungs(right, left & ~right, measures, explain_refusal(measures))


def _enlarge(share: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    picture = Image.fromarray(share).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture) > 0.5


def _clean(lung: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest piece, and fill its holes."""
    labels, count = ndimage.label(lung)
    if count == 0:
        return lung
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(labels == largest)
    return filled
