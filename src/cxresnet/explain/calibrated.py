"""The network as it is judged: its logits over the temperature that validation chose."""

from __future__ import annotations

from torch import Tensor, nn

from cxresnet.explain.mode import require_evaluation_mode
from cxresnet.model.ensemble import Network

__all__ = ["CalibratedNetwork"]


class CalibratedNetwork(nn.Module):
    """Wraps a network, so that softmax of what it gives is the probability that is reported.

    Attributes:
        network: Is not changed.
        temperature: Above 0.
    """

    def __init__(self, network: Network, *, temperature: float) -> None:
        """Wrap a network.

        Raises:
            ModelModeError: The network is training.
        """
        require_evaluation_mode(network)
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.eval()

    @property
    def explained_layer(self) -> nn.Module:
        """The layer whose output is the last map."""
        return self.network.explained_layer

    def forward(self, images: Tensor) -> Tensor:
        """Compute calibrated logits, (batch, class), of images as the network takes them."""
        logits: Tensor = self.network(images)
        return logits / self.temperature
