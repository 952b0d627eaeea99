from hypothesis import given
from hypothesis import strategies as st

from contract.line_bits import (
    count_bits,
    has_bit,
    lines_with_bit,
    lines_without_bit,
    no_bits,
    set_bit,
)


def test_bits_are_in_the_order_of_redis():
    bits = no_bits(9)
    set_bit(bits, 0)
    set_bit(bits, 8)
    assert bits == b"\x80\x80"


@given(st.sets(st.integers(0, 40)), st.integers(0, 48))
def test_every_line_either_has_its_bit_or_is_yielded(lines: set[int], total: int):
    bits = no_bits(41)
    for line in lines:
        set_bit(bits, line)
    for stored in (bits, bits.rstrip(b"\0")):  # Redis stores no trailing bytes without a bit
        assert {line for line in range(60) if has_bit(stored, line)} == lines
        assert list(lines_without_bit(stored, total)) == sorted({*range(total)} - lines)
        assert list(lines_with_bit(stored)) == sorted(lines)
        assert count_bits(stored) == len(lines)
