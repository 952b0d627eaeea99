import pickle
import re

import pytest
from support.paths import ROOT

from contract.error_codes import ErrorCode, Group
from contract.error_texts import (
    IMAGE_CODES,
    INFRASTRUCTURE_CODES,
    NEXT_STEP,
    REDIS_CODES,
    TEXTS,
)
from contract.errors import PermanentError, RetryableError
from contract.storage import files, s3_errors

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


def test_images_fail_with_no_other_codes():
    storage = {meaning.code for meaning in s3_errors.CODES if not meaning.retryable}
    folders = {code for code, _ in files.PERMANENT.values()}
    imaging = {
        ErrorCode[name]
        for path in (ROOT / "worker" / "imaging").rglob("*.py")
        for name in re.findall(r"ErrorCode\.([A-Z_]+)", path.read_text())
    }
    assert storage | folders | imaging <= IMAGE_CODES
    assert {"exhausted", "poisoned", "cancelled", "internal_error"} <= IMAGE_CODES
    assert not IMAGE_CODES & {*TEXTS[Group.REQUEST], *REDIS_CODES, "clock_skew", "time_limit"}
