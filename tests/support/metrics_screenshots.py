"""Draws docs/prometheus.png and docs/flower.png: a real run with failures and a killed process.

usage: PYTHONPATH=tests .venv/bin/python tests/support/metrics_screenshots.py docs
The network is a stand-in that sleeps; everything else is the product. Needs prometheus, chromium.
"""

import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

from support.catalogue import photograph
from support.chromium import chromium
from support.cluster import Cluster
from support.scrape import prometheus, scraped
from support.screenshots import look_like, shoot
from support.services import RedisServer, answers, free_port, until
from support.stand_in import mark

IMAGES = 700
GRAPHS = (
    "sum by (status) (rate(cutout_images_settled_total[20s]))",
    (
        "sum by (stage) (rate(cutout_worker_stage_seconds_sum[20s]))"
        " / sum by (stage) (rate(cutout_worker_stage_seconds_count[20s]))"
    ),
)
RULES = Path(__file__).parents[2] / "deploy/prometheus/rules.yaml"


def fill(folder: Path) -> None:
    for number in range(IMAGES):
        path = folder / f"shoes/{number:04}.jpg"
        photograph(path, number % 20)
        mark(path, "slow:0.15")
        if number % 29 == 3:
            path.write_bytes(b"no image")
    mark(folder / "shoes/0696.jpg", "kill")


def main(docs: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        redis = RedisServer(folder)
        redis.start()
        env = {"CUTOUT_MODEL_DIR": str(folder / "models")}
        cluster = Cluster(redis, folder, env=env, stand_in=True)
        try:
            draw(cluster, folder, docs)
        finally:
            cluster.stop()
            redis.remove()


def draw(cluster: Cluster, folder: Path, docs: Path) -> None:
    fill(folder / "photographs")
    ports = {"dispatcher": free_port(), "worker": free_port()}
    cluster.start_dispatcher(CUTOUT_METRICS_PORT=str(ports["dispatcher"]))
    cluster.start_worker(3, CUTOUT_METRICS_PORT=str(ports["worker"]))
    cluster.start_quarantine()
    flower = f"http://127.0.0.1:{free_port()}"
    cluster.start("flower", "producer", "flower", CUTOUT_FLOWER_PORT=flower.rpartition(":")[2])
    until(lambda: answers(f"{flower}/healthcheck") and all(map(scraped, ports.values())))
    jobs = {f"cutout-{job}": port for job, port in ports.items()}
    with prometheus(folder, jobs, RULES) as own, chromium(folder, "--hide-scrollbars") as browser:
        time.sleep(10)
        spec = cluster.submit(folder / "photographs", folder / "out")
        until(lambda: cluster.closed(spec), 300)
        time.sleep(20)
        look_like(browser, 1280, 1636, 0.75, "light")
        words: dict[str, str] = {}
        for number, expression in enumerate(GRAPHS):
            words |= {
                f"g{number}.expr": expression, f"g{number}.tab": "0",
                f"g{number}.range_input": "4m",
            }  # fmt: skip
        browser.open(f"http://127.0.0.1:{own}/classic/graph?{urlencode(words)}")
        until(lambda: len(browser.all("svg")) >= len(GRAPHS))
        browser.run("scrollTo(0, 0)")
        shoot(browser, docs / "prometheus.png")
        look_like(browser, 1750, 900, 0.75, "light")
        browser.open(f"{flower}/tasks")
        until(lambda: browser.all("tbody td"))
        shoot(browser, docs / "flower.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
