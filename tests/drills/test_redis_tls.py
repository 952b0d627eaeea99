"""A whole cluster that reaches Redis by TLS, with the certificate of a private CA."""

from pathlib import Path

from support.drill import Drill
from support.flower_server import Flower
from support.services import until
from support.tls_proxy import tls_redis


def test_a_batch_is_processed_over_tls(drill: Drill, tmp_path: Path) -> None:
    count = drill.size(40, 400)
    drill.fill(count)
    cluster = drill.cluster
    socket = cluster.redis.url.removeprefix("unix://")
    with tls_redis(socket, tmp_path / "tls", "127.0.0.1") as (port, ca):
        cluster.env.update(CUTOUT_REDIS_URL=f"rediss://127.0.0.1:{port}/0", CUTOUT_REDIS_CA=str(ca))
        spec = drill.submit()
        flower = Flower(cluster)
        flower.start()
        for name in ("left", "right"):
            cluster.start_worker(1, name)
        cluster.start_dispatcher()
        drill.closed(spec)
        until(flower.settled)
        flower.assert_queues_are_read()
        stranger = cluster.start("stranger", "worker", "worker", CUTOUT_REDIS_CA="")
        assert stranger.wait(60) == 1
        assert "redis_tls: The certificate of Redis is not trusted" in cluster.log("stranger")
        cluster.processes.pop("stranger")
        assert drill.audit(spec)["done"] == count
        cluster.stop()
