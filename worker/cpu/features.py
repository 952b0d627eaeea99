"""What this CPU can do for bytes."""

import platform
from pathlib import Path

DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
"""Linux's names for x86 VNNI (AVX-512 and AVX2) and the ARM dot product."""


def int8_dot_product(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether this CPU multiplies and adds bytes in one instruction; unknown counts as no.

    On x86 without it, 16-bit sums of products saturate unless a session asks for
    `session.x64quantprecision`: INT8 then is right, and about as fast as float.
    """
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    try:
        words = cpuinfo.read_text().split()
    except OSError:
        return False
    return not DOT_PRODUCTS.isdisjoint(words)
