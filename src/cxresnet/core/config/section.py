"""What every section of the config has in common."""

import hashlib
import json

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen, and strict about names: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def compute_hash(self) -> str:
        """Compute the SHA-256 of all keys and values, the same in whatever order they stand."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()
