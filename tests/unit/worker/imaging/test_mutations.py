"""Two hundred damaged photographs of every format: each decoded or refused by a code."""

from pathlib import Path

import pytest
from support.mutations import assert_damaged_files_end_well


@pytest.mark.slow
def test_damaged_files_end_by_a_code_in_the_memory_of_sound_ones(tmp_path: Path):
    assert_damaged_files_end_well(tmp_path, count=200, seed=17)
