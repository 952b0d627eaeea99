import platform
from pathlib import Path

import pytest

from worker.cpu.features import int8_dot_product


@pytest.mark.parametrize(
    ("content", "has"),
    [
        ("flags : fpu avx2 avx512f avx512_vnni", True),
        ("flags : fpu avx2 avx_vnni", True),
        ("Features : fp asimd asimddp", True),
        ("flags : fpu avx2 avx512f", False),
        ("Features : fp asimd", False),
        ("", False),
    ],
)
def test_a_cpu_is_known_by_its_flags(tmp_path: Path, monkeypatch, content: str, has: bool):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(content)
    assert int8_dot_product(cpuinfo) is has
    assert not int8_dot_product(tmp_path / "none")
