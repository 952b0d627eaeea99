"""One trace from a request to the last output, across the processes of a cluster."""

from support.collector import collecting
from support.receivers import answer, receiving
from support.services import until
from support.serving import jpeg, serving

from contract.metrics import STAGES

ALLOWED = {"CUTOUT_URL_ALLOWLIST": "127.0.0.1"}
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_request_is_one_trace_up_to_its_output(quick_cluster, tmp_path) -> None:
    with (
        collecting() as collector,
        receiving(answer(200, jpeg())) as shop,
        serving(quick_cluster, tmp_path, **ALLOWED, **collector.env) as server,
    ):
        server.work(**ALLOWED, **collector.env)
        answered = server.client.post(
            "/v1/cutouts", json={"source": shop.url("/a.jpg?signature=sesame")},
            headers={"traceparent": f"00-{TRACE}-{CALLER}-01"},
        )  # fmt: skip
        cutout = server.ended(answered.json()["id"])
        assert cutout["status"] == "done"
        until(lambda: len(collector.spans(TRACE)) == 3 + len(STAGES))
        spans = {span.name: span for span in collector.spans(TRACE)}
        request, publish, process = (
            spans.pop(name) for name in ("POST /v1/cutouts", "publish", "process")
        )
        assert [request.parent, publish.parent, process.parent] == [CALLER, request.id, publish.id]
        assert set(spans) == set(STAGES)
        assert {stage.parent for stage in spans.values()} == {process.id}
        assert request.attributes == {
            "http.request.method": "POST", "http.route": "/v1/cutouts",
            "http.response.status_code": answered.status_code,
        }  # fmt: skip
        assert process.attributes["cutout.batch"] == cutout["id"]
        assert process.attributes["cutout.attempt"] == 1
        services = [span.process["service.name"] for span in (request, process)]
        assert services == ["cutout-api", "cutout-worker"]
        # each later poll is a trace of its own, and no span holds the URL
        assert collector.named("GET /v1/cutouts/{cutout_id}")[0].trace != TRACE
        assert b"sesame" not in collector.bytes
        assert b"signature" not in collector.bytes
