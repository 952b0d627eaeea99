import base64
import runpy
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some
from support.paths import ROOT

from contract.errors import CutoutError, ErrorCode, PermanentError
from producer.callbacks.signatures import sign, verify

# the example of the specification's reference libraries, and of the one they come from
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, MOMENT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

OTHER = "whsec_" + base64.b64encode(b"o" * 24).decode()
HEADERS = {"webhook-id": ID, "webhook-timestamp": str(MOMENT), "webhook-signature": SIGNATURE}

SNIPPET = ROOT / "docs" / "verify_webhook.py"


def assert_refused(
    headers: dict[str, str], body: bytes = BODY, secrets=(SECRET,), now=MOMENT
) -> str:
    with pytest.raises(PermanentError) as caught:
        verify(headers, body, secrets, now)
    assert caught.value.code is ErrorCode.SIGNATURE_REFUSED
    assert "MfKQ" not in str(caught.value)
    return str(caught.value)


def test_the_published_example_is_signed_as_published():
    assert sign(ID, MOMENT, BODY, [SECRET]) == HEADERS
    assert verify(HEADERS, BODY, [SECRET], MOMENT) == ID


def test_every_secret_signs_and_any_one_of_them_verifies():
    headers = sign(ID, MOMENT, BODY, [OTHER, SECRET])
    signatures = headers["webhook-signature"].split(" ")
    assert len(signatures) == 2
    assert signatures[1] == SIGNATURE
    for secrets in ([OTHER], [SECRET], [SECRET, OTHER]):
        assert verify(headers, BODY, secrets, MOMENT) == ID
    assert verify(HEADERS, BODY, [OTHER, SECRET], MOMENT) == ID
    assert_refused(HEADERS, secrets=[OTHER])


def test_without_a_secret_nothing_is_signed_and_nothing_verifies():
    headers = sign(ID, MOMENT, BODY, [])
    assert headers == {"webhook-id": ID, "webhook-timestamp": str(MOMENT)}
    assert_refused(headers, secrets=[])
    assert_refused(HEADERS, secrets=[])
    assert_refused({**HEADERS, "webhook-signature": "v1,"}, secrets=[])


def test_names_of_headers_have_no_case():
    assert verify({k.title(): v for k, v in HEADERS.items()}, BODY, [SECRET], MOMENT) == ID


@pytest.mark.parametrize("seconds", [-300, -299.9, 0, 299, 300])
def test_five_minutes_either_way_are_tolerated(seconds: float):
    assert verify(HEADERS, BODY, [SECRET], MOMENT + seconds) == ID


@pytest.mark.parametrize("seconds", [-360, -301, 301, 360, 1e9])
def test_six_minutes_are_not(seconds: float):
    assert "300 s" in assert_refused(HEADERS, now=MOMENT + seconds)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "msg_other"}, {"webhook-timestamp": str(MOMENT + 1)},
        {"webhook-timestamp": f" {MOMENT}"}, {"webhook-timestamp": f"{MOMENT}.0"},
        {"webhook-timestamp": f"+{MOMENT}"}, {"webhook-timestamp": "9" * 5000},
        {"webhook-timestamp": "\u0661"}, {"webhook-timestamp": "nan"}, {"webhook-timestamp": ""},
        {"webhook-id": ""}, {"webhook-id": f"{ID}\n"}, {"webhook-id": "a.b"},
        {"webhook-signature": ""}, {"webhook-signature": SIGNATURE[:-1]},
        {"webhook-signature": SIGNATURE.replace("v1", "v2")},
        {"webhook-signature": SIGNATURE.replace("v1", "v1a")},
        {"webhook-signature": SIGNATURE.removeprefix("v1,")},
        {"webhook-signature": SIGNATURE.replace("g0", "G0")}, {"webhook-signature": "\u00e9"},
        {"webhook-signature": "v1,\ud800"},
        {"webhook-signature": "v1,x " * 20 + SIGNATURE},
    ],
)  # fmt: skip
def test_whatever_is_changed_is_refused(changes: dict[str, str]):
    assert_refused({**HEADERS, **changes})


@pytest.mark.parametrize("name", list(HEADERS))
def test_whatever_is_left_out_is_refused(name: str):
    assert_refused({k: v for k, v in HEADERS.items() if k != name})


@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY[:-1], b'{"test":2432232314}'])
def test_another_body_is_refused(body: bytes):
    assert_refused(HEADERS, body)


def test_a_full_stop_in_an_id_cannot_move_what_is_signed():
    later = MOMENT + 10_000
    headers = sign("a", MOMENT, f"{later}.rest".encode(), [SECRET])
    moved = {**headers, "webhook-id": f"a.{MOMENT}", "webhook-timestamp": str(later)}
    assert_refused(moved, b"rest", now=later)
    for message_id in ("a.b", "", "a b", "a\r\nx: y", "\u00e9"):
        with pytest.raises(ValueError, match="message ID"):
            sign(message_id, MOMENT, b"", [SECRET])


def test_a_secret_that_is_none_is_an_invalid_setting_and_not_shown():
    with pytest.raises(PermanentError) as caught:
        sign(ID, MOMENT, BODY, ["whsec_sesame!"])
    assert caught.value.code is ErrorCode.INVALID_SETTING
    assert "sesame" not in str(caught.value)


@given(some.dictionaries(some.sampled_from(list(HEADERS)), some.text()), some.binary())
def test_no_headers_at_all_raise_anything_else(headers: dict[str, str], body: bytes):
    with pytest.raises(CutoutError):
        verify(headers, body, [SECRET], MOMENT)


def test_what_a_receiver_copies_from_the_documents_verifies_it():
    verified = runpy.run_path(str(SNIPPET))["verified"]
    headers = sign(ID, int(time.time()), BODY, [OTHER, SECRET])
    assert verified(headers, BODY, SECRET)
    assert verified(headers, BODY, OTHER)
    assert not verified(headers, BODY + b" ", SECRET)
    assert not verified(headers, BODY, "whsec_" + base64.b64encode(b"x" * 24).decode())
    assert not verified(sign(ID, int(time.time()) - 360, BODY, [SECRET]), BODY, SECRET)
    for name in headers:  # a stranger's request is an answer, not an accident
        for text in ("", "x", "\u00b2", "9" * 5000, "v1,x"):
            assert not verified({**headers, name: text}, BODY, SECRET)
        assert not verified({k: v for k, v in headers.items() if k != name}, BODY, SECRET)
    assert not verified(sign(ID, int(time.time()) + 360, BODY, [SECRET]), BODY, SECRET)
    imports = {line.split()[1] for line in SNIPPET.read_text().splitlines() if "import" in line[:6]}
    assert imports <= {"base64", "hashlib", "hmac", "time"}
