import sys

import pytest
from structlog.testing import capture_logs
from support.collector import collecting

from contract import open_telemetry, traces
from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.span import NOT_RECORDED

REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
SECRET = "https://user:sesame@host/a.jpg?signature=sesame"


@pytest.fixture(autouse=True)
def _off(monkeypatch):
    for variable in (*traces.ENDPOINTS, *traces.PROTOCOLS):
        monkeypatch.delenv(variable, raising=False)
    yield
    traces.stop()


@pytest.fixture
def collector(monkeypatch):
    with collecting() as collector:
        for variable, value in collector.env.items():
            monkeypatch.setenv(variable, value)
        yield collector


def test_traces_are_off_without_an_endpoint():
    with traces.sending("test"):
        assert not traces.are_on()
        with traces.span("step", parent=f"{REMOTE}-01") as span:
            assert span is NOT_RECORDED
            assert span.traceparent == ""
        with traces.spans("step", "producer", [1, 2], lambda _: pytest.fail("computed")) as spans:
            assert spans == [NOT_RECORDED] * 2
        traces.annotate({"a": 1})


@pytest.mark.parametrize(
    ("variable", "value"), [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")]
)
def test_the_standard_variables_switch_them_off(monkeypatch, collector, variable, value):
    assert traces.are_wanted()
    monkeypatch.setenv(variable, value)
    assert not traces.are_wanted()


def test_an_endpoint_without_the_extra_is_refused(monkeypatch, collector):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "contract.open_telemetry")
    monkeypatch.delattr("contract.open_telemetry")
    with pytest.raises(PermanentError, match="OTEL_EXPORTER_OTLP_ENDPOINT is set") as caught:
        traces.start("test")
    assert caught.value.code is ErrorCode.EXTRA_MISSING


def test_another_protocol_is_refused(monkeypatch, collector):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(PermanentError, match="http/protobuf alone") as caught:
        traces.start("test")
    assert caught.value.code is ErrorCode.INVALID_SETTING


def test_variables_that_do_not_agree_switch_them_off(monkeypatch, collector):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    with capture_logs() as lines, traces.sending("test"):
        assert not traces.are_on()
    assert [line["event"] for line in lines] == ["traces are off"]


def test_steps_form_a_trace(monkeypatch, collector):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    with (
        traces.sending("test"),
        traces.span("outer", "server", f"{REMOTE}-01", {"cutout.line": 3}) as outer,
        traces.span("inner"),
    ):
        traces.annotate({"cutout.attempt": 2})
        outer.rename("renamed")
        with traces.spans("each", "producer", [5, 6], lambda n: {"cutout.line": n}) as each:
            headers = [span.traceparent for span in each]
    spans = {(span.name, span.attributes.get("cutout.line")): span for span in collector.spans()}
    outer, inner = spans["renamed", 3], spans["inner", None]
    assert (outer.trace, outer.parent) == tuple(REMOTE.split("-")[1:])
    assert (inner.parent, inner.attributes) == (outer.id, {"cutout.attempt": 2})
    assert {span.process["service.name"] for span in spans.values()} == {"mine"}
    assert headers == [f"00-{outer.trace}-{spans['each', n].id}-01" for n in (5, 6)]


def test_an_error_is_known_by_its_code_alone(collector):
    errors = [RetryableError(ErrorCode.STORAGE_UNAVAILABLE, SECRET), ValueError(SECRET)]
    with traces.sending("test"):
        for error in errors:
            with pytest.raises(type(error)), traces.span("step"):
                raise error
            with pytest.raises(type(error)), traces.spans("n", "producer", [1], lambda _: {}):
                raise error
    assert [span.attributes for span in collector.named("step")] == [
        {"error.type": "storage_unavailable"}, {"error.type": "ValueError"}
    ]  # fmt: skip
    assert all(span.failed for span in collector.spans())
    assert len(collector.spans()) == 4
    assert b"sesame" not in collector.bytes


def test_a_sender_that_does_not_sample_is_followed(collector):
    with traces.sending("test"), traces.span("step", parent=f"{REMOTE}-00") as span:
        assert span.traceparent.startswith("00-0af7651916cd43dd8448eb211c80319c-")
        assert span.traceparent.endswith("-00")
    assert collector.spans() == []


@pytest.mark.parametrize("header", ["", "x", "00-0-0-01", "\r\n", f"{REMOTE}-01-more" * 1000])
def test_a_malformed_header_begins_a_trace_of_its_own(collector, header):
    with traces.sending("test"), traces.span("step", parent=header):
        pass
    [span] = collector.spans()
    assert span.parent == ""


def test_the_end_does_not_wait_for_a_collector(monkeypatch):
    monkeypatch.setattr(open_telemetry, "STOP_SECONDS", 0.01)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
    with traces.sending("test"), traces.span("step"):
        pass
    assert not traces.are_on()
