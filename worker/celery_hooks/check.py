"""Checks that Celery, kombu and billiard have the names that this package relies on.

Most of them are not public, so any release may drop them. pyproject.toml limits the versions.
"""

from importlib import import_module, metadata

from contract.errors import ErrorCode, PermanentError

NAMES = (
    # app.py
    "billiard.process:current_process",
    "celery.signals:setup_logging",
    "celery.signals:worker_process_init",
    "celery.signals:worker_process_shutdown",
    # notices.py
    "celery.apps.worker:safe_say",
    # loader.py
    "celery.loaders.app:AppLoader.import_from_cwd",
    # tasks.py, request.py
    "billiard.einfo:ExceptionWithTraceback",
    "billiard.exceptions:TimeLimitExceeded",
    "billiard.exceptions:WorkerLostError",
    "celery.app.task:Task.Request",
    "celery.worker.request:Request.kwargs",
    "celery.worker.request:Request.on_failure",
    "celery.worker.request:Request.on_success",
    "celery.worker.request:Request.on_timeout",
    "celery.worker.request:Request.worker_pid",
    # consumer.py
    "celery.concurrency.asynpool:AsynPool._fileno_to_outq",
    "celery.concurrency.asynpool:AsynPool._on_hard_timeout",
    "celery.concurrency.asynpool:AsynPool._on_soft_timeout",
    "celery.concurrency.asynpool:AsynPool.handle_result_event",
    "celery.concurrency.prefork:TaskPool._pool",
    "celery.events:EventDispatcher.producer",
    "celery.worker.consumer:Consumer.call_soon_ack",
    "celery.worker.consumer:Consumer.channel_errors",
    "celery.worker.consumer:Consumer.connection_errors",
    "celery.worker.consumer:Consumer.on_send_event_buffered",
    "celery.worker.consumer.events:Events.event_dispatcher",
    "celery.worker.consumer:Consumer.ensure_connected",
    "celery.worker.consumer:Events.start",
    "celery.worker.consumer:Consumer.hub",
    "celery.worker.consumer:Consumer.on_connection_error_after_connected",
    "celery.worker.consumer:Consumer.on_connection_error_before_connected",
    "celery.worker.consumer:Consumer.pool",
    "celery.worker.consumer:Consumer.register_with_event_loop",
    "kombu:Connection.close",
    "kombu:Connection.ensure_connection",
    "kombu.message:Message.ack_log_error",
    "kombu.message:Message.reject_log_error",
    "kombu.asynchronous:Hub.readers",
    "kombu.asynchronous:Hub.reset",
    "kombu.transport.redis:Channel.client",
    # messages.py
    "celery.worker.consumer:Consumer.create_task_handler",
    "celery.worker.consumer:Tasks.start",
    "kombu.transport.redis:Channel.basic_reject",
    "kombu.transport.redis:Channel.handlers",
    "kombu.transport.redis:Transport._deliver",
    # events.py
    "celery.app.events:Events.dispatcher_cls",
    "celery.events:EventDispatcher.flush",
    "celery.events:EventDispatcher.send",
    # supervision
    "billiard.process:active_children",
    "celery.app.amqp:AMQP.Connection",
    "celery.bootsteps:Blueprint.human_state",
    "celery.worker.consumer:Consumer.blueprint",
    "celery.worker.consumer:Consumer.on_ready",
    "celery.worker.state:active_requests",
    "celery.worker.state:all_total_count",
    "celery.worker.state:should_stop",
    "celery.worker.state:should_terminate",
    "kombu:Connection._ensure_connection",
    "kombu:Connection.connected",
    "kombu:Consumer.cancel",
    "kombu:Consumer.consume",
    "kombu.asynchronous:Hub.call_repeatedly",
)
"""Each as `module:attribute` or `module:class.attribute`."""


def check_names(names: tuple[str, ...] = NAMES) -> None:
    """Raise PermanentError (`incompatible_version`) if one of the names does not exist."""
    for name in names:
        if not _exists(name):
            package = name.partition(":")[0].partition(".")[0]
            raise PermanentError(
                ErrorCode.INCOMPATIBLE_VERSION,
                f"{package} {metadata.version(package)} lacks {name}, which cutout relies on.",
            )


def _exists(name: str) -> bool:
    module, _, path = name.partition(":")
    try:
        owner: object = import_module(module)
    except ImportError:
        return False
    *classes, attribute = path.split(".")
    for owner_name in classes:
        owner = getattr(owner, owner_name, None)
    if hasattr(owner, attribute):
        return True
    # an attribute of instances: the class assigns it in __init__
    code = getattr(getattr(owner, "__init__", None), "__code__", None)
    return code is not None and attribute in code.co_names
