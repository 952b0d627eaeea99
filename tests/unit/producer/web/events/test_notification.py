import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from contract.errors import ErrorCode, PermanentError
from producer.web.body_limits import JSON_BYTES
from producer.web.events.notification import is_sns, parse, read
from producer.web.events.object_event import ObjectEvent

# as AWS documents them
S3_RECORD = {
    "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-west-2",
    "eventTime": "1970-01-01T00:00:00.000Z", "eventName": "ObjectCreated:Put",
    "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
    "requestParameters": {"sourceIPAddress": "172.16.0.1"},
    "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8"},
    "s3": {
        "s3SchemaVersion": "1.0", "configurationId": "testConfigRule",
        "bucket": {
            "name": "amzn-s3-demo-bucket", "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
            "arn": "arn:aws:s3:::amzn-s3-demo-bucket",
        },
        "object": {
            "key": "red+shoes/Sch%C3%B6n%2B1.jpg", "size": 1024,
            "eTag": "d41d8cd98f00b204e9800998ecf8427e",
            "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko", "sequencer": "0055AED6DCD90281E5",
        },
    },
}  # fmt: skip
S3_EVENT = ObjectEvent(
    "amzn-s3-demo-bucket", "red shoes/Sch\xf6n+1.jpg", 1024, "d41d8cd98f00b204e9800998ecf8427e",
    "0055AED6DCD90281E5", "ObjectCreated:Put",
)  # fmt: skip
TEST_EVENT = {
    "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2014-10-13T15:57:02.089Z",
    "Bucket": "amzn-s3-demo-bucket", "RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4",
}  # fmt: skip
BRIDGE = {
    "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": "Object Created",
    "source": "aws.s3", "account": "111122223333", "time": "2021-11-12T00:00:00Z",
    "region": "ca-central-1", "resources": ["arn:aws:s3:::amzn-s3-demo-bucket1"],
    "detail": {
        "version": "0", "bucket": {"name": "amzn-s3-demo-bucket1"},
        "object": {
            "key": "red+shoes/100%25.jpg", "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184",
            "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", "sequencer": "617f08299329d189",
        },
        "request-id": "N4N7GDK58NMKJ12R", "requester": "123456789012",
        "source-ip-address": "1.2.3.4", "reason": "PutObject",
    },
}  # fmt: skip
BRIDGE_EVENT = ObjectEvent(
    "amzn-s3-demo-bucket1", "red+shoes/100%25.jpg", 5, "b1946ac92492d2347c6235b4d2611184",
    "617f08299329d189", "Object Created",
)  # fmt: skip
MINIO = {
    "EventName": "s3:ObjectCreated:Put", "Key": "play1/red shoes/j1.jpg",
    "Records": [
        {
            "eventVersion": "2.0", "eventSource": "minio:s3", "awsRegion": "",
            "eventTime": "2017-09-04T09:22:31Z", "eventName": "s3:ObjectCreated:Put",
            "userIdentity": {"principalId": "minio"},
            "requestParameters": {"sourceIPAddress": "192.168.1.130:53175"},
            "responseElements": {"x-amz-request-id": "14E11E32397D42C4"},
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "Config",
                "bucket": {"name": "play1", "ownerIdentity": {"principalId": "minio"},
                           "arn": "arn:aws:s3:::play1"},
                "object": {
                    "key": "red+shoes%2Fj1.jpg", "size": 488,
                    "eTag": "f22d66a7d0dbbc4a7cf1122eeeb1a106", "contentType": "image/jpeg",
                    "userMetadata": {"content-type": "image/jpeg"}, "sequencer": "14E11E32397D42C4",
                },
            },
            "source": {"host": "192.168.1.130", "port": "53175", "userAgent": "MinIO (linux)"},
        }
    ],
}  # fmt: skip
MINIO_EVENT = ObjectEvent(
    "play1", "red shoes/j1.jpg", 488, "f22d66a7d0dbbc4a7cf1122eeeb1a106", "14E11E32397D42C4",
    "ObjectCreated:Put",
)  # fmt: skip
CLOUD = {
    "specversion": "1.0", "type": "com.amazonaws.s3.ObjectCreated:Put",
    "source": "aws:s3.us-west-2.amzn-s3-demo-bucket", "id": "C3D13FE58DE4C810.FMyUVURIY8",
    "time": "1970-01-01T00:00:00.000Z", "subject": "red+shoes",
    "datacontenttype": "application/json",
}  # fmt: skip
STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}


def sns(message: object, event_type: str = "Notification") -> dict[str, Any]:
    return {
        "Type": event_type, "MessageId": "22b80b92", "TopicArn": "arn:aws:sns:us-east-1:1:uploads",
        "Subject": "Amazon S3 Notification", "Message": json.dumps(message),
        "Timestamp": "2012-05-02T00:54:06.655Z",
    }  # fmt: skip


def sqs(*messages: object) -> dict[str, Any]:
    """Messages of SQS, as a Lambda or a pipe passes them on."""
    return {
        "Records": [
            {
                "messageId": "059f36b4", "receiptHandle": "AQEB", "body": json.dumps(message),
                "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {},
                "md5OfBody": "e4e6", "eventSource": "aws:sqs", "awsRegion": "us-east-2",
                "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:uploads",
            }
            for message in messages
        ]
    }  # fmt: skip


R2 = {
    "account": "3f4b7e3dcab231cbfdaa90a6a28bd548", "action": "CopyObject", "bucket": "my-bucket",
    "object": {"key": "red+shoes/100%25.jpg", "size": 65536, "eTag": "c846ff7a18f28c2e262116d6e8"},
    "eventTime": "2024-05-24T19:36:44.379Z",
    "copySource": {"bucket": "my-bucket", "object": "a.jpg"},
}  # fmt: skip
R2_EVENT = ObjectEvent(
    "my-bucket", "red+shoes/100%25.jpg", 65536, "c846ff7a18f28c2e262116d6e8",
    "2024-05-24T19:36:44.379Z", "CopyObject",
)  # fmt: skip
PUBSUB = {
    "message": {
        "attributes": {
            "bucketId": "bucket", "objectId": "red+shoes/100%25.jpg",
            "eventType": "OBJECT_FINALIZE",
            "objectGeneration": "1716579404379001", "payloadFormat": "JSON_API_V1",
            "eventTime": "2024-05-24T19:36:44.379Z",
            "notificationConfig": "projects/_/buckets/bucket/notificationConfigs/3",
        },
        "data": "eyJraW5kIjoic3RvcmFnZSNvYmplY3QifQ==", "messageId": "136969346945",
        "publishTime": "2024-05-24T19:36:44.5Z",
    },
    "subscription": "projects/myproject/subscriptions/mysubscription",
}  # fmt: skip
PUBSUB_EVENT = ObjectEvent(
    "bucket", "red+shoes/100%25.jpg", None, "", "1716579404379001", "OBJECT_FINALIZE"
)


def received(document: object, headers: dict[str, str] | None = None) -> list[ObjectEvent]:
    """Return the events of a notification whose records can all be read."""
    notification = parse(read(json.dumps(document).encode()), headers or {})
    assert not notification.refused
    return notification.events


def assert_refused(document: object, headers: dict[str, str] | None = None) -> None:
    with pytest.raises(PermanentError) as caught:
        received(document, headers)
    assert caught.value.code is ErrorCode.INVALID_EVENT
    assert caught.value.message.endswith(".")


def changed(document: Any, path: str, value: object) -> Any:
    """A copy with one value changed; `...` takes it out."""
    copy = json.loads(json.dumps(document))
    *parents, name = path.split("/")
    row = copy
    for parent in parents:
        row = row[int(parent) if isinstance(row, list) else parent]
    if value is ...:
        del row[name]
    else:
        row[int(name) if isinstance(row, list) else name] = value
    return copy


S3 = {"Records": [S3_RECORD]}


# shapes


def test_s3_keys_are_form_encoded():
    assert received(S3) == [S3_EVENT]
    assert received({"Records": [S3_RECORD, MINIO["Records"][0]]}) == [S3_EVENT, MINIO_EVENT]
    assert received({"Records": []}) == []


def test_minio_sends_the_same_and_says_it_twice():
    assert received(MINIO) == [MINIO_EVENT]


def test_eventbridge_keys_are_not_encoded():
    assert received(BRIDGE) == [BRIDGE_EVENT]


def test_sns_holds_either():
    assert received(sns(S3)) == [S3_EVENT]
    assert received(sns(BRIDGE)) == [BRIDGE_EVENT]
    assert received(sns(TEST_EVENT)) == []
    assert is_sns(sns(S3))
    assert not any(is_sns(document) for document in (S3, BRIDGE, MINIO, TEST_EVENT, CLOUD))


@pytest.mark.parametrize("event_type", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_sns_confirmations_announce_nothing(event_type: str):
    assert received({**sns(S3, event_type), "Message": "You have chosen to subscribe."}) == []


def test_the_test_event_announces_nothing():
    assert received(TEST_EVENT) == []


@pytest.mark.parametrize("data", [S3, S3_RECORD])
def test_cloud_events_around_s3(data: dict):
    assert received({**CLOUD, "data": data}, STRUCTURED) == [S3_EVENT]
    assert received({**CLOUD, "data": data}) == [S3_EVENT]
    encoded = base64.b64encode(json.dumps(data).encode()).decode()
    assert received({**CLOUD, "data_base64": encoded}, STRUCTURED) == [S3_EVENT]
    binary = {f"Ce-{name.title()}": value for name, value in CLOUD.items()}
    assert received(data, {**binary, "Content-Type": "application/json"}) == [S3_EVENT]


@pytest.mark.parametrize(
    ("event_type", "data", "name"),
    [
        ("aws.s3", BRIDGE, "Object Created"), ("aws.s3", BRIDGE["detail"], "PutObject"),
        ("aws.s3.object.created", BRIDGE["detail"], "object.created"),
        ("com.amazonaws.s3.ObjectCreated:Copy", BRIDGE["detail"], "ObjectCreated:Copy"),
        ("com.amazon.s3.objectcreated", BRIDGE["detail"], "objectcreated"),
    ],
)  # fmt: skip
def test_cloud_events_around_eventbridge(event_type: str, data: dict, name: str):
    events = received({**CLOUD, "type": event_type, "data": data}, STRUCTURED)
    assert [(event.key, event.name) for event in events] == [(BRIDGE_EVENT.key, name)]


def test_sqs_holds_all_of_aws():
    assert received(sqs(S3)) == [S3_EVENT]
    assert received(sqs(S3, BRIDGE, sns(S3), TEST_EVENT, MINIO)) == [
        S3_EVENT, BRIDGE_EVENT, S3_EVENT, MINIO_EVENT,
    ]  # fmt: skip


@pytest.mark.parametrize("action", ["PutObject", "CopyObject", "CompleteMultipartUpload"])
def test_r2_keys_are_not_encoded(action: str):
    (event,) = received({**R2, "action": action})
    assert (event.key, event.name) == (R2_EVENT.key, action)
    assert received(R2) == [R2_EVENT]


def test_google_keys_are_not_encoded():
    assert received(PUBSUB) == [PUBSUB_EVENT]


# other events are ignored


@pytest.mark.parametrize("action", ["DeleteObject", "LifecycleDeletion"])
def test_only_created_objects_count_with_r2_too(action: str):
    assert received({**R2, "action": action, "object": {"key": "a.jpg"}}) == []


@pytest.mark.parametrize("name", ["OBJECT_DELETE", "OBJECT_ARCHIVE", "OBJECT_METADATA_UPDATE"])
def test_only_created_objects_count_with_google_too(name: str):
    assert received(changed(PUBSUB, "message/attributes/eventType", name)) == []


@pytest.mark.parametrize(
    "name",
    [
        "ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated", "ObjectTagging:Put",
        "s3:ObjectAccessed:Get", "ObjectRestore:Completed", "ReducedRedundancyLostObject",
        "LifecycleExpiration:Delete", "s3:Replication:OperationMissedThreshold", "x", "Removed",
    ],
)  # fmt: skip
def test_only_created_objects_count(name: str):
    removed = {**S3_RECORD, "eventName": name}
    assert received({"Records": [removed, S3_RECORD, removed]}) == [S3_EVENT]
    assert received({"Records": [{"eventName": name}]}) == []
    assert received({**CLOUD, "data": removed}, STRUCTURED) == []
    assert received({**CLOUD, "type": f"com.amazonaws.s3.{name}", "data": BRIDGE["detail"]}) == []


@pytest.mark.parametrize("name", ["Object Deleted", "Object Tags Added", "Object Restore Expired"])
def test_only_created_objects_count_with_eventbridge_too(name: str):
    assert received({**BRIDGE, "detail-type": name}) == []
    assert received({**CLOUD, "type": "aws.s3", "data": {**BRIDGE["detail"], "reason": name}}) == []


@pytest.mark.parametrize(
    "name", ["Put", "Post", "Copy", "CompleteMultipartUpload", "*", "PutRetention"]
)
def test_however_it_was_created(name: str):
    for prefix in ("", "s3:"):
        events = received(
            {"Records": [{**S3_RECORD, "eventName": f"{prefix}ObjectCreated:{name}"}]}
        )
        assert [event.name for event in events] == [f"ObjectCreated:{name}"]


# what may be missing


@pytest.mark.parametrize("value", [..., None])
def test_size_etag_and_sequencer_may_be_missing(value: object):
    for name, field, empty in (
        ("size", "size", None),
        ("eTag", "etag", ""),
        ("sequencer",) * 2 + ("",),
    ):
        (event,) = received(changed(S3, f"Records/0/s3/object/{name}", value))
        assert getattr(event, field) == empty


def test_sizes_may_be_text_and_etags_quoted():
    (event,) = received(changed(S3, "Records/0/s3/object/size", "1024"))
    assert event.size == 1024
    (event,) = received(changed(S3, "Records/0/s3/object/eTag", '"abc-2"'))
    assert event.etag == "abc-2"


# what is refused


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Records/0", None), ("Records/0", []),
        ("Records/0/eventName", ...), ("Records/0/eventName", 1), ("Records/0/eventName", ""),
        ("Records/0/s3", ...), ("Records/0/s3", []), ("Records/0/s3/bucket", ...),
        ("Records/0/s3/bucket", "b"), ("Records/0/s3/bucket/name", ...),
        ("Records/0/s3/bucket/name", ""), ("Records/0/s3/bucket/name", "a/b"),
        ("Records/0/s3/bucket/name", "../b"), ("Records/0/s3/bucket/name", "b\n"),
        ("Records/0/s3/bucket/name", "b" * 256), ("Records/0/s3/bucket/name", 7),
        ("Records/0/s3/object", ...), ("Records/0/s3/object/key", ...),
        ("Records/0/s3/object/key", ""), ("Records/0/s3/object/key", 1),
        ("Records/0/s3/object/key", "%ff"), ("Records/0/s3/object/key", "\ud800"),
        ("Records/0/s3/object/key", "k" * 1025), ("Records/0/s3/object/key", "%C3%B6" * 513),
        ("Records/0/s3/object/size", -1), ("Records/0/s3/object/size", 1.5),
        ("Records/0/s3/object/size", True), ("Records/0/s3/object/size", "x"),
        ("Records/0/s3/object/size", 2**63), ("Records/0/s3/object/size", 10**400),
        ("Records/0/s3/object/size", "9" * 19), ("Records/0/s3/object/size", "\u0661"),
        ("Records/0/s3/object/size", 1e300), ("Records/0/s3/object/size", []),
        ("Records/0/s3/object/eTag", 1), ("Records/0/s3/object/eTag", "\udfff"),
        ("Records/0/s3/object/sequencer", {}),
    ],
)  # fmt: skip
def test_a_malformed_record_is_refused_by_itself_wherever_it_comes_in(path: str, value: object):
    bad = changed(S3, path, value)["Records"][0]
    for records, number in (([bad], 1), ([S3_RECORD, bad, MINIO["Records"][0]], 2)):
        document = {"Records": records}
        for form in (document, sns(document), sqs(document), sqs(sns(document))):
            notification = parse(read(json.dumps(form).encode()), {})
            (refused,) = notification.refused
            assert (refused.record, refused.code) == (number, ErrorCode.INVALID_EVENT)
            assert refused.message.endswith(".")
            assert notification.events == [S3_EVENT, MINIO_EVENT][: len(records) - 1]
            assert [event.record for event in notification.events] == [1, 3][: len(records) - 1]


@pytest.mark.parametrize("value", [None, {}, "x", 1])
def test_records_that_are_no_list_are_refused(value: object):
    assert_refused({"Records": value})
    assert_refused(sns({"Records": value}))


@pytest.mark.parametrize("body", [..., None, 1, "", "x", "[]", "{}", '{"Records": 1}'])
def test_a_malformed_message_of_sqs_is_refused_by_itself(body: object):
    bad = changed(sqs(S3), "Records/0/body", body)["Records"][0]
    notification = parse({"Records": [*sqs(S3, BRIDGE)["Records"], bad, S3_RECORD]}, {})
    assert notification.events == [S3_EVENT, BRIDGE_EVENT, S3_EVENT]
    assert [(refused.record, refused.code) for refused in notification.refused] == [
        (3, ErrorCode.INVALID_EVENT)
    ]


def test_messages_of_sqs_do_not_nest():
    notification = parse(sqs(sqs(S3)), {})
    assert (notification.events, len(notification.refused)) == ([], 1)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("action", 1), ("action", ""), ("bucket", ...), ("bucket", "a/b"), ("bucket", {}),
        ("object", ...), ("object", "x"), ("object/key", ...), ("object/key", "k" * 1025),
        ("object/size", "x"), ("object/eTag", 1), ("eventTime", 1),
    ],
)  # fmt: skip
def test_a_malformed_message_of_r2_is_refused(path: str, value: object):
    assert_refused(changed(R2, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("message", None), ("message", "x"), ("message/attributes", ...),
        ("message/attributes/eventType", ...), ("message/attributes/eventType", 1),
        ("message/attributes/bucketId", ...), ("message/attributes/bucketId", "../a"),
        ("message/attributes/objectId", ""), ("message/attributes/objectId", "k" * 1025),
        ("message/attributes/objectGeneration", 1),
    ],
)  # fmt: skip
def test_a_malformed_message_of_pubsub_is_refused(path: str, value: object):
    assert_refused(changed(PUBSUB, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("source", "aws.ec2"), ("source", ...), ("detail-type", 1), ("detail-type", ""),
        ("detail", ...), ("detail", []), ("detail/bucket", ...), ("detail/object", ...),
        ("detail/object/key", ...), ("detail/object/size", "x"), ("detail/bucket/name", "a/b"),
        ("detail/object/key", "k" * 1025),
    ],
)  # fmt: skip
def test_a_malformed_eventbridge_event_is_refused(path: str, value: object):
    assert_refused(changed(BRIDGE, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("specversion", "0.3"), ("specversion", 1.0), ("specversion", None), ("type", ...),
        ("type", "com.example.created"), ("type", "com.amazonaws.s3x.ObjectCreated:Put"),
        ("type", 1), ("data", ...), ("data", "x"), ("data", []), ("data", {}),
        ("data", {"object": {}}), ("data_base64", "!"), ("data_base64", "eA=="),
        ("data_base64", None), ("data_base64", base64.b64encode(b"[]").decode()),
    ],
)  # fmt: skip
def test_a_malformed_cloud_event_is_refused(path: str, value: object):
    assert_refused(changed({**CLOUD, "data": S3}, path, value), STRUCTURED)


def test_cloud_events_in_other_forms_are_refused():
    assert_refused({**S3}, {"content-type": "application/cloudevents-batch+json"})
    assert_refused({**S3}, {"content-type": "application/cloudevents+avro"})
    assert_refused(S3, STRUCTURED)
    assert_refused(S3, {"ce-specversion": "1.0"})
    assert_refused(S3, {"ce-specversion": "1.0", "ce-type": "com.example.x"})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Type", "Other"), ("Type", None), ("Type", []), ("Message", ...), ("Message", 1),
        ("Message", ""), ("Message", "hello"), ("Message", "[]"), ("Message", "{}"),
        ("Message", "\ud800"), ("Message", "[" * 30_000),
    ],
)  # fmt: skip
def test_a_malformed_envelope_is_refused(path: str, value: object):
    assert_refused(changed(sns(S3), path, value))


def test_an_envelope_in_an_envelope_is_refused():
    assert_refused(sns(sns(S3)))


@pytest.mark.parametrize("document", [{}, {"Event": "x"}, {"EventName": "s3:ObjectCreated:Put"}])
def test_other_documents_are_refused(document: dict):
    assert_refused(document)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"x", b"[]", b"null", b"1", b'"x"', b"\xff", b"{", b'{"Records":NaN}',
        b'{"Records":Infinity}', b"[" * 60_000, b'{"a":' * 10_000, b'{"a":' + b"9" * 50_000 + b"}",
        b'{"a":1e999999}x', "{}".encode("utf-16"), b"\xef\xbb\xbf{}",
    ],
)  # fmt: skip
def test_bodies_other_than_a_json_object_are_refused(body: bytes):
    with pytest.raises(PermanentError) as caught:
        read(body)
    assert caught.value.code is ErrorCode.INVALID_EVENT


@pytest.mark.parametrize("number", ["9" * 4000, "1e999", "-1e999", "0.1e-999", "1E+400"])
def test_huge_numbers_are_refused_where_they_matter_and_passed_over_elsewhere(number: str):
    text = json.dumps(S3).replace("1024", number)
    assert len(parse(read(text.encode()), {}).refused) == 1
    text = json.dumps({**S3, "other": 77}).replace("77", number)
    assert parse(read(text.encode()), {}).events == [S3_EVENT]


def test_a_body_of_the_limit_is_parsed():
    count = (JSON_BYTES - 20) // (len(json.dumps(S3_RECORD)) + 2)
    body = json.dumps({"Records": [S3_RECORD] * count}).encode()
    body += b" " * (JSON_BYTES - len(body))
    assert parse(read(body), {}).events == [S3_EVENT] * count
    nested = json.dumps(S3)[:-1].encode() + b',"x":' + b"[" * 400 + b"]" * 400 + b"}"
    assert parse(read(nested), {}).events == [S3_EVENT]


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(),
    lambda inner: some.lists(inner, max_size=3)
    | some.dictionaries(
        some.sampled_from(
            ["Records", "Type", "TopicArn", "Message", "detail-type", "detail", "s3", "bucket",
             "name", "object", "key", "size", "eTag", "eventName", "specversion", "type",
             "data", "source", "message", "attributes", "action", "body", "eventSource"]
        ), inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip
PATHS = [
    "Records", "Records/0", "Records/0/eventName", "Records/0/s3", "Records/0/s3/bucket",
    "Records/0/s3/bucket/name", "Records/0/s3/object", "Records/0/s3/object/key",
    "Records/0/s3/object/size", "Records/0/s3/object/eTag", "Records/0/s3/object/sequencer",
]  # fmt: skip


@given(
    JSON, some.sampled_from(PATHS), some.sampled_from([{}, STRUCTURED, {"ce-specversion": "1.0"}])
)
def test_only_invalid_event_is_ever_raised(value, path: str, headers: dict[str, str]):
    for document in (value, changed(S3, path, value), {**CLOUD, "data": changed(S3, path, value)}):
        try:
            notification = parse(read(json.dumps(document).encode()), headers)
        except PermanentError as error:
            codes, events = {error.code}, []
        else:
            codes = {refused.code for refused in notification.refused}
            events = notification.events
        assert codes <= {ErrorCode.INVALID_EVENT}
        for event in events:
            assert event.key.encode()
