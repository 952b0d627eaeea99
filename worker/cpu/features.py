"""CPU features that decide how fast INT8 models are."""

import platform
from pathlib import Path

DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
"""Flags in /proc/cpuinfo for x86 VNNI (AVX-512 and AVX2) and the ARM dot product."""


def int8_dot_product(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether this CPU multiplies and adds 8-bit integers in one instruction.

    False if unknown. On x86 without it, 16-bit sums of products saturate unless the session sets
    `session.x64quantprecision`; INT8 is then correct, and about as fast as float.
    """
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    try:
        flags = cpuinfo.read_text().split()
    except OSError:
        return False
    return not DOT_PRODUCTS.isdisjoint(flags)
