"""Thousands of damaged photographs, as tests/unit/worker/imaging/test_mutations.py has hundreds."""

from pathlib import Path

import pytest
from support.mutations import assert_damaged_files_end_well


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_damaged_files_end_by_a_code_in_the_memory_of_sound_ones(tmp_path: Path, seed: int):
    assert_damaged_files_end_well(tmp_path, count=900, seed=seed)
