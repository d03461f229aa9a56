"""A cache of maps: the same network, image, class and method give the same map.

An entry is named by the hash of all its inputs, so that a wrong one cannot be found. Entries of
other networks are removed when the cache is opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from cxresnet.core.files import atomic_write
from cxresnet.explain.methods.method import AbstractMethod

_NAME_DIGITS = 12
"""Of the network's hash, at the start of each entry's name."""


@dataclass(frozen=True, eq=False)
class CachedMap:
    """One map.

    Attributes:
        values: (row, column), float32, signed, in the method's unit.
        baseline_range: (row, column), float32; None where the method has none.
    """

    values: NDArray[np.float32]
    baseline_range: NDArray[np.float32] | None


@dataclass(frozen=True)
class MapCache:
    """A folder of maps.

    Attributes:
        folder: Made when the first map is written.
        network_hash: SHA-256 over weights, calibration and versions.
    """

    folder: Path
    network_hash: str

    def find(self, method: AbstractMethod, inputs: Sequence[Tensor]) -> CachedMap | None:
        """Find a map; None where it is not cached, or its entry is damaged.

        Args:
            method: With its parameters.
            inputs: All its inputs: image, class, lungs.
        """
        return read_cached_map(self._name(method, inputs))

    def store(self, method: AbstractMethod, inputs: Sequence[Tensor], cached: CachedMap) -> None:
        """Write a map, whole or not at all.

        Raises:
            StorageError: The folder cannot be written.
        """
        baseline_range = (
            np.zeros((0,), np.float32) if cached.baseline_range is None else cached.baseline_range
        )
        with atomic_write(self._name(method, inputs)) as stream:
            np.savez_compressed(
                stream, allow_pickle=False, values=cached.values, baseline_range=baseline_range
            )

    def _name(self, method: AbstractMethod, inputs: Sequence[Tensor]) -> Path:
        choices = {"name": method.name, "parameters": method.parameters}
        total = hashlib.sha256(self.network_hash.encode())
        total.update(json.dumps(choices, sort_keys=True).encode())
        for part in inputs:
            total.update(f"{part.dtype}{tuple(part.shape)}".encode())
            total.update(part.detach().cpu().contiguous().numpy().tobytes())
        return self.folder / f"{self.network_hash[:_NAME_DIGITS]}-{total.hexdigest()}.npz"


def read_cached_map(path: Path) -> CachedMap | None:
    """Read an entry; None where there is none, or it is damaged in any bit that matters."""
    try:
        # Opened here: NumPy leaves a file open that turns out to be damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as entry:
            # NumPy stops where a damaged shape says that an array ends, before its checksum.
            if entry.zip.testzip() is not None:
                return None
            baseline_range = entry["baseline_range"]
            return CachedMap(entry["values"], baseline_range if baseline_range.size else None)
    except Exception:  # noqa: BLE001  whatever the damage, the map is computed again
        return None


def open_map_cache(folder: Path, network: nn.Module, *, versions: dict[str, str]) -> MapCache:
    """Open the cache of a network, and remove the entries of other networks.

    Args:
        folder: Need not exist.
        network: From images to calibrated logits.
        versions: Of the software that computes the maps.
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
