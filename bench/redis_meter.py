"""What a Redis server says about its own work: CPU seconds, commands, memory, slowest commands."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

SLOW_MICROSECONDS = 1000
"""Commands from this duration on are kept in Redis' slow log."""
SLOW_ENTRIES = 10_000


@dataclass(frozen=True)
class Reading:
    """Counters at one moment; the difference of two tells what happened between."""

    cpu_seconds: float
    reads: int
    """socket reads: about one per round trip"""
    calls: dict[str, int]
    """calls of each command, those made by scripts included"""

    def per_image(self, earlier: "Reading", images: int) -> "PerImage":
        calls = {
            name: (count - earlier.calls.get(name, 0)) / images
            for name, count in self.calls.items()
        }
        return PerImage(
            microseconds=(self.cpu_seconds - earlier.cpu_seconds) / images * 1e6,
            reads=(self.reads - earlier.reads) / images,
            calls={name: count for name, count in calls.items() if count >= 0.01},
        )


@dataclass(frozen=True)
class PerImage:
    """The cost of one image for Redis."""

    microseconds: float
    """CPU time of the server"""
    reads: float
    calls: dict[str, float]


@dataclass(frozen=True)
class SlowCommand:
    name: str
    second: int
    """when it was noted, in seconds since 1970"""
    milliseconds: float


class RedisMeter:
    """Reads one server. Starts with an empty slow log."""

    def __init__(self, client: Any) -> None:
        self._client = client
        client.config_set("slowlog-log-slower-than", SLOW_MICROSECONDS)
        client.config_set("slowlog-max-len", SLOW_ENTRIES)
        self.forget_slow()

    def forget_slow(self) -> None:
        self._client.slowlog_reset()

    def read(self) -> Reading:
        cpu, stats = self._client.info("cpu"), self._client.info("stats")
        commands = self._client.info("commandstats")
        return Reading(
            cpu_seconds=cpu["used_cpu_user"] + cpu["used_cpu_sys"],
            reads=stats["total_reads_processed"],
            calls={name.removeprefix("cmdstat_"): row["calls"] for name, row in commands.items()},
        )

    def memory(self) -> int:
        """Return the bytes that the data takes now, with Redis' own overhead."""
        return int(self._client.info("memory")["used_memory"])

    def memory_peak(self) -> int:
        return int(self._client.info("memory")["used_memory_peak"])

    def slow(self, microseconds: int, scripts: dict[str, str]) -> list[SlowCommand]:
        """Return the commands that took longer. `scripts`: names of scripts by their digests."""
        return [
            SlowCommand(_name(entry["command"], scripts), entry["start_time"], duration / 1000)
            for entry in self._client.slowlog_get(SLOW_ENTRIES)
            if (duration := entry["duration"]) > microseconds
        ]

    def slowest(self, count: int, scripts: dict[str, str]) -> list[tuple[str, float]]:
        """Return the commands with the longest single call, each with its milliseconds."""
        longest: defaultdict[str, float] = defaultdict(float)
        for command in self.slow(SLOW_MICROSECONDS, scripts):
            longest[command.name] = max(longest[command.name], command.milliseconds)
        return sorted(longest.items(), key=lambda row: -row[1])[:count]


def _name(command: bytes | str, scripts: dict[str, str]) -> str:
    text = command.decode(errors="replace") if isinstance(command, bytes) else command
    verb, target, *_ = [*text.split(), ""]
    # of a key, its last part: which part of a batch it is
    return f"{verb} {scripts.get(target) or target.rpartition(':')[2][:40]}"
