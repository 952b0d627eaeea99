"""How the samples of a TIFF page are stored, and which library reads them right.

Pillow reads most photographs, fast and in little memory, but believes some tags too little: planes
of more than 8 bits, WhiteIsZero of more than 8 bits and others come out wrong, without an error.
tifffile reads those. The rest is refused by name. See docs/adr/0008-who-reads-tiff.md.
"""

from dataclasses import dataclass

from contract.errors import ErrorCode, PermanentError
from worker.imaging.tiff.directory import (
    BITS,
    COMPRESSION,
    DEPTH,
    EXTRA_SAMPLES,
    FILL_ORDER,
    HEIGHT,
    INK_SET,
    LERC_PARAMETERS,
    PHOTOMETRIC,
    PLANES,
    SAMPLE_FORMAT,
    SAMPLES,
    SUBSAMPLING,
    TILE_HEIGHT,
    TILE_WIDTH,
    WIDTH,
    Page,
)

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3, LAB: 3}
"""Samples per pixel without extra ones, by photometric interpretation."""
PHOTOMETRIC_NAMES = {
    WHITE_IS_ZERO: "WhiteIsZero", BLACK_IS_ZERO: "BlackIsZero", RGB: "RGB", PALETTE: "palette",
    4: "mask", CMYK: "CMYK", YCBCR: "YCbCr", LAB: "CIELab", 9: "ICCLab", 10: "ITULab",
    32803: "colour filter array", 32844: "LogL", 32845: "LogLuv", 34892: "linear raw",
}  # fmt: skip
UNCOMPRESSED, OLD_JPEG, JPEG, WEBP, LERC = 1, 6, 7, 50001, 34887
COMPRESSION_NAMES = {
    UNCOMPRESSED: "none", 2: "CCITT", 3: "fax 3", 4: "fax 4", 5: "LZW", OLD_JPEG: "old JPEG",
    JPEG: "JPEG", 8: "deflate", 32773: "PackBits", 32946: "deflate", 34676: "SGI log",
    34712: "JPEG 2000", LERC: "LERC", 34925: "LZMA", 50000: "Zstandard", WEBP: "WebP",
    50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
OF_BYTES = {UNCOMPRESSED, 5, 8, 32773, 32946, 34925, 50000}
"""Compressions of bytes, whatever they mean: both libraries read them."""
READ_BY_PILLOW = OF_BYTES | {2, 3, 4, OLD_JPEG, JPEG}
READ_BY_TIFFFILE = OF_BYTES | {WEBP, LERC}
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
ASSOCIATED, UNASSOCIATED, COREL_ALPHA = 1, 2, 999
"""Extra samples that are opacity. The first kind has premultiplied colours."""
BYTE, DEEPEST = 8, 16
MAX_EXTRA = 4
MAX_TILE_PIXELS = 1 << 22
"""A tile may be larger than the page it belongs to, but not without bounds."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a page's samples are stored."""

    width: int
    height: int
    photometric: int
    """-1 if the tag is missing"""
    compression: int
    bits: tuple[int, ...]
    """of each sample of a pixel"""
    extra: tuple[int, ...]
    """kinds of the samples beyond the colours"""
    sample_formats: frozenset[int]
    in_planes: bool
    """each sample of all pixels in a plane of its own"""
    reversed_bits: bool

    def __str__(self) -> str:
        photometric = PHOTOMETRIC_NAMES.get(self.photometric, self.photometric)
        compression = COMPRESSION_NAMES.get(self.compression, self.compression)
        kinds = {SIGNED: " signed", FLOAT: " float"}
        kind = "".join(kinds.get(number, "") for number in sorted(self.sample_formats))
        bits = ", ".join(map(str, self.bits[: MAX_EXTRA + 4]))
        planes = " in planes" if self.in_planes else ""
        return (
            f"{photometric} in {len(self.bits)} samples of {bits}{kind} bits{planes},"
            f" compression {compression}"
        )

    @property
    def colours(self) -> int:
        """Samples per pixel without the extra ones."""
        return COLOURS.get(self.photometric, 0)

    @property
    def alpha(self) -> int | None:
        """The kind of the first extra sample that is opacity."""
        return next((kind for kind in self.extra if kind in {ASSOCIATED, UNASSOCIATED}), None)


def read_layout(page: Page) -> Layout:
    """Return how a page is stored."""
    samples = page.value(SAMPLES, 1)
    photometric = page.value(PHOTOMETRIC, -1)
    if page.value(COMPRESSION, UNCOMPRESSED) == OLD_JPEG:
        photometric, samples = YCBCR, page.value(SAMPLES, 3)
    bits = page.tags.get(BITS) or (1,)
    if len(bits) == 1 and samples <= MAX_EXTRA + 4:
        bits *= samples
    extra = page.tags.get(EXTRA_SAMPLES, ())
    return Layout(
        width=page.value(WIDTH, 0),
        height=page.value(HEIGHT, 0),
        photometric=photometric,
        compression=page.value(COMPRESSION, UNCOMPRESSED),
        bits=bits[:samples],
        extra=extra,
        sample_formats=frozenset(page.tags.get(SAMPLE_FORMAT) or (UNSIGNED,)),
        in_planes=page.value(PLANES, 1) != 1 and samples > 1,
        reversed_bits=page.value(FILL_ORDER, 1) != 1,
    )


def is_read_by_pillow(layout: Layout, page: Page) -> bool:
    """Check if Pillow reads such samples as the tags specify them."""
    if layout.compression not in READ_BY_PILLOW or len(set(layout.bits)) != 1:
        return False
    bits, samples = layout.bits[0], len(layout.bits)
    if layout.sample_formats != {UNSIGNED}:
        return False
    if layout.reversed_bits and not (samples == 1 and bits <= BYTE):
        return False
    if layout.in_planes and not (bits == BYTE and samples == layout.colours == COLOURS[RGB]):
        return False
    if layout.photometric in {WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE}:
        return _is_known_grey(layout, bits)
    return _is_known_colour(layout, page, bits)


def _is_known_grey(layout: Layout, bits: int) -> bool:
    samples = len(layout.bits)
    if samples == 1:
        is_deep = bits == DEEPEST and layout.photometric == BLACK_IS_ZERO
        return is_deep or bits in {1, 2, 4, BYTE}
    is_known = layout.photometric in {PALETTE, BLACK_IS_ZERO}
    return is_known and layout.bits == (BYTE, BYTE) and layout.extra in {(0,), (UNASSOCIATED,)}


def _is_known_colour(layout: Layout, page: Page, bits: int) -> bool:
    samples = len(layout.bits)
    if layout.photometric == RGB:
        return bits in {BYTE, DEEPEST} and _has_known_extra(layout, bits)
    if layout.photometric == CMYK:
        has_no_alpha = bits == BYTE and set(layout.extra) == {0} and samples <= COLOURS[CMYK] + 2
        is_plain = samples == COLOURS[CMYK] and bits in {BYTE, DEEPEST}
        return _is_cmyk(page) and (is_plain or has_no_alpha)
    if layout.photometric == YCBCR:
        whole = page.tags.get(SUBSAMPLING, (2, 2)) == (1, 1)
        return bits == BYTE and (whole or layout.compression != UNCOMPRESSED)
    return layout.photometric == LAB and bits == BYTE and samples == COLOURS[LAB]


def _has_known_extra(layout: Layout, bits: int) -> bool:
    """Check the extra samples of RGB: none, or one that says what it is; at 8 bits more."""
    if len(layout.bits) == COLOURS[RGB] + 1 and not layout.extra:
        return True  # not said to be opacity, so it is not used
    if len(layout.bits) != COLOURS[RGB] + len(layout.extra):
        return False
    first, others = layout.extra[:1], layout.extra[1:]
    if bits == BYTE:
        return first in {(), (0,), (1,), (2,), (COREL_ALPHA,)} and set(others) <= {0}
    return first in {(), (0,), (1,), (2,)} and not others


def _is_cmyk(page: Page) -> bool:
    return page.value(INK_SET, 1) == 1


def check_read_by_tifffile(layout: Layout, page: Page) -> None:
    """Raise PermanentError (`unsupported_format`) unless tifffile reads such samples right."""
    bits, kinds = set(layout.bits), layout.sample_formats
    if kinds == {UNSIGNED}:
        is_known_depth = bits <= {*range(BYTE, DEEPEST + 1)}
    else:
        is_known_depth = kinds == {FLOAT} and bits <= {16, 32, 64} and layout.photometric != CMYK
    tile = page.value(TILE_WIDTH, 0) * page.value(TILE_HEIGHT, 0)
    if not (
        layout.photometric in {WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK}
        and layout.compression in READ_BY_TIFFFILE
        and len(bits) == 1
        and is_known_depth
        and 0 <= len(layout.bits) - layout.colours <= MAX_EXTRA
        and len(layout.extra) <= len(layout.bits) - layout.colours
        and not (layout.photometric in {CMYK, WHITE_IS_ZERO} and layout.alpha == ASSOCIATED)
        and _is_cmyk(page)
        and page.value(DEPTH, 1) == 1
        and not any(page.tags.get(LERC_PARAMETERS, ())[1:])
        and tile <= max(MAX_TILE_PIXELS, layout.width * layout.height)
    ):
        raise PermanentError(
            ErrorCode.UNSUPPORTED_FORMAT, f"TIFF of this kind is not decoded: {layout}."
        )
