"""Runs `cutout run` over many small photographs; checks that memory stays flat and counts agree.

usage: soak.py [COUNT]     (default: 2,000 files, of which every hundredth is not an image)

Prints the memory of Redis and of the largest worker process, after a tenth of the images and at the
end, and the counts of the report, the ledger and Flower. Exit status 1 if the counts differ.
"""

import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import redis
import urllib3
from PIL import Image

CUTOUT = Path(sys.executable).parent / "cutout"
CHILDREN = 2
EVENTS = r'flower_events_total{task="cutout.cut",type="(task-\w+)",worker="[^"]*"} (\d+)'


def fill(folder: Path, count: int) -> None:
    random = np.random.default_rng(7)
    for number in range(count):
        path = folder / f"{number % 50:02d}" / f"{number:06d}.jpg"
        path.parent.mkdir(exist_ok=True)
        if number % 100 == 99:
            path.write_text("not an image")
            continue
        pixels = random.integers(0, 70, (96, 128, 3), dtype=np.uint8)
        y, x = random.integers(10, 40, 2)
        pixels[y : y + 40, x : x + 60] = random.integers(120, 255, 3)
        Image.fromarray(pixels).save(path, quality=85)


def sample(client: redis.Redis, flower: str, parent: int) -> dict[str, int] | None:
    """Return memory and counts of the running stack, or None while it starts or stops."""
    try:
        metrics = urllib3.request("GET", f"{flower}/metrics", timeout=2, retries=0).data.decode()
        memory = client.info("memory")["used_memory"]
        workers = [
            process.memory_info().rss
            for process in psutil.Process(parent).children(recursive=True)
            if " ".join(process.cmdline()).startswith("cutout worker")
        ]
    except (urllib3.exceptions.HTTPError, redis.RedisError, psutil.Error):
        return None
    events = Counter[str]()
    for event, value in re.findall(EVENTS, metrics):
        events[event] += int(value)
    return {
        "redis": memory,
        "rss": max(workers, default=0),
        "succeeded": events["task-succeeded"],
        "failed": events["task-failed"],
    }


def run(source: Path, out: Path) -> tuple[list[dict[str, int]], dict[str, int]]:
    command = [str(CUTOUT), "run", str(source), str(out), "--workers", str(CHILDREN), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    output = ""
    while not (flower := re.search(r"Flower: (\S+)", output)):
        output += process.stderr.readline()
    titles = [" ".join(p.cmdline()) for p in psutil.Process(process.pid).children(recursive=True)]
    socket = next(match[0] for title in titles if (match := re.search(r"/\S+\.sock", title)))
    client = redis.Redis(unix_socket_path=socket)
    samples = []
    while process.poll() is None:
        if current := sample(client, flower[1], process.pid):
            samples.append(current)
        time.sleep(0.25)
    assert process.stdout is not None
    return samples, json.loads(process.stdout.read())


def main(count: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CUTOUT_STATE_DIR"] = f"{folder}/state"
        source, out = Path(folder, "in"), Path(folder, "out")
        source.mkdir()
        fill(source, count)
        samples, ledger = run(source, out)
        (report,) = out.glob("_cutout/b-*/report.csv")
        with report.open() as file:
            rows = list(csv.DictReader(file))
        statuses = Counter(row["status"] for row in rows)
        outputs = len(list(out.glob("[0-9]*/*.png")))
    early = next(s for s in samples if s["succeeded"] >= count // 10)
    last = samples[-1]
    late = [s for s in samples if s["rss"]][-1]
    for name in ("redis", "rss"):
        megabytes = [values[name] / 1e6 for values in (early, late)]
        print("{:6} {:8.1f} MB after a tenth {:8.1f} MB at the end".format(name, *megabytes))
    print(f"report {statuses['done']} done {statuses['failed']} failed, {outputs} PNGs")
    print(f"ledger {ledger['done']} done {ledger['failed']} failed of {ledger['total']}")
    print(f"flower {last['succeeded']} succeeded {last['failed']} failed")
    lines = {int(row["line"]) for row in rows}
    agree = (
        len(rows) == len(lines) == count == ledger["total"]
        and statuses["done"] == ledger["done"] == last["succeeded"] == outputs
        and statuses["failed"] == ledger["failed"] == last["failed"] == count // 100
    )
    print("all counts agree" if agree else "COUNTS DIFFER")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
