"""The message: one image, one task. JSON, validated on arrival, no bytes and no secrets."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.names import BATCH_ID, output_key, result_key
from contract.recipe import Recipe


class ManifestLine(BaseModel):
    """One listed photograph. Its line number in the manifest is its name in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(min_length=1, max_length=4096)
    size: int = Field(ge=0)
    etag: str = Field(max_length=1024)


class Single(BaseModel):
    """The one photograph of a batch of one, which has no manifest and no report."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    photograph: ManifestLine
    output: str = Field(min_length=1, max_length=4096, description="the destination's key")
    remote: bool = Field(False, description="the object is a record of where the photograph is")
    callback: bool = Field(False, description="somebody is to be told how it ended")


class Record(BaseModel):
    """What of a single image is no business of Redis: it may hold signatures and passwords."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = Field(None, repr=False, description="where the photograph is")
    callback_url: str | None = Field(None, repr=False)


class CutoutJob(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    batch: str = Field(pattern=f"^{BATCH_ID.pattern}$")
    line: int = Field(ge=0)
    source: str = Field(description="the store's URI: file:///folder or s3://bucket/prefix")
    destination: str
    photograph: ManifestLine
    recipe: Recipe
    force: bool = False
    output: str = Field("", max_length=4096, description="where it does not follow from the key")
    remote: bool = False

    @property
    def task_id(self) -> str:
        """The same for every delivery, so that Flower counts images and not deliveries."""
        return f"{self.batch}.{self.line}"

    @property
    def is_ours(self) -> bool:
        """Whether the output has a name of its own, which nobody else writes to."""
        return self.output == result_key(self.batch, self.recipe.rendition.suffix)

    @property
    def output_key(self) -> str:
        return self.output or output_key(self.photograph.key, self.recipe.rendition.suffix)
