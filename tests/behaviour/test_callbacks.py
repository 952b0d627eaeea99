"""Delivery by a real Redis to real receivers on loopback."""

import json
import threading
import time
from collections.abc import Iterator
from itertools import cycle, islice

import pytest
import structlog
from support.receivers import answer, raw, receiving
from support.services import RedisServer, until

from contract.errors import ErrorCode, RetryableError
from contract.ledger.connection import Connection
from contract.names import CALLBACK_ATTEMPTS, CALLBACKS
from producer.callbacks import delivery as delivering
from producer.callbacks.delivery import WAITS, Delivery, Ending, deliver, run
from producer.callbacks.schedule import CallbackSchedule
from producer.callbacks.signatures import verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "B" * 32
BODY = b'{"batch":"b-1"}'


@pytest.fixture
def waiting(redis_server: RedisServer) -> CallbackSchedule:
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


def due_in(waiting: CallbackSchedule, callback: str = "c-1") -> float | None:
    score = waiting._redis.zscore(CALLBACKS, callback)
    seconds, micros = waiting._redis.time()
    return None if score is None else score - (seconds + micros / 1e6)


def nothing_left(waiting: CallbackSchedule) -> bool:
    return not waiting._redis.exists(CALLBACKS, CALLBACK_ATTEMPTS)


def says(url: str):
    return lambda _: Delivery(url, BODY, time.time())


def attempt(waiting: CallbackSchedule, url: str, **options) -> Ending:
    waiting.schedule("c-1")
    assert waiting.take(9, 60) == ["c-1"]
    return deliver(waiting, "c-1", says(url), **options)


# who has it in hand


def test_what_is_due_is_taken_once_and_again_when_its_lease_ends(waiting: CallbackSchedule):
    for callback, delay in (("late", 60), ("second", -1), ("first", -2), ("third", 0)):
        waiting.schedule(callback, delay)
    assert waiting.pending() == 4
    assert waiting.take(2, 0.3) == ["first", "second"]
    assert waiting.take(9, 60) == ["third"]
    assert waiting.take(9, 60) == []
    assert waiting.take(0, 60) == []
    assert until(lambda: waiting.take(9, 60), 5) == ["first", "second"]
    assert [waiting.attempts(c) for c in ("first", "second", "third", "late")] == [2, 2, 1, 0]


def test_the_lease_and_the_delay_are_of_redis_own_clock(waiting: CallbackSchedule):
    waiting.schedule("c-1", 100)
    assert due_in(waiting) == pytest.approx(100, abs=2)
    waiting.schedule("c-1")
    assert due_in(waiting) == pytest.approx(0, abs=2)
    waiting.take(1, 50)
    assert due_in(waiting) == pytest.approx(50, abs=2)


def test_what_is_dropped_leaves_nothing_and_is_not_brought_back(waiting: CallbackSchedule):
    waiting.schedule("c-1")
    assert waiting.take(1, 60) == ["c-1"]
    assert waiting.postpone("c-1", 5)
    assert due_in(waiting) == pytest.approx(5, abs=2)
    waiting.drop("c-1")
    assert not waiting.postpone("c-1", 5)
    assert nothing_left(waiting)
    waiting.schedule("c-1")
    assert (waiting.take(1, 60), waiting.attempts("c-1")) == (["c-1"], 1)


def test_processes_that_take_at_once_take_different_ones(waiting: CallbackSchedule, redis_server):
    for n in range(200):
        waiting.schedule(f"c-{n}")
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


def test_what_waits_survives_a_redis_that_is_killed(
    waiting: CallbackSchedule, redis_server: RedisServer
):
    waiting.schedule("c-1")
    redis_server.wait_until_written()
    redis_server.stop(9)
    with pytest.raises(RetryableError) as caught:
        waiting.take(1, 60)
    assert caught.value.code is ErrorCode.REDIS_UNAVAILABLE
    redis_server.start()
    assert until(lambda: waiting.take(1, 60)) == ["c-1"]


# one attempt


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered_signed_by_every_secret(
    waiting: CallbackSchedule, lines: list, status: int
):
    with receiving(answer(status)) as server:
        assert attempt(waiting, server.url("/sesame?sesame=1")) is Ending.DELIVERED
    assert nothing_left(waiting)
    request = server.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/sesame?sesame=1", BODY)
    assert request.headers["content-type"] == "application/json"
    for secret in (SECRET, OTHER):
        assert verify(request.headers, request.body, [secret], time.time()) == "c-1"
    line = lines[-1]
    assert (line["event"], line["status"], line["host"]) == (
        "callback delivered", status, "127.0.0.1"
    )  # fmt: skip


@pytest.mark.parametrize("status", [300, 301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_any_other_answer_is_tried_again_and_no_redirect_is_followed(
    waiting: CallbackSchedule, lines: list, status: int
):
    with receiving(answer(status, Location="/elsewhere")) as server:
        assert attempt(waiting, server.url("/sesame")) is Ending.POSTPONED
    assert len(server.requests) == 1
    assert 4 < due_in(waiting) < 5.6
    assert (lines[-1]["status"], lines[-1]["attempt"]) == (status, 1)


def test_410_is_given_up_at_once(waiting: CallbackSchedule, lines: list):
    with receiving(answer(410)) as server:
        assert attempt(waiting, server.url("/sesame")) is Ending.GIVEN_UP
    assert nothing_left(waiting)
    assert lines[-1]["event"] == "callback given up"


def slow(link, _) -> None:
    time.sleep(3)


def test_a_receiver_that_is_slow_or_dead_or_speaks_no_http_is_tried_again(
    waiting: CallbackSchedule, lines: list
):
    def hasty(url, body, headers, *, allow):
        return delivering.client.post(url, body, headers, allow=allow, seconds=0.3)

    with receiving(slow) as server:
        assert attempt(waiting, server.url("/sesame"), post=hasty) is Ending.POSTPONED
    assert attempt(waiting, server.url("/sesame")) is Ending.POSTPONED
    with receiving(raw(b"sesame\r\n")) as server:
        assert attempt(waiting, server.url("/sesame")) is Ending.POSTPONED
    assert {line["code"] for line in lines} == {"url_unavailable"}
    assert waiting.attempts("c-1") == 3


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/sesame", "http://10.0.0.1/sesame", "sesame", "https://u:sesame@x/"]
)
def test_an_address_that_is_refused_now_may_be_allowed_tomorrow(
    waiting: CallbackSchedule, lines: list, url: str
):
    assert attempt(waiting, url) is Ending.POSTPONED
    assert lines[-1]["code"] == "url_refused"


def test_ten_attempts_with_growing_waits_and_then_it_is_given_up(
    waiting: CallbackSchedule, lines: list
):
    waits = []
    with receiving(answer(500)) as server:
        while (ending := attempt(waiting, server.url())) is Ending.POSTPONED:
            waits.append(due_in(waiting))
    assert ending is Ending.GIVEN_UP
    assert nothing_left(waiting)
    assert len(server.requests) == len(WAITS) == 11
    for wait, planned in zip(waits, WAITS[1:], strict=True):
        assert planned - 2 < wait < planned * 1.1 + 1
    assert len({request.headers["webhook-id"] for request in server.requests}) == 1


def test_each_attempt_is_signed_with_its_own_moment(waiting: CallbackSchedule, monkeypatch):
    with receiving(answer(500)) as server:
        attempt(waiting, server.url())
        moment = time.time()
        monkeypatch.setattr(delivering.time, "time", lambda: moment + 1000)
        attempt(waiting, server.url())
    stamps = [int(request.headers["webhook-timestamp"]) for request in server.requests]
    assert 998 <= stamps[1] - stamps[0] <= 1002


def test_without_a_secret_a_callback_is_not_signed(waiting: CallbackSchedule, monkeypatch):
    monkeypatch.delenv("CUTOUT_WEBHOOK_SECRET")
    with receiving(answer(200)) as server:
        assert attempt(waiting, server.url()) is Ending.DELIVERED
    assert "webhook-signature" not in server.requests[0].headers
    assert server.requests[0].headers["webhook-id"] == "c-1"


def test_where_there_is_nothing_to_say_nothing_is_said(waiting: CallbackSchedule):
    waiting.schedule("c-1")
    waiting.take(1, 60)
    assert deliver(waiting, "c-1", lambda _: None) is Ending.GIVEN_UP
    assert nothing_left(waiting)


def test_what_cannot_be_loaded_is_tried_again_and_not_for_ever(
    waiting: CallbackSchedule, lines: list
):
    def fails(_):
        raise RetryableError(ErrorCode.STORAGE_UNAVAILABLE, "sesame")

    def breaks(_):
        raise KeyError("sesame")

    for load in islice(cycle([fails, breaks]), len(WAITS)):
        waiting.schedule("c-1")
        waiting.take(1, 60)
        ending = deliver(waiting, "c-1", load)
    assert ending is Ending.GIVEN_UP
    assert lines[0]["code"] == "storage_unavailable"
    assert lines[1]["fault"] == "KeyError"


def test_one_that_another_process_delivered_meanwhile_is_not_brought_back(
    waiting: CallbackSchedule,
):
    def other_was_faster(*_, **__):
        waiting.drop("c-1")
        return 500

    assert attempt(waiting, "http://127.0.0.1/", post=other_was_faster) is Ending.POSTPONED
    assert nothing_left(waiting)


# the loop


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch):
    """Run the loop in threads, as serving processes do, with short waits."""
    monkeypatch.setattr(delivering, "WAITS", (0, 0.1, 0.1, 0.1))
    monkeypatch.setattr(delivering, "REST_SECONDS", 0.2)
    stopping = threading.Event()
    threads = []

    def begin(waiting: CallbackSchedule, load) -> None:
        threads.append(threading.Thread(target=run, args=(waiting, load, stopping.is_set)))
        threads[-1].start()

    yield begin
    stopping.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_500_and_then_200_is_delivered(waiting: CallbackSchedule, start):
    with receiving(answer(500), answer(302), answer(200)) as server:
        start(waiting, says(server.url()))
        waiting.schedule("c-1")
        until(lambda: nothing_left(waiting), 10)
    assert len(server.requests) == 3


def test_two_processes_deliver_each_once(waiting: CallbackSchedule, start, redis_server):
    for n in range(40):
        waiting.schedule(f"c-{n}")
    with receiving(answer(200)) as server:
        for _ in range(2):
            start(CallbackSchedule(Connection(redis_server.url)), says(server.url()))
        until(lambda: nothing_left(waiting), 20)
    ids = sorted(request.headers["webhook-id"] for request in server.requests)
    assert ids == sorted(f"c-{n}" for n in range(40))


def test_a_receiver_that_hangs_does_not_stop_the_others(waiting: CallbackSchedule, start):
    with receiving(slow) as hanging, receiving(answer(200)) as server:
        urls = {"hangs": hanging.url()}
        start(waiting, lambda c: Delivery(urls.get(c, server.url()), BODY, time.time()))
        waiting.schedule("hangs", -10)
        for n in range(5):
            waiting.schedule(f"c-{n}")
        began = time.monotonic()
        until(lambda: waiting.pending() == 1, 10)
        assert time.monotonic() - began < 2.5


def test_the_loop_outlives_a_restart_of_redis(
    waiting: CallbackSchedule, start, redis_server: RedisServer
):
    with receiving(answer(200)) as server:
        start(waiting, says(server.url()))
        redis_server.stop(9)
        time.sleep(0.5)
        redis_server.start()
        until(lambda: _scheduled(waiting))
        until(lambda: server.requests, 20)


def _scheduled(waiting: CallbackSchedule) -> bool:
    try:
        waiting.schedule("c-1")
    except RetryableError:
        return False
    return True
