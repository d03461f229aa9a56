"""The network as it is judged: its logits, calibrated as validation chose."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from cxresnet.explain.mode import require_evaluation_mode
from cxresnet.model.ensemble import Network

__all__ = ["CalibratedNetwork", "calibrate_logits"]


class CalibratedNetwork(nn.Module):
    """Wraps a network, so that softmax of what it gives is the probability that is reported.

    Attributes:
        network: Is not changed.
        temperature: Above 0; logits are divided by it.
        shifts: Added then, one a class; empty for none.
    """

    def __init__(
        self, network: Network, *, temperature: float, shifts: Sequence[float] = ()
    ) -> None:
        """Wrap a network.

        Raises:
            ModelModeError: The network is training.
        """
        require_evaluation_mode(network)
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.shifts = tuple(shifts)
        self.eval()

    @property
    def explained_layer(self) -> nn.Module:
        """The layer whose output is the last map."""
        return self.network.explained_layer

    def forward(self, images: Tensor) -> Tensor:
        """Compute calibrated logits, (batch, class), of images as the network takes them."""
        logits: Tensor = self.network(images)
        return calibrate_logits(logits, temperature=self.temperature, shifts=self.shifts)


def calibrate_logits(logits: Tensor, *, temperature: float, shifts: Sequence[float]) -> Tensor:
    """Divide logits, (batch, class), by the temperature, and add the shifts."""
    scaled = logits / temperature
    return scaled + scaled.new_tensor(shifts) if len(shifts) else scaled
