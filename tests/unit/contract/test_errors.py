import pickle

import pytest

from contract.error_codes import ErrorCode, Group
from contract.error_texts import INFRASTRUCTURE_CODES, NEXT_STEP, TEXTS
from contract.errors import PermanentError, RetryableError

ROWS = [(group, code, *texts) for group, rows in TEXTS.items() for code, texts in rows.items()]


def test_every_code_has_one_row_in_one_group():
    codes = [code for _, code, *_ in ROWS]
    assert sorted(codes) == sorted(ErrorCode)
    assert set(TEXTS) == set(Group)
    assert list(TEXTS[Group.INFRASTRUCTURE]) == sorted(
        INFRASTRUCTURE_CODES, key=list(ErrorCode).index
    )


@pytest.mark.parametrize(("group", "code", "meaning", "next_step"), ROWS)
def test_meaning_and_next_step_are_sentences(group, code, meaning, next_step):
    for text in (meaning, next_step):
        assert text[0].isupper() or text[0] == "`"
        assert text.endswith(".")
        assert "\n" not in text
    assert NEXT_STEP[code] == next_step


@pytest.mark.parametrize("error_type", [PermanentError, RetryableError])
def test_an_error_says_what_happened_and_what_to_do_also_after_pickling(error_type):
    error = error_type(ErrorCode.EMPTY_FILE, "The file is empty.")
    unpickled = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    for one in (error, unpickled):
        assert type(one) is error_type
        assert str(one) == "empty_file: The file is empty. Upload the photograph again."
