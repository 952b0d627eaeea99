"""All checks, in the order in which a fault of one explains those of the next."""

from collections.abc import Iterator

from contract.settings import Settings
from producer.doctor.cluster import ClusterChecks
from producer.doctor.finding import Check, Finding, findings, ok
from producer.doctor.machine import MachineChecks
from producer.doctor.storage import StorageChecks, written


def examine_all(config: Settings, locations: tuple[str, str] | None) -> Iterator[Finding]:
    """Yield what all checks find. `locations`: source and destination of a batch, if known."""
    machine, cluster = MachineChecks(config), ClusterChecks(config)
    checks: dict[str, Check] = {
        "variables": machine.variables,
        "traces": machine.traces,
        "folders": machine.folders,
        "weights": machine.weights,
        "providers": machine.providers,
        "limits": machine.limits,
        "ports": machine.ports,
        "redis": cluster.redis,
        "clock": cluster.clock,
        "settings": cluster.settings,
        "processes": cluster.processes,
    }
    if locations:
        storage = StorageChecks(*locations)
        checks |= {"source": storage.source, "destination": storage.destination}
    if config.web_store or config.api_keys or config.event_rules:
        checks["web"] = lambda: _web(config)
    return findings(checks)


def _web(config: Settings) -> Iterator[Finding]:
    """Check what `cutout serve` would refuse at its start."""
    from producer.web.context import build_context  # noqa: PLC0415 - FastAPI is slow to import

    context = build_context(config)
    yield ok("API keys and event rules are valid")
    yield from written(context.store)
