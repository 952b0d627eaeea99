"""The message: one image, one task. JSON, validated on arrival, no bytes and no secrets."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.names import output_key
from contract.recipe import Recipe


class ManifestLine(BaseModel):
    """One listed photograph. Its line number in the manifest is its name in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(min_length=1, max_length=4096)
    size: int = Field(ge=0)
    etag: str = Field(max_length=1024)


class CutoutJob(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    batch: str = Field(pattern=r"^b-[0-9]{8}-[0-9]{6}-[0-9a-f]{6}$")
    line: int = Field(ge=0)
    source: str = Field(description="the store's URI: file:///folder or s3://bucket/prefix")
    destination: str
    photograph: ManifestLine
    recipe: Recipe
    force: bool = False

    @property
    def task_id(self) -> str:
        """The same for every delivery, so that Flower counts images and not deliveries."""
        return f"{self.batch}.{self.line}"

    @property
    def output_key(self) -> str:
        return output_key(self.photograph.key)
