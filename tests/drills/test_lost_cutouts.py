"""Cutouts that were confirmed to clients, and then lost: by Redis, or by a server that dies."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest
from support.drill import Drill
from support.receivers import Receiver, answer, receiving
from support.services import until
from support.serving import Server, is_cutout, jpeg, serving

from contract import names
from producer.web.cutouts.record_keeper import GRACE_SECONDS, ROUND_SECONDS

BOUND = GRACE_SECONDS + 2 * ROUND_SECONDS + 30
"""Seconds from the loss until the last cutout has ended."""


@dataclass
class Clients:
    """Cutouts in every form in which a client can request them."""

    server: Server
    hook: Receiver
    ids: list[str]

    def upload(self, number: int) -> None:
        fields = {"callback_url": self.hook.url(f"/{number}")} if number % 3 == 0 else {}
        response = self.server.upload(
            jpeg(number, "slow:0.2"), headers={"Idempotency-Key": f"order {number}"}, data=fields
        )
        assert response.status_code == 202, response.text
        cutout_id = response.json()["id"]
        assert cutout_id not in self.ids
        self.ids.append(cutout_id)

    def remove_background(self, pixels: str = "slow:0.2") -> httpx.Response:
        files = {"image_file": ("shoe.jpg", jpeg(1, pixels))}
        return httpx.post(f"{self.server.url}/v1.0/removebg", files=files, timeout=70)

    def insist(self, number: int) -> str:
        """Repeat a request until it is confirmed; return the cutout's ID."""
        headers = {"Idempotency-Key": f"order {number}"}
        files = {"image": ("shoe.jpg", jpeg(number, "slow:0.1"))}
        fields = {"callback_url": self.hook.url(f"/{number}")}
        url = f"{self.server.url}/v1/cutouts"

        def confirmed() -> str | None:
            try:
                response = httpx.post(url, files=files, data=fields, headers=headers, timeout=30)
            except httpx.TransportError:
                return None
            assert response.is_success or response.status_code in {409, 503}, response.text
            return response.json()["id"] if response.is_success else None

        return until(confirmed, 200, pause=0.3)

    def delivered(self) -> set[str]:
        return {request.path for request in self.hook.requests}


@pytest.fixture
def clients(drill: Drill, tmp_path) -> Iterator[Clients]:
    drill.cluster.env.update(
        CUTOUT_URL_ALLOWLIST="127.0.0.1", CUTOUT_VISIBILITY_TIMEOUT="8", CUTOUT_TIME_LIMIT="6"
    )
    with receiving(answer(200)) as hook, serving(drill.cluster, tmp_path) as server:
        yield Clients(server, hook, [])


def is_published(drill: Drill, cutout_id: str) -> bool:
    """Return whether a cutout's message is in the queue, or with a worker."""
    redis = drill.cluster.ledger.connection.client
    queue = names.interactive_queue("u2netp")
    return any(
        cutout_id in str(one) for one in [*redis.lrange(queue, 0, -1), *redis.hvals("unacked")]
    )


def ends_well(drill: Drill, clients: Clients, injected: str, lose: Callable[[], object]) -> None:
    """Lose Redis' data; check that every confirmed cutout ends, and nobody need ask for it."""
    server, count = clients.server, len(clients.ids)
    with ThreadPoolExecutor(1) as pool:
        known = server.cluster.ledger.batches
        before = set(known.open_ids())
        waiting = pool.submit(clients.remove_background)
        (new,) = until(lambda: set(known.open_ids()) - before, pause=0.02)
        until(lambda: is_published(drill, new), pause=0.02)  # one that is refused is not lost
        lose()
        lost = time.monotonic()
        until(lambda: len(server.stored_results()) == count + 1, BOUND + 60)
        until(lambda: not known.open_ids())
        took = time.monotonic() - lost
        answer_to_waiting = waiting.result()
        assert answer_to_waiting.status_code == 200, answer_to_waiting.text
        assert is_cutout(answer_to_waiting.content)
    ended = [server.ended(cutout_id) for cutout_id in clients.ids]
    done = [one for one in ended if one["status"] == "done"]
    for one in done:
        assert is_cutout(server.client.get(one["image"]).content)
    until(lambda: clients.delivered() == {f"/{n}" for n in range(0, count, 3)})
    verdict = "held" if len(done) == count and (took <= BOUND or not drill.full) else "BROKEN"
    values = (
        drill.name, injected, f"{BOUND:g} s", f"{took:.3g} s", str(count - len(done)), "0", verdict,
    )  # fmt: skip
    drill.note("drill", values)
    assert verdict == "held", values


def test_redis_forgets_cutouts(drill: Drill, clients: Clients) -> None:
    count = drill.size(30, 300)
    for number in range(count):
        clients.upload(number)
    server = clients.server
    server.work(2)
    until(lambda: len(server.stored_results()) >= count // 3)
    flush = drill.cluster.ledger.connection.client.flushall
    ends_well(drill, clients, f"FLUSHALL, with {count} cutouts in the API", flush)
    # those that were queued; of cutouts that had ended, Redis forgets the keys
    headers = {"Idempotency-Key": f"order {count - 1}"}
    again = server.upload(
        jpeg(count - 1, "slow:0.2"), headers=headers,
        data={"callback_url": clients.hook.url(f"/{count - 1}")} if (count - 1) % 3 == 0 else {},
    )  # fmt: skip
    assert again.json()["id"] == clients.ids[-1]


def test_redis_loses_its_latest_cutouts(drill: Drill, clients: Clients) -> None:
    count = drill.size(12, 100)
    server, redis = clients.server, drill.cluster.redis
    server.work(2)
    server.assert_works()
    moment = redis.written_bytes()
    for number in range(count):
        clients.upload(number)
    until(lambda: len(server.stored_results()) >= count // 3)
    ends_well(drill, clients, "a power cut, without the latest writes", lambda: redis.lose(moment))


def test_a_waiting_client_outlasts_a_restart_of_redis(drill: Drill, clients: Clients) -> None:
    server, redis = clients.server, drill.cluster.redis
    server.work(1)
    server.assert_works()
    known = server.cluster.ledger.batches
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(clients.remove_background, "slow:2")
        (new,) = until(known.open_ids, pause=0.02)
        until(lambda: is_published(drill, new), pause=0.02)
        redis.stop(signal.SIGKILL)
        time.sleep(3)  # longer than the server repeats a call
        redis.start()
        answer_to_waiting = waiting.result()
    assert answer_to_waiting.status_code == 200, answer_to_waiting.text
    assert is_cutout(answer_to_waiting.content)


CUTOUTS = (20, 200)
"""Requests of the drills below, in their short and in their long form."""


def ended_of_all(drill: Drill, clients: Clients, injected: str, harm: Callable[[], None]) -> int:
    """Do harm while clients insist; return how many keys are one cutout that is done."""
    server, count = clients.server, drill.size(*CUTOUTS)
    server.work(2)
    with ThreadPoolExecutor(4) as pool:
        confirmed = pool.map(clients.insist, range(count))
        harm()
        ids = list(confirmed)
    began = time.monotonic()
    ended = [server.ended(one) for one in ids]
    took = time.monotonic() - began
    until(lambda: clients.delivered() == {f"/{number}" for number in range(count)})
    done = [one for one in ended if one["status"] == "done"]
    surplus = len(server.stored_results()) - count
    assert len(set(ids)) == count
    values = (
        drill.name, injected, f"{BOUND:g} s", f"{took:.3g} s", str(count - len(done)),
        str(surplus), "held" if len(done) == count else "BROKEN",
    )  # fmt: skip
    drill.note("drill", values)
    return len(done)


@pytest.mark.long
def test_a_server_dies_again_and_again(drill: Drill, clients: Clients) -> None:
    """Clients repeat a request until it is confirmed; each key is one cutout, which ends."""
    server, kills, seeded = clients.server, drill.size(3, 20), random.Random(7)

    def harm() -> None:
        for _ in range(kills):
            time.sleep(seeded.uniform(0.1, 0.5))
            drill.cluster.kill(server.name)
            server.start()

    injected = f"SIGKILL to the server, {kills} times"
    assert ended_of_all(drill, clients, injected, harm) == drill.size(*CUTOUTS)


def test_everything_fails_in_turn(drill: Drill, clients: Clients) -> None:
    cluster, server, seeded = drill.cluster, clients.server, random.Random(8)
    restart = {
        server.name: server.start,
        "dispatcher": cluster.start_dispatcher,
        "worker": lambda: cluster.start_worker(2),
    }

    def harm() -> None:
        victims = [*restart, "redis", "data"] * drill.size(1, 5)
        seeded.shuffle(victims)
        for victim in victims:
            time.sleep(seeded.uniform(0.3, 1.5))
            if victim == "data":
                cluster.ledger.connection.client.flushall()
            elif victim == "redis":
                cluster.redis.stop(signal.SIGKILL)
                cluster.redis.start()
            else:
                cluster.kill(victim)
                restart[victim]()

    injected = "SIGKILL to server, dispatcher, worker and Redis in turn, and FLUSHALL"
    assert ended_of_all(drill, clients, injected, harm) == drill.size(*CUTOUTS)
