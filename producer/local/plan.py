"""Computes what all photographs of a source would take, from a sample of them."""

import math
from dataclasses import dataclass
from statistics import fmean, linear_regression

from producer.batches.preview import Preview
from producer.local.sample import Sample

SECONDS_PER_HOUR = 3600
CHILD_BYTES = 500_000_000
"""Memory of a worker process at 4 megapixels, rounded up; docs/quality.md has the figures."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What all photographs of a source would take."""

    photographs: int
    sampled: int
    failed: int
    formats: dict[str, int]
    megapixels: float
    cpu_seconds_per_image: float
    images_per_second: float
    """of this machine"""
    seconds: float
    """on this machine"""
    cpus: int
    core_hours: float
    core_hours_elapsed: float
    """hours that cores are occupied: they are not busy all the time"""
    s3_requests: float
    bytes_read: float
    bytes_written: float
    cores_needed: int | None
    """CPUs like these that finish by the deadline; None without one"""
    memory_needed: int | None
    """bytes, for the worker processes on them"""
    cost: float | None
    """in the currency of the prices; None without prices"""


def compute(
    size: Preview,
    sample: Sample,
    *,
    seconds_left: float | None = None,
    price_per_core_hour: float | None = None,
    price_per_1000_requests: float | None = None,
) -> Plan:
    """Return what the photographs of `size` take if they are like those of the sample.

    The CPU time of an image is a constant and a share for each byte of its file, fitted to the
    sample; so a sample of smaller files than the others is no worse than any other.
    """
    share_done = len(sample.cpu_seconds) / sample.images
    mean_cpu = fmean(sample.cpu_seconds)
    images = size.photographs * share_done
    cpu_seconds = images * _cpu_seconds_at(sample, _mean_bytes(size))
    busy_cpus = sample.images_per_second * share_done * mean_cpu
    steady = cpu_seconds / busy_cpus
    cores_needed = memory = None
    if seconds_left is not None:
        available = max(1.0, seconds_left - sample.startup_seconds)
        cores_needed = math.ceil(sample.cpus * steady / available)
        memory = (cores_needed + math.ceil(cores_needed / 4)) * CHILD_BYTES
    occupied = steady * sample.cpus / SECONDS_PER_HOUR
    requests = size.photographs * sample.s3_requests
    costs = [
        quantity * price
        for quantity, price in (
            (occupied, price_per_core_hour),
            (requests / 1000, price_per_1000_requests),
        )
        if price is not None
    ]
    return Plan(
        photographs=size.photographs, sampled=sample.images, failed=sample.failed,
        formats=sample.formats, megapixels=sample.megapixels,
        cpu_seconds_per_image=cpu_seconds / images, images_per_second=size.photographs / steady,
        seconds=sample.startup_seconds + steady, cpus=sample.cpus,
        core_hours=cpu_seconds / SECONDS_PER_HOUR, core_hours_elapsed=occupied,
        s3_requests=requests, bytes_read=images * (_mean_bytes(size) or fmean(sample.bytes_read)),
        bytes_written=images * sample.bytes_written, cores_needed=cores_needed,
        memory_needed=memory, cost=sum(costs) if costs else None,
    )  # fmt: skip


def _mean_bytes(size: Preview) -> float | None:
    known = size.photographs - size.unknown_sizes
    return size.bytes / known if known else None


def _cpu_seconds_at(sample: Sample, mean_bytes: float | None) -> float:
    """Return the mean CPU seconds of photographs with files of this mean size."""
    if mean_bytes is None or len({*sample.bytes_read}) < 2:  # noqa: PLR2004 - a line has two points
        return fmean(sample.cpu_seconds)
    slope, _ = linear_regression(sample.bytes_read, sample.cpu_seconds)
    difference = mean_bytes - fmean(sample.bytes_read)
    return max(min(sample.cpu_seconds), fmean(sample.cpu_seconds) + max(0.0, slope) * difference)
