"""Which resource of a fleet ends first: measured costs of one image, multiplied. No I/O."""

from dataclasses import dataclass

FLEET_WORKERS = 1000
CHILDREN = 10
"""Children of each worker."""
IMAGES = 10**9
IMAGE_SECONDS = 1.0
"""Duration of one image in one child."""
MAX_CLIENTS = 10_000
"""Connections that Redis accepts unless `maxclients` is raised."""
FLOWER_IMAGES = 2000
"""Images per second whose events Flower counts exactly."""
S3_WRITES = 3500
"""Writes per second and key prefix that Amazon S3 documents."""
MAX_BATCH_LINES = 10**7
BATCH_BITS = 2
"""Bits that Redis keeps of each line of an open batch: settled, failed."""


@dataclass(frozen=True)
class Costs:
    """Measured on this machine."""

    redis_microseconds: float
    """of Redis' one core per image, through real Celery workers with events on"""
    dispatcher_microseconds: float
    """CPU time of the dispatcher per image: publish, drain, report"""
    submit_microseconds: float
    """CPU time of `cutout submit` per line"""
    redis_bytes_per_outstanding: float
    """for each line that is issued and not settled"""
    stored_bytes_per_line: float
    connections_per_worker: int
    """of its main process; each child has one more"""


@dataclass(frozen=True)
class Wall:
    """A resource, the load of the fleet on it, and its limit."""

    resource: str
    formula: str
    load: float
    limit: float
    unit: str
    passing: str
    """how to pass it"""

    @property
    def share(self) -> float:
        """Load divided by limit: above 1 the wall is hit."""
        return self.load / self.limit


def walls(costs: Costs, workers: int = FLEET_WORKERS, children: int = CHILDREN) -> list[Wall]:
    """Return the walls of a fleet of so many workers, the one that ends first at the top."""
    rate = workers * children / IMAGE_SECONDS
    clients = workers * (costs.connections_per_worker + children)
    rows = [
        Wall(
            "Redis' one core", "images/s x CPU per image", rate * costs.redis_microseconds / 1e6, 1,
            "cores", "one Redis per queue: each model, or each part of the catalogue, its own",
        ),
        Wall(
            "dispatcher's one core", "images/s x CPU per image",
            rate * costs.dispatcher_microseconds / 1e6, 1,
            "cores", "one dispatcher per Redis: they share nothing",
        ),
        Wall(
            "Redis connections", "workers x (main process + children)", clients, MAX_CLIENTS,
            "connections", "raise `maxclients` and the server's `ulimit -n`; fewer, larger workers",
        ),
        Wall(
            "Flower", "images/s", rate, FLOWER_IMAGES, "images/s",
            "nothing to do: workers send the events of a share of the images",
        ),
        Wall(
            "object storage writes", "images/s / key prefixes", rate, S3_WRITES, "PUT/s",
            "spread keys over prefixes; each has its own limit",
        ),
    ]  # fmt: skip
    return sorted(rows, key=lambda wall: -wall.share)


def table(costs: Costs) -> str:
    """Return the walls as a Markdown table, and what 10^9 images take."""
    rate = FLEET_WORKERS * CHILDREN / IMAGE_SECONDS
    days = IMAGES * costs.redis_microseconds / 1e6 / 86400
    hours = IMAGES * costs.submit_microseconds / 1e6 / 3600
    megabytes = IMAGES * BATCH_BITS / 8 / 1e6
    head = f"""\
{FLEET_WORKERS:,} workers of {CHILDREN} children, {IMAGE_SECONDS:g} s an image: {rate:,.0f} images/s

| resource | formula | load | limit | share | to pass it |
|---|---|---|---|---|---|
"""
    tail = f"""
{IMAGES:.0e} images:
- one Redis serves {1e6 / costs.redis_microseconds:,.0f} images/s: {days:.1f} days
- one dispatcher serves {1e6 / costs.dispatcher_microseconds:,.0f} images/s
- registration takes {hours:.1f} hours of one core
- Redis keeps {megabytes:,.0f} MB of bits of open batches
- a line that is issued and not settled: {costs.redis_bytes_per_outstanding:,.0f} bytes
- {IMAGES * costs.stored_bytes_per_line / 1e9:,.0f} GB are stored beside the outputs
- {IMAGES // MAX_BATCH_LINES} batches of {MAX_BATCH_LINES:.0e} lines"""
    return head + "".join(map(_row, walls(costs))) + tail


def _row(wall: Wall) -> str:
    load, limit = (f"{number:,.2f}".removesuffix(".00") for number in (wall.load, wall.limit))
    return (
        f"| {wall.resource} | {wall.formula} | {load} {wall.unit} | {limit} | {wall.share:.1f} |"
        f" {wall.passing} |\n"
    )
