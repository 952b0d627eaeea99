"""Delivery of callbacks, with a real Redis and real receivers on loopback."""

import json
import threading
import time
from collections.abc import Iterator
from itertools import cycle, islice

import pytest
import structlog
from support.receivers import answer, raw, receiving
from support.services import RedisServer, until

from contract import metrics
from contract.counters import counters
from contract.errors import ErrorCode, RetryableError
from contract.ledger.connection import Connection
from contract.names import CALLBACKS, callback_attempts
from producer.callbacks import delivery as delivering
from producer.callbacks.delivery import DELAYS_SECONDS, Delivery, Result, deliver, run
from producer.callbacks.schedule import CallbackSchedule
from producer.callbacks.signatures import verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "B" * 32
BODY = b'{"batch":"b-1"}'


@pytest.fixture
def callbacks(redis_server: RedisServer) -> CallbackSchedule:
    return CallbackSchedule(Connection(redis_server.url, retries=0))


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch, clean_environment) -> None:
    monkeypatch.setenv("CUTOUT_URL_ALLOWLIST", "127.0.0.0/8")
    monkeypatch.setenv("CUTOUT_WEBHOOK_SECRET", f"{SECRET},{OTHER}")


@pytest.fixture
def lines() -> Iterator[list]:
    with structlog.testing.capture_logs() as written:
        yield written
    assert "sesame" not in json.dumps(written, default=repr)


def due_in(callbacks: CallbackSchedule, callback: str = "c-1") -> float | None:
    score = callbacks._redis.zscore(CALLBACKS, callback)
    seconds, micros = callbacks._redis.time()
    return None if score is None else score - (seconds + micros / 1e6)


def nothing_stored(callbacks: CallbackSchedule) -> bool:
    return not callbacks._redis.exists(CALLBACKS, callback_attempts(CALLBACKS))


def delivery_to(url: str):
    return lambda _: Delivery(url, BODY, time.time())


def attempt(callbacks: CallbackSchedule, url: str, **options) -> Result:
    callbacks.schedule("c-1")
    assert callbacks.take(9, 60) == ["c-1"]
    return deliver(callbacks, "c-1", delivery_to(url), **options)


# schedule


def test_a_due_callback_is_taken_once_and_again_when_its_lease_ends(callbacks: CallbackSchedule):
    for callback, delay in (("late", 60), ("second", -1), ("first", -2), ("third", 0)):
        callbacks.schedule(callback, delay)
    assert callbacks.pending() == 4
    assert callbacks.take(2, 0.3) == ["first", "second"]
    assert callbacks.take(9, 60) == ["third"]
    assert callbacks.take(9, 60) == []
    assert callbacks.take(0, 60) == []
    assert until(lambda: callbacks.take(9, 60)) == ["first", "second"]
    assert [callbacks.attempts(c) for c in ("first", "second", "third", "late")] == [2, 2, 1, 0]


def test_leases_and_delays_use_the_clock_of_redis(callbacks: CallbackSchedule):
    callbacks.schedule("c-1", 100)
    assert due_in(callbacks) == pytest.approx(100, abs=2)
    callbacks.schedule("c-1")
    assert due_in(callbacks) == pytest.approx(0, abs=2)
    callbacks.take(1, 50)
    assert due_in(callbacks) == pytest.approx(50, abs=2)


def test_a_dropped_callback_leaves_nothing_and_does_not_come_back(callbacks: CallbackSchedule):
    callbacks.schedule("c-1")
    assert callbacks.take(1, 60) == ["c-1"]
    assert callbacks.postpone("c-1", 5)
    assert due_in(callbacks) == pytest.approx(5, abs=2)
    callbacks.drop("c-1")
    assert not callbacks.postpone("c-1", 5)
    assert nothing_stored(callbacks)
    callbacks.schedule("c-1")
    assert (callbacks.take(1, 60), callbacks.attempts("c-1")) == (["c-1"], 1)


def test_processes_take_different_callbacks(callbacks: CallbackSchedule, redis_server):
    for n in range(200):
        callbacks.schedule(f"c-{n}")
    taken: list[str] = []

    def take_all() -> None:
        mine = CallbackSchedule(Connection(redis_server.url))
        while found := mine.take(3, 60):
            taken.extend(found)

    threads = [threading.Thread(target=take_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f"c-{n}" for n in range(200))


def test_pending_callbacks_survive_a_killed_redis(
    callbacks: CallbackSchedule, redis_server: RedisServer
):
    callbacks.schedule("c-1")
    redis_server.wait_until_written()
    redis_server.stop(9)
    with pytest.raises(RetryableError) as caught:
        callbacks.take(1, 60)
    assert caught.value.code is ErrorCode.REDIS_UNAVAILABLE
    redis_server.start()
    assert until(lambda: callbacks.take(1, 60)) == ["c-1"]


# one attempt


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered_signed_by_every_secret(
    callbacks: CallbackSchedule, lines: list, status: int
):
    with receiving(answer(status)) as server:
        assert attempt(callbacks, server.url("/sesame?sesame=1")) is Result.DELIVERED
    assert nothing_stored(callbacks)
    request = server.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/sesame?sesame=1", BODY)
    assert request.headers["content-type"] == "application/json"
    for secret in (SECRET, OTHER):
        assert verify(request.headers, request.body, [secret], time.time()) == "c-1"
    line = lines[-1]
    assert (line["event"], line["status"], line["receiver"]) == (
        "callback delivered", status, "127.0.0.1"
    )  # fmt: skip


@pytest.mark.parametrize("status", [300, 301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_any_other_status_is_retried_and_no_redirect_is_followed(
    callbacks: CallbackSchedule, lines: list, status: int
):
    with receiving(answer(status, Location="/elsewhere")) as server:
        assert attempt(callbacks, server.url("/sesame")) is Result.POSTPONED
    assert len(server.requests) == 1
    assert 4 < due_in(callbacks) < 5.6
    assert (lines[-1]["status"], lines[-1]["attempt"]) == (status, 1)


def test_410_is_given_up_at_once(callbacks: CallbackSchedule, lines: list):
    with receiving(answer(410)) as server:
        assert attempt(callbacks, server.url("/sesame")) is Result.GIVEN_UP
    assert nothing_stored(callbacks)
    assert lines[-1]["event"] == "callback given up"


def slow(link, _) -> None:
    time.sleep(3)


def test_a_receiver_that_is_slow_or_dead_or_does_not_speak_http_is_retried(
    callbacks: CallbackSchedule, lines: list
):
    def hasty(url, body, headers, *, allow):
        return delivering.client.post(url, body, headers, allow=allow, seconds=0.3)

    with receiving(slow) as server:
        assert attempt(callbacks, server.url("/sesame"), post=hasty) is Result.POSTPONED
    assert attempt(callbacks, server.url("/sesame")) is Result.POSTPONED
    with receiving(raw(b"sesame\r\n")) as server:
        assert attempt(callbacks, server.url("/sesame")) is Result.POSTPONED
    assert {line["code"] for line in lines} == {"url_unavailable"}
    assert callbacks.attempts("c-1") == 3


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/sesame", "http://10.0.0.1/sesame", "sesame", "https://u:sesame@x/"]
)
def test_a_refused_address_is_retried_as_it_may_be_allowed_later(
    callbacks: CallbackSchedule, lines: list, url: str
):
    assert attempt(callbacks, url) is Result.POSTPONED
    assert lines[-1]["code"] == "url_refused"


def test_eleven_attempts_with_growing_delays_and_then_it_is_given_up(
    callbacks: CallbackSchedule, lines: list
):
    waits = []
    with receiving(answer(500)) as server:
        while (result := attempt(callbacks, server.url())) is Result.POSTPONED:
            waits.append(due_in(callbacks))
    assert result is Result.GIVEN_UP
    assert nothing_stored(callbacks)
    assert len(server.requests) == len(DELAYS_SECONDS) == 11
    for wait, planned in zip(waits, DELAYS_SECONDS[1:], strict=True):
        assert planned - 2 < wait < planned * 1.1 + 1
    assert len({request.headers["webhook-id"] for request in server.requests}) == 1


def test_each_attempt_is_signed_with_its_own_time(callbacks: CallbackSchedule, monkeypatch):
    with receiving(answer(500)) as server:
        attempt(callbacks, server.url())
        moment = time.time()
        monkeypatch.setattr(delivering.time, "time", lambda: moment + 1000)
        attempt(callbacks, server.url())
    stamps = [int(request.headers["webhook-timestamp"]) for request in server.requests]
    assert 998 <= stamps[1] - stamps[0] <= 1002


def test_without_a_secret_a_callback_is_not_signed(callbacks: CallbackSchedule, monkeypatch):
    monkeypatch.delenv("CUTOUT_WEBHOOK_SECRET")
    with receiving(answer(200)) as server:
        assert attempt(callbacks, server.url()) is Result.DELIVERED
    assert "webhook-signature" not in server.requests[0].headers
    assert server.requests[0].headers["webhook-id"] == "c-1"


def test_the_callback_of_a_deleted_cutout_is_dropped(callbacks: CallbackSchedule):
    callbacks.schedule("c-1")
    callbacks.take(1, 60)
    assert deliver(callbacks, "c-1", lambda _: None) is Result.GIVEN_UP
    assert nothing_stored(callbacks)


def test_a_body_that_cannot_be_loaded_is_retried_and_then_given_up(
    callbacks: CallbackSchedule, lines: list
):
    def fails(_):
        raise RetryableError(ErrorCode.STORAGE_UNAVAILABLE, "sesame")

    def breaks(_):
        raise KeyError("sesame")

    for load in islice(cycle([fails, breaks]), len(DELAYS_SECONDS)):
        callbacks.schedule("c-1")
        callbacks.take(1, 60)
        result = deliver(callbacks, "c-1", load)
    assert result is Result.GIVEN_UP
    assert lines[0]["code"] == "storage_unavailable"
    assert lines[1]["error"] == "KeyError"


def test_a_callback_delivered_by_another_process_meanwhile_does_not_come_back(
    callbacks: CallbackSchedule,
):
    def other_was_faster(*_, **__):
        callbacks.drop("c-1")
        return 500

    assert attempt(callbacks, "http://127.0.0.1/", post=other_was_faster) is Result.POSTPONED
    assert nothing_stored(callbacks)


# the loop


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch):
    """Run the loop in threads, as serving processes do, with short waits."""
    monkeypatch.setattr(delivering, "DELAYS_SECONDS", (0, 0.1, 0.1, 0.1))
    monkeypatch.setattr(delivering, "REDIS_BACKOFF_SECONDS", 0.2)
    stopping = threading.Event()
    threads = []

    def begin(callbacks: CallbackSchedule, load) -> None:
        threads.append(threading.Thread(target=run, args=(callbacks, load, stopping.is_set)))
        threads[-1].start()

    yield begin
    stopping.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.slow
def test_500_and_then_200_is_delivered(callbacks: CallbackSchedule, start):
    counted = counters.rows()
    with receiving(answer(500), answer(302), answer(200)) as server:
        start(callbacks, delivery_to(server.url()))
        callbacks.schedule("c-1")
        until(lambda: nothing_stored(callbacks))
    assert len(server.requests) == 3

    def added(result: Result) -> float:
        series = (metrics.CALLBACKS.name, (result.value,))
        return counters.rows().get(series, [0])[0] - counted.get(series, [0])[0]

    until(lambda: added(Result.DELIVERED) == 1)
    assert added(Result.POSTPONED) == 2
    assert added(Result.GIVEN_UP) == 0


@pytest.mark.slow
def test_two_processes_deliver_each_once(callbacks: CallbackSchedule, start, redis_server):
    for n in range(40):
        callbacks.schedule(f"c-{n}")
    with receiving(answer(200)) as server:
        for _ in range(2):
            start(CallbackSchedule(Connection(redis_server.url)), delivery_to(server.url()))
        until(lambda: nothing_stored(callbacks))
    ids = sorted(request.headers["webhook-id"] for request in server.requests)
    assert ids == sorted(f"c-{n}" for n in range(40))


def test_a_receiver_that_hangs_does_not_stop_the_others(callbacks: CallbackSchedule, start):
    goes_on = threading.Event()
    with receiving(lambda *_: goes_on.wait(60)) as hanging, receiving(answer(200)) as server:
        urls = {"hangs": hanging.url()}
        start(callbacks, lambda c: Delivery(urls.get(c, server.url()), BODY, time.time()))
        callbacks.schedule("hangs", -10)
        for n in range(5):
            callbacks.schedule(f"c-{n}")
        until(lambda: callbacks.pending() == 1)
        assert len(hanging.requests) <= 1  # none is sent again: the first is still on its way
        goes_on.set()


@pytest.mark.slow
def test_the_loop_survives_a_restart_of_redis(
    callbacks: CallbackSchedule, start, redis_server: RedisServer
):
    with receiving(answer(200)) as server:
        start(callbacks, delivery_to(server.url()))
        redis_server.stop(9)
        time.sleep(0.5)
        redis_server.start()
        until(lambda: _scheduled(callbacks))
        until(lambda: server.requests)


def _scheduled(callbacks: CallbackSchedule) -> bool:
    try:
        callbacks.schedule("c-1")
    except RetryableError:
        return False
    return True
