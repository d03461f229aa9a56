"""A network is explained as it predicts: with dropout off and norms fixed."""

from __future__ import annotations

from torch import nn

from cxresnet.core.errors import ModelModeError

__all__ = ["require_evaluation_mode"]


def require_evaluation_mode(model: nn.Module) -> None:
    """Refuse a network of which any part is training.

    Raises:
        ModelModeError: A part is training; call `model.eval()` first.
    """
    if any(module.training for module in model.modules()):
        raise ModelModeError(
            "The network is training, and would explain something else than it predicts; "
            "call model.eval() first."
        )
