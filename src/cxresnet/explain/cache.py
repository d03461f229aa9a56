"""Maps that are known already: the same network, film, class and method give the same map.

An entry is named by the hash of everything that makes it, so that a wrong one cannot be found. What
belongs to another network is taken away when the cache is opened.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet.core.files import written_whole
from cxresnet.explain.method import AbstractMethod

__all__ = ["KnownMap", "MapCache", "open_map_cache"]

_NAME_DIGITS = 12
"""Of the network's hash, at the start of each entry's name."""


@dataclass(frozen=True, eq=False)
class KnownMap:
    """One map.

    Attributes:
        values: (row, column), float32, signed, in the method's unit.
        spread: (row, column), float32; None where the method has none.
    """

    values: NDArray[np.float32]
    spread: NDArray[np.float32] | None


@dataclass(frozen=True)
class MapCache:
    """A folder of maps.

    Attributes:
        folder: Made when the first map is written.
        network_hash: SHA-256 of weights, calibration and versions.
    """

    folder: Path
    network_hash: str

    def find(self, method: AbstractMethod, question: Sequence[Tensor]) -> KnownMap | None:
        """Find a map; None where it is not known, or its entry is torn.

        Args:
            method: With its parameters.
            question: Everything that it is asked with: film, class, lungs.
        """
        try:
            # Opened here: NumPy leaves a file open that turns out to be torn.
            with (
                self._name(method, question).open("rb") as stream,
                np.load(stream, allow_pickle=False) as entry,
            ):
                spread = entry["spread"]
                return KnownMap(entry["values"], spread if spread.size else None)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def keep(self, method: AbstractMethod, question: Sequence[Tensor], known: KnownMap) -> None:
        """Write a map, whole or not at all.

        Raises:
            StorageError: The folder cannot be written.
        """
        spread = np.zeros((0,), np.float32) if known.spread is None else known.spread
        with written_whole(self._name(method, question)) as stream:
            np.savez_compressed(stream, allow_pickle=False, values=known.values, spread=spread)

    def _name(self, method: AbstractMethod, question: Sequence[Tensor]) -> Path:
        choices = {"name": method.name, "parameters": method.parameters}
        total = hashlib.sha256(self.network_hash.encode())
        total.update(json.dumps(choices, sort_keys=True).encode())
        for part in question:
            total.update(f"{part.dtype}{tuple(part.shape)}".encode())
            total.update(part.detach().cpu().contiguous().numpy().tobytes())
        return self.folder / f"{self.network_hash[:_NAME_DIGITS]}-{total.hexdigest()}.npz"


def open_map_cache(folder: Path, network: nn.Module, *, versions: dict[str, str]) -> MapCache:
    """Open the cache of a network, and take away what belongs to another one.

    Args:
        folder: Need not exist.
        network: From images to calibrated logits.
        versions: Of what computes the maps.
    """
    total = hashlib.sha256(json.dumps(versions, sort_keys=True).encode())
    total.update(str(getattr(network, "temperature", 1.0)).encode())
    total.update(str(getattr(network, "shifts", ())).encode())
    # The architecture too: two may have the same weights.
    total.update(str(network).encode())
    for name, value in sorted(network.state_dict().items()):
        total.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        total.update(value.detach().cpu().contiguous().numpy().tobytes())
    cache = MapCache(folder, total.hexdigest())
    for entry in folder.glob("*.npz"):
        if not entry.name.startswith(cache.network_hash[:_NAME_DIGITS]):
            entry.unlink(missing_ok=True)
    return cache
