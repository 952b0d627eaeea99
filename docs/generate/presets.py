"""docs/reference/presets.md, from the table of presets."""

import json
from collections.abc import Iterator

from tables import page, table

from contract.presets import PRESETS, READ, Preset
from contract.requirements import Requirement, Source

INTRODUCTION = f"""\
A preset is a rendition, and what the file must fulfil. Take it as it is, or copy the rendition
into a recipe of your own and change it. `cutout verify --preset NAME FILE|PREFIX...` checks files,
also those of other programs.

The requirements were read on {READ}, in stored copies of the pages named beside them, which may be
older. **Official** pages are the marketplace's own; Amazon's and Etsy's own pages were not among
them. Requirements without a source are the preset's own choice. Categories have further rules,
such as for apparel: read the marketplace's own page before a large upload.
"""
IN_RECIPES = """\
A rendition with `"verify": "amazon-main"` is checked before it is written. If it fails, the file is
not written, and the image fails with `preset_failed`, unless the recipe's policy delivers it for
[review](../recipes.md); its other renditions are written. The report's column `verified` names the
presets that an image's outputs fulfil.
"""
PICTURE = """\
![Four photographs, each by four presets and on a blurred background](../presets.jpg)

By row: `alpha`, `white`, `mask`, `amazon-main`, and a recipe with `"background": "blur", "canvas":
"1:1", "scale": 70`. Drawn by `cutout sheet`; these photographs are too small for Amazon, whose
preset refuses them.
"""
CHECKS = """\
- **background**: every pixel of it has exactly this colour, to the last bit. A pixel that differs
  from the colour by more than 10 levels belongs to the subject. The background are the blocks of
  8 x 8 pixels without such pixels that are connected with the picture's sides, except within 1 % of
  the longer side of the subject: JPEG's compression and soft edges may change those. Openings
  within the subject are not measured.
- **fill**: width of the subject's box in % of the picture's width, or height in % of the height,
  whichever is more; within about 1 %, as compression blurs the edge.
- **frame**: there is a subject, and it touches no side of the picture.
- **soft_edge**: width of the faint rim (10 to 40 levels from white) around the subject, in pixels,
  less the share of such pixels farther inside. Above 6, a halo or remains of the background show.
- **channels**: `RGB` without transparency, `RGBA` with, or `grey`. **colour_space**: `sRGB` if the
  file says so or says nothing.
- **bytes** are counted with 1 MB = 1,000,000.
"""
SMALL = """\
A file does not say where its product ends: parts of an outline lighter than 245 count as background
that is not white. If the products are so light, leave `verify` out.

No preset enlarges a photograph: a subject of 500 pixels gives a picture of about 560, which
`verify` fails for marketplaces that want more. Take a larger photograph, or loosen the recipe.

White stays white in a JPEG because its chroma is not subsampled (4:4:4) and its quality is 50 or
more: below 46, some qualities turn 255 into 254. Subsampling 4:2:0 would double the error at a
coloured edge (13.5 instead of 6.6 levels of 255, at quality 90), spread it over 16 pixels instead
of 8, and save a third of the bytes.

WebP and AVIF change white near the subject by 1 to 4 levels, AVIF at any quality below 100, WebP
mostly below 90: `background` then fails. On white, take a JPEG or PNG.
"""


def presets() -> str:
    return page(
        "# Presets",
        INTRODUCTION.strip(),
        IN_RECIPES.strip(),
        PICTURE.strip(),
        *(part for preset in PRESETS.values() for part in _preset(preset)),
        "## What is measured",
        CHECKS.strip(),
        "## Small photographs, and white",
        SMALL.strip(),
    )


def _preset(preset: Preset) -> Iterator[str]:
    yield f"## `{preset.name}`"
    yield preset.summary
    fields = preset.rendition.model_dump(mode="json", exclude_defaults=True)
    yield f"Rendition: `{json.dumps(fields)}`"
    rows = [(r.check, r.text, r.note, _source(r)) for r in preset.requirements]
    yield table(("check", "required", "note", "source"), rows)


def _source(requirement: Requirement) -> str:
    source: Source | None = requirement.source
    if source is None:
        return ""
    kind = "official" if source.is_official else "not official"
    return f"[{source.title}]({source.url}), {kind}"
