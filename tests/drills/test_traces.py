"""Traces of a batch: what they tell, and that images do not depend on the collector."""

import socket
import time

from support.collector import collecting
from support.drill import Drill
from support.receivers import receiving
from support.services import until
from support.stand_in import mark

from contract.metrics import STAGES

COUNT = 8


def start(drill: Drill, **env: str) -> None:
    drill.cluster.env.update(env)
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker(2)


def test_each_line_is_one_trace_from_its_publishing_to_its_output(drill: Drill) -> None:
    drill.fill(COUNT)
    drill.key_path(3).write_bytes(b"no image")
    with collecting() as collector:
        start(drill, **collector.env, OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test")
        spec = drill.submit()
        drill.closed(spec)
        broken = next(row for row in drill.outcomes(spec).values() if row.status == "failed")
        until(lambda: len(collector.named("store")) == COUNT - 1)
        until(lambda: len(collector.named("process")) == COUNT)
        published = {span.attributes["cutout.line"]: span for span in collector.named("publish")}
        assert sorted(published) == list(range(COUNT))
        assert not any(span.parent for span in published.values())
        assert len({span.trace for span in published.values()}) == COUNT
        for row in drill.outcomes(spec).values():
            root, spans = published[row.line], {}
            for span in collector.spans(root.trace):
                spans[span.name] = span
            process = spans["process"]
            assert process.parent == root.id
            assert process.attributes.items() >= {
                "cutout.batch": spec.id, "cutout.line": row.line, "cutout.key": row.key,
                "cutout.attempt": 1, "cutout.status": row.status, "cutout.worker": row.worker,
            }.items()  # fmt: skip
            assert process.process.items() >= {
                "service.name": "cutout-worker", "host.name": socket.gethostname(),
                "deployment.environment": "test",
            }.items()  # fmt: skip
            assert process.process["service.version"]
            assert root.process["service.name"] == "cutout-dispatcher"
            stages = {name: span for name, span in spans.items() if name in STAGES}
            assert {span.parent for span in stages.values()} == {process.id}
            failed = {
                span.name: span.attributes["error.type"] for span in spans.values() if span.failed
            }
            if row.line == broken.line:
                assert failed == {"decode": broken.code, "process": broken.code}
            else:
                assert set(stages) == set(STAGES)
                assert failed == {}
        drill.audit(spec)


def test_an_unsampled_line_is_recorded_by_no_process(drill: Drill) -> None:
    drill.fill(COUNT)
    with collecting() as collector:
        start(drill, **collector.env, OTEL_TRACES_SAMPLER="parentbased_always_off")
        # the worker alone would record all: it follows the dispatcher
        drill.cluster.kill("worker")
        drill.cluster.start_worker(2, OTEL_TRACES_SAMPLER="parentbased_always_on")
        spec = drill.submit()
        drill.closed(spec)
        drill.cluster.processes["worker"].terminate()  # its children send what is left
        assert drill.cluster.processes.pop("worker").wait() == 0
        assert collector.spans() == []


def test_a_worker_that_stops_sends_its_last_spans(drill: Drill) -> None:
    drill.fill(COUNT)
    with collecting() as collector:
        start(drill, **collector.env | {"OTEL_BSP_SCHEDULE_DELAY": "600000"})
        drill.closed(drill.submit())
        assert collector.spans() == []
        drill.cluster.processes["worker"].terminate()
        assert drill.cluster.processes.pop("worker").wait() == 0
        assert len(collector.named("process")) == COUNT


def test_a_collector_that_hangs_concerns_no_image(drill: Drill) -> None:
    drill.fill(COUNT)
    mark(drill.key_path(2), "segfault")  # a quarantine worker ends its process after each image
    with receiving(lambda *_: time.sleep(300)) as collector:
        start(
            drill, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url(), OTEL_EXPORTER_OTLP_TIMEOUT="1",
            OTEL_BSP_SCHEDULE_DELAY="100", OTEL_BSP_MAX_QUEUE_SIZE="8",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="4",
        )  # fmt: skip
        drill.cluster.start_quarantine()
        spec = drill.submit()
        drill.closed(spec)
        assert drill.audit(spec)["done"] == COUNT - 1
        until(lambda: "traces not sent" in drill.cluster.log("worker"))
        until(lambda: "traces not sent" in drill.cluster.log("dispatcher"))
        assert collector.requests
        for name in ("worker", "quarantine", "dispatcher"):
            drill.cluster.processes[name].terminate()
            assert drill.cluster.processes.pop(name).wait() == 0
            # once per process that sends, not once per request
            assert drill.cluster.log(name).count("traces not sent") <= 5
            assert str(collector.port) not in drill.cluster.log(name)
