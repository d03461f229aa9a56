"""What every section of the config has in common."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Section"]


class Section(BaseModel):
    """Frozen, and strict about names: a key that nobody knows is an error, not a shrug."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
