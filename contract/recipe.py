"""What is to be done to an image. Its digest says whether an existing output is still right."""

import hashlib

from pydantic import BaseModel, ConfigDict

PIPELINE = 1
"""Raised whenever the same model and options would give other pixels: outputs are then redone."""


class Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    pipeline: int = PIPELINE

    @property
    def digest(self) -> str:
        """A stable name for the recipe: 16 hex digits over its canonical JSON."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
