"""The real command line, with a network that takes a millisecond and photographs that do harm.

    python tests/support/stand_in.py worker --concurrency 2
    python tests/support/stand_in.py dispatch

Everything but the weights is the product's code. CUTOUT_MODEL_DIR must be a temporary folder: the
tiny network is written there as u2netp.onnx. DRILL_WITHOUT=name,name disables safeguards, so that a
drill can show that it fails without them. Words like STALE_SECONDS=3 before the verb set constants
of `worker.supervision` that are not settings; PIPELINE=4 makes it a process of another release;
HIDE=path lets it find no photograph while the path exists, as on a machine without the mount.
SIGRTMIN makes a worker's main loop hang; SIGRTMIN+1 makes a worker deaf.
"""

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

MODEL = "u2netp"
DIGEST = "sha256:388d0348898fc484a233dcb0678cea91157544edab3840936c0f5d5f7e26edd0"
SIDE = 64
ABSURD = "absurd.onnx"
TAIL_BYTES = 100
MARK = b"#drill:"


def mark(path: Path, fault: str) -> None:
    """Make a photograph cause `fault`. Decoders ignore bytes after the end of the image."""
    with path.open("ab") as file:
        file.write(b"\n" + MARK + fault.encode())


# the network


def network() -> bytes:
    """Return an ONNX model that takes bright for salient. Always the same bytes."""
    from onnx import TensorProto, helper

    side, floats = [SIDE, SIDE], TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["grey"], axes=[1], keepdims=1),
            helper.make_node("Mul", ["grey", "contrast"], ["strong"]),
            helper.make_node("Sigmoid", ["strong"], ["map"]),
        ],
        "stand_in",
        [helper.make_tensor_value_info("image", floats, [1, 3, *side])],
        [helper.make_tensor_value_info("map", floats, [1, 1, *side])],
        # bright pictures are certain subjects, so they raise no doubts
        [helper.make_tensor("contrast", floats, [], [8.0])],
    )
    return _serialized(graph)


def absurd_network() -> bytes:
    """Return an ONNX model whose input is the size of its output."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("ConstantOfShape", ["shape"], ["zeros"])],
        "absurd",
        [helper.make_tensor_value_info("shape", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("zeros", TensorProto.FLOAT, ["count"])],
    )
    return _serialized(graph)


def _serialized(graph) -> bytes:
    from onnx import helper

    model = helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)], producer_name="drill"
    )
    return model.SerializeToString(deterministic=True)


def install(folder: Path) -> None:
    """Write the networks to the folder, unless they are there, and replace the registry's row."""
    from worker.models import registry, weights

    folder.mkdir(parents=True, exist_ok=True)
    with weights.locked(folder / f"{MODEL}.onnx"):
        for name, build in {f"{MODEL}.onnx": network, ABSURD: absurd_network}.items():
            if not (folder / name).exists():
                partial = folder / f".{name}.partial"
                partial.write_bytes(build())
                partial.replace(folder / name)
    registry.MODELS[MODEL] = row(registry.MODELS[MODEL])


def row(model):
    """Return a model's row of the registry for the tiny network."""
    return replace(model, side=SIDE, digest=DIGEST, size=None, sources=(), loss=None)


# the faults: each really does what a hostile or unlucky image does


def segfault() -> None:
    ctypes.string_at(0)


def killed() -> None:
    """End as if the kernel's OOM killer struck."""
    os.kill(os.getpid(), signal.SIGKILL)


def memory() -> None:
    """Allocate memory until none is left, if a limit protects the machine."""
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        raise MemoryError
    hoard = []
    while True:
        hoard.append(bytearray(1 << 24))


def ort() -> None:
    """Make ONNX Runtime ask for more memory than any address space has."""
    import numpy as np
    import onnxruntime

    from contract.settings import settings
    from worker.models.providers import memory_errors

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(settings().model_dir / ABSURD), options, providers=["CPUExecutionProvider"]
    )
    with memory_errors():
        session.run(None, {"shape": np.array([1 << 50], np.int64)})


def hang() -> None:
    """Wait in C for a lock that is never released, so that no Python signal handler runs."""
    libc = ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(256)
    libc.pthread_mutex_init(mutex, None)
    while True:
        libc.pthread_mutex_lock(mutex)


FAULTS: dict[str, Callable[..., None]] = {
    "segfault": segfault,
    "kill": killed,
    "memory": memory,
    "ort": ort,
    "hang": hang,
    "slow": lambda seconds: time.sleep(float(seconds)),
}


def obey(data: bytes) -> None:
    """Cause the fault that a photograph is marked with, if any."""
    _, separator, text = data[-TAIL_BYTES:].rpartition(MARK)
    if separator:
        name, *arguments = text.decode().split(":")
        FAULTS[name](*arguments)


def harmful(decode):
    def decode_in_a_drill(data: bytes, *arguments, **options):
        obey(data)
        return decode(data, *arguments, **options)

    return decode_in_a_drill


# safeguards that can be disabled


def without_reconciler() -> None:
    from producer.dispatch.line_publisher import LinePublisher

    LinePublisher.republish = lambda *_: None


def without_timeouts() -> None:
    """Wait a tenth as long for the storage's answer, and before a paused batch is retried."""
    from botocore.config import Config

    from contract.storage import s3
    from producer.dispatch import dispatcher

    s3.CLIENT = s3.CLIENT.merge(Config(read_timeout=s3.CLIENT.read_timeout / 10))
    dispatcher.RETRY_SECONDS /= 10


def without_crash_limit() -> None:
    from worker import process

    process.MAX_CRASHES = sys.maxsize


def without_breaker() -> None:
    from producer.dispatch import breaker

    breaker.evaluate = lambda *_: None


def without_watchdog() -> None:
    from worker.supervision import policy

    policy.HealthPolicy.evaluate = lambda *_: policy.Verdict.HEALTHY


def without_message_filter() -> None:
    from worker.celery_hooks import consumer

    consumer.MessageFilter = lambda *_: None


SAFEGUARDS: dict[str, Callable[[], None]] = {
    "reconciler": without_reconciler,
    "crash_limit": without_crash_limit,
    "timeouts": without_timeouts,
    "breaker": without_breaker,
    "watchdog": without_watchdog,
    "message_filter": without_message_filter,
}


def set_constants(words: list[str]) -> None:
    """Set the constants given before the verb."""
    from contract import recipe

    values = {}
    while "=" in words[1]:
        name, value = words.pop(1).split("=")
        values[name] = value
    recipe.PIPELINE = int(values.pop("PIPELINE", recipe.PIPELINE))  # before others import it
    if path := values.pop("HIDE", ""):
        hide_photographs_while_exists(Path(path))

    from producer.dispatch import missing_workers
    from worker.supervision import heartbeat, outlier, policy

    for name, value in values.items():
        owners = (heartbeat, outlier, policy, missing_workers)
        setattr(next(owner for owner in owners if hasattr(owner, name)), name, float(value))


def hide_photographs_while_exists(path: Path) -> None:
    from contract.errors import ErrorCode, PermanentError
    from worker import process

    fetch = process.fetch

    def fetch_unless_hidden(job, config):
        if path.exists():
            raise PermanentError(ErrorCode.OBJECT_MISSING, "The mount is missing.")
        return fetch(job, config)

    process.fetch = fetch_unless_hidden


def deafen() -> None:
    """Stop consuming without the worker's knowledge, as consumers have done after reconnects."""
    from celery.worker import consumer

    start = consumer.Consumer.on_ready

    def on_ready(self) -> None:
        start(self)
        signal.signal(signal.SIGRTMIN + 1, lambda *_: self.task_consumer.cancel())

    consumer.Consumer.on_ready = on_ready


def main() -> None:
    set_constants(sys.argv)
    for name in filter(None, os.environ.get("DRILL_WITHOUT", "").split(",")):
        SAFEGUARDS[name]()
    if sys.argv[1] in {"worker", "models", "health"}:
        install(Path(os.environ["CUTOUT_MODEL_DIR"]))
        signal.signal(signal.SIGRTMIN, lambda *_: time.sleep(600))
        if sys.argv[1] == "worker":
            deafen()
        from worker import process
        from worker.cli import main as verbs

        process.decode = harmful(process.decode)
    else:
        from producer.cli import main as verbs
    verbs.main()


if __name__ == "__main__":
    main()
