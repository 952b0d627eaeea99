"""How carefully a matte is computed: refinement, passes of the network, colours at the edge."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Refinement = Literal["none", "edges"]


class Quality(BaseModel):
    """What is done to the network's matte. Each field costs time; docs/quality.md has figures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    refine: Refinement = Field(
        "edges",
        description="`edges`: fit the matte to the photograph's edges at full resolution; `none`:"
        " enlarge the network's matte as it is",
    )
    passes: Literal[1, 2] = Field(
        2,
        description="`2`: the network looks a second time, at the subject's box alone, unless it is"
        " unsure where the subject is. If it is very unsure at first, it also looks at the mirror"
        " image, and the more confident of these two mattes is used",
    )
    decontaminate: bool = Field(
        True,
        description="replace the background's share in the colours of soft pixels by the subject's"
        " own colour; default: true with `refine: edges`, else false",
    )

    @model_validator(mode="before")
    @classmethod
    def _decontaminate_refined(cls, fields: object) -> object:
        if isinstance(fields, dict) and fields.get("decontaminate") is None:
            refine = fields.get("refine", cls.model_fields["refine"].default)
            return fields | {"decontaminate": refine == "edges"}
        return fields


DEFAULT = Quality()
"""The default quality."""
