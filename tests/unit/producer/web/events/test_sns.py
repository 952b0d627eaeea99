import base64
import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as some
from support.receivers import certificate

from contract.errors import ErrorCode, PermanentError, RetryableError
from producer.web.events.sns import verify_sns

TOPIC = "arn:aws:sns:us-west-2:123456789012:uploads"
CERTIFICATE_URL = "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem"
SUBSCRIBE = (
    "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription"
    f"&TopicArn={TOPIC}&Token=2336412f37f"
)
KEY = rsa.generate_private_key(65537, 2048)
PEM = certificate(KEY, "sns.amazonaws.com").public_bytes(Encoding.PEM)

# the strings to sign as AWS's guide spells them out, not as our code builds them
NOTIFICATION = (
    'Message\nHello \u00e9\n"world"\nMessageId\n22b80b92\n{subject}'
    "Timestamp\n2012-05-02T00:54:06.655Z\nTopicArn\n" + TOPIC + "\nType\nNotification\n"
)
CONFIRMATION = (
    "Message\nYou have chosen to subscribe.\nMessageId\n165545c9\nSubscribeURL\n" + SUBSCRIBE
    + "\nTimestamp\n2012-04-26T20:45:04.751Z\nToken\n2336412f37f\nTopicArn\n" + TOPIC
    + "\nType\n{message_type}\n"
)  # fmt: skip


def signature(text: str, version: str = "2", key: rsa.RSAPrivateKey = KEY) -> str:
    algorithm = {"1": SHA1, "2": SHA256}[version]
    signed = key.sign(text.encode(), padding.PKCS1v15(), algorithm())
    return base64.b64encode(signed).decode()


def notification(version: str = "2", subject: str | None = "Amazon S3") -> dict:
    envelope = {
        "Type": "Notification", "MessageId": "22b80b92", "TopicArn": TOPIC,
        "Message": 'Hello \u00e9\n"world"', "Timestamp": "2012-05-02T00:54:06.655Z",
        "SignatureVersion": version, "SigningCertURL": CERTIFICATE_URL,
        "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe",
    }  # fmt: skip
    if subject is not None:
        envelope["Subject"] = subject
    line = "" if subject is None else f"Subject\n{subject}\n"
    envelope["Signature"] = signature(NOTIFICATION.format(subject=line), version)
    return json.loads(json.dumps(envelope))


def confirmation(message_type: str = "SubscriptionConfirmation", version: str = "1") -> dict:
    return {
        "Type": message_type, "MessageId": "165545c9", "Token": "2336412f37f", "TopicArn": TOPIC,
        "Message": "You have chosen to subscribe.", "SubscribeURL": SUBSCRIBE,
        "Timestamp": "2012-04-26T20:45:04.751Z", "SignatureVersion": version,
        "Signature": signature(CONFIRMATION.format(message_type=message_type), version),
        "SigningCertURL": CERTIFICATE_URL,
    }  # fmt: skip


def fetch_pem(url: str) -> bytes:
    assert url == CERTIFICATE_URL
    return PEM


def never(url: str) -> bytes:
    pytest.fail(f"{url} was fetched")


def assert_refused(
    envelope: dict,
    reason: str,
    fetch: Callable[[str], bytes] = never,
    topics: tuple[str, ...] = (TOPIC,),
) -> None:
    with pytest.raises(PermanentError, match=reason) as caught:
        verify_sns(envelope, topics, fetch)
    assert caught.value.code is ErrorCode.SIGNATURE_REFUSED


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", ["Amazon S3", "", None])
def test_a_notification_signed_by_sns_is_believed(version: str, subject: str | None):
    assert verify_sns(notification(version, subject), [TOPIC], fetch_pem) is None


def test_a_subject_of_null_is_no_subject():
    assert verify_sns({**notification(subject=None), "Subject": None}, [TOPIC], fetch_pem) is None


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_confirmation_gives_the_url_that_confirms(version: str):
    assert verify_sns(confirmation(version=version), [TOPIC], fetch_pem) == SUBSCRIBE
    # fetching this URL would subscribe again to a topic that was left
    assert verify_sns(confirmation("UnsubscribeConfirmation", version), [TOPIC], fetch_pem) is None


@pytest.mark.parametrize(
    "topics", [(), (TOPIC + "2",), (TOPIC[:-1],), ("arn:aws:sns:us-west-2:999999999999:uploads",)]
)
def test_another_topic_is_refused_before_anything_is_fetched(topics: tuple[str, ...]):
    for envelope in (notification(), confirmation()):
        assert_refused(envelope, "topic", topics=topics)


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.us-west-2.amazonaws.com/x.pem",
        "https://evil.amazonaws.com.evil.example/x.pem",
        "https://sns.us-west-2.amazonaws.com.evil.example/x.pem",
        "https://sns.us-west-2.amazonaws.com@evil.example/x.pem",
        "https://evil.example/sns.us-west-2.amazonaws.com/x.pem",
        "https://evil.example#sns.us-west-2.amazonaws.com/x.pem",
        "https://xsns.us-west-2.amazonaws.com/x.pem", "https://sns.amazonaws.com/x.pem",
        "https://sns.evil.us-west-2.amazonaws.com/x.pem", "https://snsxus-west-2.amazonaws.com/x.pem",
        # buckets of S3's that are called `sns`, which anybody may own
        "https://sns.s3.amazonaws.com/x.pem", "https://sns.s3-us-west-2.amazonaws.com/x.pem",
        "https://sns.s3-accelerate.amazonaws.com/x.pem", "https://sns.s3-1.amazonaws.com/x.pem",
        "https://sns.us-west-2.amazonaws.com:444/x.pem", "https://u@sns.us-west-2.amazonaws.com/x.pem",
        "https://sns.us-west-2.amazonaws.com/x.pem?", "https://sns.us-west-2.amazonaws.com/?x=.pem",
        "https://sns.us-west-2.amazonaws.com/x.pem#y", "https://sns.us-west-2.amazonaws.com/x.txt",
        "https://sns.us-west-2.amazonaws.com/.pem\n", "https://sns.us-west-2.amazonaws.com/a/b.pem",
        "https://SNS.us-west-2.amazonaws.com/x.pem", "https://sns.us-west-2.amazonaws.co/x.pem",
        "https://sns.us-west-2.amazonaws.com.cn.evil/x.pem", "//sns.us-west-2.amazonaws.com/x.pem",
        "https://sns.us-west-2.amazonaws.com\\@evil.example/x.pem", "",
    ],
)  # fmt: skip
def test_a_certificate_from_elsewhere_is_not_fetched(url: str):
    assert_refused({**notification(), "SigningCertURL": url}, "SigningCertURL")


@pytest.mark.parametrize(
    "host",
    [
        "sns.us-east-1.amazonaws.com", "sns.ap-southeast-2.amazonaws.com",
        "sns.us-gov-west-1.amazonaws.com", "sns.cn-north-1.amazonaws.com.cn",
    ],
)  # fmt: skip
def test_every_region_of_aws_is_known(host: str):
    fetched = []

    def fetch(url: str) -> bytes:
        fetched.append(url)
        return PEM

    url = f"https://{host}/SimpleNotificationService-0.pem"
    verify_sns({**notification(), "SigningCertURL": url}, [TOPIC], fetch)
    assert fetched == [url]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/?Action=ConfirmSubscription", SUBSCRIBE.replace("https", "http"),
        SUBSCRIBE.replace(".com/", ".com.evil.example/"), SUBSCRIBE.replace("//sns", "//x@sns"),
        SUBSCRIBE.replace("us-west-2", "s3"), SUBSCRIBE.replace("/?", "/x?"), SUBSCRIBE + "\n",
        SUBSCRIBE + " ", "http://169.254.169.254/latest/meta-data/", "",
    ],
)  # fmt: skip
def test_a_subscribe_url_that_leads_elsewhere_is_refused(url: str):
    for message_type in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        assert_refused({**confirmation(message_type), "SubscribeURL": url}, "SubscribeURL")


@pytest.mark.parametrize(
    "changes",
    [
        {"Message": "other"}, {"MessageId": "other"}, {"Subject": "other"}, {"Subject": None},
        {"Timestamp": "2012-05-02T00:54:06.656Z"}, {"Signature": ""}, {"Signature": "!"},
        {"Signature": base64.b64encode(b"x" * 256).decode()}, {"SignatureVersion": "1"},
        {"Signature": signature("other")}, {"Message": 'Hello \u00e9\n"world"\n'},
        {"Signature": signature("x", key=rsa.generate_private_key(65537, 2048))},
        {"Message": 'Hello \u00e9\n"world"\nMessageId\n22b80b92'},
    ],
)  # fmt: skip
def test_an_altered_message_is_refused(changes: dict):
    assert_refused({**notification(), **changes}, "signature", fetch_pem)


@pytest.mark.parametrize(
    "changes",
    [
        {"Token": "other"}, {"SubscribeURL": SUBSCRIBE + "0"}, {"Message": ""},
        {"Type": "UnsubscribeConfirmation"}, {"Type": "Notification"},
    ],
)  # fmt: skip
def test_an_altered_confirmation_is_refused(changes: dict):
    assert_refused({**confirmation(), **changes}, "signature", fetch_pem)


@pytest.mark.parametrize("name", [name for name in notification() if name != "UnsubscribeURL"])
@pytest.mark.parametrize("value", [..., None, 1, [], {}, "\ud800"])
def test_a_field_that_is_missing_or_no_text_is_refused(name: str, value: object):
    envelope = notification()
    if value is ...:
        del envelope[name]
    else:
        envelope[name] = value
    assert_refused(envelope, name if name != "Subject" else "signature", fetch_pem)


@pytest.mark.parametrize("version", ["0", "3", "", "1.0", "sha1"])
def test_another_signature_version_is_refused(version: str):
    assert_refused({**notification(), "SignatureVersion": version}, "SignatureVersion")


@pytest.mark.parametrize("message_type", ["", "Other", "notification"])
def test_another_type_is_refused(message_type: str):
    assert_refused({**notification(), "Type": message_type}, "Type")


@pytest.mark.parametrize(
    "pem",
    [
        b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff" * 999,
        certificate(KEY, "x", days=(-9, -1)).public_bytes(Encoding.PEM),
        certificate(KEY, "x", days=(1, 9)).public_bytes(Encoding.PEM),
        certificate(ec.generate_private_key(ec.SECP256R1()), "x").public_bytes(Encoding.PEM),
        certificate(rsa.generate_private_key(65537, 2048), "x").public_bytes(Encoding.PEM),
    ],
)  # fmt: skip
def test_an_invalid_certificate_is_refused(pem: bytes):
    assert_refused(notification(), "certificate|signature", lambda _: pem)


def test_an_unreachable_aws_is_not_a_refusal():
    def fails(_: str) -> bytes:
        raise RetryableError(
            ErrorCode.URL_UNAVAILABLE, "sns.us-west-2.amazonaws.com took too long."
        )

    with pytest.raises(RetryableError):
        verify_sns(notification(), [TOPIC], fails)


VALUES = some.none() | some.integers() | some.text(max_size=20) | some.lists(some.text())


@pytest.mark.slow
@given(some.dictionaries(some.sampled_from([*notification(), *confirmation()]), VALUES))
def test_only_signature_refused_is_ever_raised(changes: dict):
    for envelope in (changes, {**notification(), **changes}, {**confirmation(), **changes}):
        try:
            verify_sns(envelope, [TOPIC], fetch_pem)
        except PermanentError as error:
            code = error.code
        else:
            code = ErrorCode.SIGNATURE_REFUSED
        assert code is ErrorCode.SIGNATURE_REFUSED
