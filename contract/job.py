"""The queue message: one image, one task. Validated JSON, without image bytes or secrets."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.names import BATCH_ID, is_cutout_result_key, review_key
from contract.output_keys import cutout_output_key, output_key
from contract.recipe import Recipe
from contract.rendition import Rendition


class ManifestLine(BaseModel):
    """One listed photograph. Its line number in the manifest identifies it in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(min_length=1, max_length=4096)
    size: int = Field(ge=0, description="bytes")
    etag: str = Field(max_length=1024)


class Backdrop(BaseModel):
    """An image that fills the canvas behind the subject."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(min_length=1, max_length=4096, description="key in the source store")
    is_url: bool = Field(
        False, description="the object is not an image but `PrivateFields` with its URL"
    )


class ImageJob(BaseModel):
    """The message for one image of a batch, or for a cutout."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    batch: str = Field(pattern=f"^{BATCH_ID.pattern}$")
    line: int = Field(ge=0)
    source: str = Field(description="the store's URI: file:///folder or s3://bucket/prefix")
    destination: str = Field(description="the store's URI")
    photograph: ManifestLine
    recipe: Recipe
    force: bool = Field(False, description="process the image even if its output is current")
    interactive: bool = Field(False, description="a client waits for this image: it is a cutout")
    destination_key: str = Field(
        "", max_length=4096, description="empty: derived from the photograph's key"
    )
    source_is_url: bool = Field(
        False, description="the source object holds a URL (`PrivateFields`), not an image"
    )
    backdrop: Backdrop | None = Field(None, exclude_if=lambda backdrop: backdrop is None)

    @property
    def task_id(self) -> str:
        """The Celery task ID. Equal for all deliveries, so Flower counts images, not deliveries."""
        return f"{self.batch}.{self.line}"

    @property
    def has_private_outputs(self) -> bool:
        """True if the output keys belong to this cutout alone, so nobody else writes to them."""
        return is_cutout_result_key(self.batch, self.destination_key)

    def output_key(self, rendition: Rendition) -> str:
        """Return the key of a rendition's output, relative to the destination, if delivered."""
        if not self.destination_key:
            return output_key(self.recipe, rendition)(self.photograph.key)
        return cutout_output_key(self.destination_key, self.recipe, rendition)

    def review_key(self, rendition: Rendition) -> str:
        """Return the same for an output that a user should look at."""
        return review_key(self.output_key(rendition))
