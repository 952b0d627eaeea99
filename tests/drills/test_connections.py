"""How many connections to Redis a worker holds: a fleet must stay below maxclients."""

import time

from support.drill import Drill

from worker.cli.worker import MAIN_PROCESS_CONNECTIONS

CHILDREN = 3


def test_a_worker_holds_few_connections(drill: Drill) -> None:
    drill.fill(30)
    spec = drill.submit()
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker(CHILDREN)
    drill.closed(spec)
    redis = drill.cluster.ledger.connection.client
    before = {client["id"]: client for client in redis.client_list()}
    drill.cluster.kill("worker")

    def closed() -> int:
        return len(before.keys() - {client["id"] for client in redis.client_list()})

    most = 0
    while (count := closed()) > most or not most:
        most = count
        time.sleep(1)
    assert CHILDREN < most <= CHILDREN + MAIN_PROCESS_CONNECTIONS
