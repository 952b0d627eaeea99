"""A cutout: one image that a client waits for. In the ledger it is a batch of one."""

from pydantic import BaseModel, ConfigDict, Field

from contract.job import Backdrop, ManifestLine
from contract.stored import read_stored


class CutoutSpec(BaseModel):
    """The one image of a cutout, which has no manifest and no report."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    photograph: ManifestLine
    destination_key: str = Field(min_length=1, max_length=4096)
    source_is_url: bool = Field(
        False, description="the source object is not an image but `PrivateFields` with its URL"
    )
    has_callback: bool = Field(False, description="`PrivateFields` holds a callback URL")
    backdrop: Backdrop | None = Field(None, exclude_if=lambda backdrop: backdrop is None)


class PrivateFields(BaseModel):
    """Fields of a cutout or batch kept out of Redis: they may hold signed URLs or credentials."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = Field(None, repr=False, description="where the photograph is fetched from")
    callback_url: str | None = Field(None, repr=False)
    backdrop_url: str | None = Field(
        None, repr=False, description="where the image behind the subject is fetched from"
    )


def stored_private_fields(text: bytes, batch: str) -> PrivateFields:
    """Return private fields from JSON. Raises PermanentError (`newer_release`)."""
    what = f"The private fields of {batch}"
    return read_stored(PrivateFields.model_validate_json, text, what)
