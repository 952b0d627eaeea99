from contract.counters import counters
from contract.errors import ErrorCode
from contract.metrics import WORKER_CPU, WORKER_DEFERRED, WORKER_IMAGES, WORKER_MEGAPIXELS
from contract.outcome import Outcome, Output, Status
from worker.usage import count_deferred, count_outcome


def value(name: str, *labels: str) -> float:
    return counters.rows().get((name, labels), [0])[0]


def test_a_settled_image_is_counted_with_all_its_outputs():
    outputs = [Output(key="a.png", width=2000, height=1000), Output(key="b.png")]
    outputs.append(Output(key="c.webp", width=1000, height=500))
    model = "usage-test"
    count_outcome(model, Outcome(line=0, key="a", status=Status.DONE, cpu_ms=1500, outputs=outputs))
    assert value(WORKER_IMAGES.name, model, "done", "") == 1
    assert value(WORKER_MEGAPIXELS.name, model, "done") == 2.5
    assert value(WORKER_CPU.name, model) == 1.5


def test_failures_and_retries_are_counted_by_code():
    model = "usage-test"
    failed = Outcome(line=0, key="a", status=Status.FAILED, code=ErrorCode.TRUNCATED_IMAGE)
    count_outcome(model, failed)
    assert value(WORKER_IMAGES.name, model, "failed", "truncated_image") == 1
    count_deferred(model, ErrorCode.STORAGE_UNAVAILABLE)
    assert value(WORKER_DEFERRED.name, model, "storage_unavailable") == 1
