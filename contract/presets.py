"""Presets: renditions for marketplaces, and the requirements that their files are checked against.

docs/reference/presets.md is generated from here, with every source.
"""

from dataclasses import dataclass

from contract.rendition import WHITE, PresetName, Rendition
from contract.requirements import Check, Requirement, Source

MEGABYTE = 1_000_000


READ = "2026-11-28"
"""The day on which all sources were read, in stored copies of the pages."""

AMAZON = Source(
    "https://watermillstudio.co.uk/amazon-image-specs", "Watermill Studio", is_official=False
)
AMAZON_SRGB = Source(
    "https://changethisfile.com/blog/convert-images-for-amazon-seller-central", "ChangeThisFile",
    is_official=False,
)  # fmt: skip
GOOGLE = Source(
    "https://support.google.com/merchants/answer/6324350", "Google: image_link", is_official=True
)
GOOGLE_LIMITS = Source(
    "https://sharpfeed.io/docs/fields/image-link", "Sharpfeed, on Google's image_link",
    is_official=False,
)  # fmt: skip
GOOGLE_2027 = Source(
    "https://emberfeed.com/specs/google-merchant-image-requirements-2026", "Emberfeed",
    is_official=False,
)  # fmt: skip
WALMART = Source(
    "https://marketplacelearn.walmart.com/guides/Item%20setup/Item%20content%2C%20imagery%2C%20and"
    "%20media/Product-detail-page:-Image-guidelines-&-requirements",
    "Walmart Marketplace: image guidelines, of 2025-07-15", is_official=True,
)  # fmt: skip
SHOPIFY = Source(
    "https://help.shopify.com/api/guides/media", "Shopify: manage media", is_official=True
)
SHOPIFY_BYTES = Source(
    "https://sellshot.ai/en/blog/shopify-product-image-size-guide", "Sellshot, on Shopify's help",
    is_official=False,
)  # fmt: skip
ETSY = Source(
    "https://dev.to/herofab/check-product-photos-against-amazon-etsy-and-96-other-marketplace-image"
    "-rules-with-a-free-api-no-5982",
    "Herofab", is_official=False,
)  # fmt: skip
EBAY = Source(
    "https://www.ebay.com/help/policies/listing-policies/picture-policy?id=4370",
    "eBay: picture policy", is_official=True,
)  # fmt: skip
EBAY_FORMATS = Source(
    "https://developer.ebay.com/api-docs/commerce/media/resources/image/methods/createImageFromFile",
    "eBay: createImageFromFile", is_official=True,
)  # fmt: skip
EBAY_BYTES = Source(
    "https://plomz.com/guide/ebay-image-requirements-for-sellers-2026", "Plomz", is_official=False
)


@dataclass(frozen=True, slots=True)
class Preset:
    """A rendition that anyone can print and change, and what its file must fulfil."""

    name: str
    summary: str
    rendition: Rendition
    requirements: tuple[Requirement, ...]

    @property
    def background(self) -> str | None:
        """The colour that the background must have, or None."""
        return next((r.values[0] for r in self.requirements if r.check is Check.BACKGROUND), None)


def _on_white(source: Source | None = None, srgb: Source | None = None) -> tuple[Requirement, ...]:
    """Return what every marketplace's picture on white must fulfil, with two sources."""
    return (
        Requirement(Check.BACKGROUND, values=(WHITE,), source=source),
        Requirement(Check.CHANNELS, values=("RGB",)),
        Requirement(Check.COLOUR_SPACE, values=("sRGB",), source=srgb),
        Requirement(Check.ASPECT, values=("1:1",)),
        Requirement(
            Check.FRAME, values=("clear",), note="there is a subject, and it touches no side"
        ),
        Requirement(Check.SOFT_EDGE, high=MAX_SOFT_EDGE),
    )


MAX_SOFT_EDGE = 6
"""Mean width of the faint rim around a subject on white, in pixels, above which a file fails."""


def _square(
    name: PresetName, scale: float, max_side: int, megabytes: float | None = None
) -> Rendition:
    """Return a square JPEG on white, whose subject takes `scale` % of its side."""
    return Rendition(
        name=name, verify=name, format="jpg", background=WHITE, canvas="1:1", scale=scale,
        max_side=max_side,
        max_bytes=None if megabytes is None else int(megabytes * MEGABYTE),
    )  # fmt: skip


def _max_megabytes(megabytes: float, source: Source) -> Requirement:
    return Requirement(Check.BYTES, high=megabytes * MEGABYTE, source=source)


_ALL = (
    Preset(
        "alpha",
        "A PNG of the photograph's size with transparency: the default.",
        Rendition(name="alpha"),
        (
            Requirement(Check.FORMAT, values=("PNG",)),
            Requirement(Check.CHANNELS, values=("RGBA",)),
            Requirement(Check.COLOUR_SPACE, values=("sRGB",)),
        ),
    ),
    Preset(
        "white",
        "A JPEG of the photograph's size on white.",
        Rendition(name="white", verify="white", format="jpg", background=WHITE),
        (
            Requirement(Check.FORMAT, values=("JPEG",)),
            Requirement(Check.CHANNELS, values=("RGB",)),
            Requirement(Check.COLOUR_SPACE, values=("sRGB",)),
            Requirement(Check.BACKGROUND, values=(WHITE,)),
        ),
    ),
    Preset(
        "mask",
        "The matte alone, as a grey PNG of the photograph's size.",
        Rendition(name="mask", channels="alpha"),
        (
            Requirement(Check.FORMAT, values=("PNG",)),
            Requirement(Check.CHANNELS, values=("grey",)),
        ),
    ),
    Preset(
        "amazon-main",
        "The main image of an Amazon listing.",
        _square("amazon-main", 90, 3000, 10),
        (
            *_on_white(AMAZON, AMAZON_SRGB),
            Requirement(
                Check.FORMAT, values=("JPEG",), source=AMAZON,
                note="JPEG is preferred; PNG, TIFF and GIF are accepted",
            ),
            Requirement(Check.FILL, low=85, source=AMAZON),
            Requirement(
                Check.LONGEST_SIDE, low=1000, high=10_000, source=AMAZON,
                note="1,000 for zoom; 500 is accepted",
            ),
            _max_megabytes(10, AMAZON),
        ),
    ),
    Preset(
        "google-merchant",
        "The main image (`image_link`) of a product in Google Merchant Center.",
        _square("google-merchant", 82, 2000, 16),
        (
            *_on_white(),
            Requirement(
                Check.FORMAT, values=("JPEG", "WEBP", "PNG", "GIF", "BMP", "TIFF"), source=GOOGLE
            ),
            Requirement(Check.FILL, low=75, high=90, source=GOOGLE_LIMITS),
            Requirement(
                Check.SHORTEST_SIDE, low=500, source=GOOGLE_2027,
                note="enforced from 2027-01-31; before, 100, and 250 for apparel",
            ),
            Requirement(Check.MEGAPIXELS, high=64, source=GOOGLE_LIMITS),
            _max_megabytes(16, GOOGLE_LIMITS),
        ),
    ),
    Preset(
        "walmart",
        "The main image of a Walmart Marketplace listing.",
        _square("walmart", 85, 2200, 5),
        (
            *_on_white(WALMART),
            Requirement(Check.FORMAT, values=("JPEG", "PNG", "BMP"), source=WALMART),
            Requirement(
                Check.SHORTEST_SIDE, low=1500, source=WALMART,
                note="for zoom; 2,200 is advised, elsewhere 2,000",
            ),
            _max_megabytes(5, WALMART),
        ),
    ),
    Preset(
        "shopify",
        "A product image of a Shopify store.",
        _square("shopify", 85, 2048, 20),
        (
            *_on_white(),
            Requirement(
                Check.FORMAT, values=("JPEG", "PNG", "WEBP", "GIF"), source=SHOPIFY_BYTES
            ),
            Requirement(
                Check.LONGEST_SIDE, high=4472, source=SHOPIFY, note="2,048 looks best"
            ),
            Requirement(Check.MEGAPIXELS, high=20, source=SHOPIFY),
            _max_megabytes(20, SHOPIFY_BYTES),
        ),
    ),
    Preset(
        "etsy",
        "A photograph of an Etsy listing.",
        _square("etsy", 85, 3000),
        (
            *_on_white(),
            Requirement(Check.FORMAT, values=("JPEG", "PNG", "GIF")),
            Requirement(
                Check.SHORTEST_SIDE, low=2000, source=ETSY,
                note="advised; that it is the shortest side was not found in a source",
            ),
        ),
    ),
    Preset(
        "ebay",
        "A photograph of an eBay listing.",
        _square("ebay", 85, 1600, 12),
        (
            *_on_white(),
            Requirement(
                Check.FORMAT, values=("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"),
                source=EBAY_FORMATS,
            ),
            Requirement(
                Check.LONGEST_SIDE, low=500, source=EBAY, note="1,600 is advised elsewhere"
            ),
            _max_megabytes(12, EBAY_BYTES),
        ),
    ),
)  # fmt: skip
PRESETS = {preset.name: preset for preset in _ALL}
"""name -> preset, in the order of the documentation"""
