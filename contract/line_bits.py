"""One bit per line of a batch, in the order of Redis: most significant bit first."""

from collections.abc import Iterator


def no_bits(lines: int) -> bytearray:
    """Return room for the bits of so many lines, none of them set."""
    return bytearray(-(-lines // 8))


def has_bit(bits: bytes | bytearray, line: int) -> bool:
    """Return whether a line's bit is set. Trailing bytes may be missing."""
    byte, bit = divmod(line, 8)
    return byte < len(bits) and bool(bits[byte] & 0x80 >> bit)


def set_bit(bits: bytearray, line: int) -> None:
    byte, bit = divmod(line, 8)
    bits[byte] |= 0x80 >> bit


def lines_without_bit(bits: bytes | bytearray, total: int) -> Iterator[int]:
    """Yield those of `total` lines whose bit is not set."""
    full_bytes = len(bits) - len(bits.lstrip(b"\xff"))
    return (line for line in range(8 * full_bytes, total) if not has_bit(bits, line))


def lines_with_bit(bits: bytes | bytearray) -> Iterator[int]:
    """Yield the lines whose bit is set."""
    return (
        8 * number + bit
        for number, byte in enumerate(bits)
        if byte
        for bit in range(8)
        if byte & 0x80 >> bit
    )


def count_bits(bits: bytes | bytearray) -> int:
    """Return how many bits are set."""
    return sum(byte.bit_count() for byte in bits)
