"""Who may see Flower, what it may do, and what it remembers."""

import base64
import json
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from support.cluster import Cluster
from support.drill import Drill
from support.services import answers, free_port, until

USERS = "ann:hunter2,bob:correct horse"
OPEN = ("healthcheck", "metrics")
CLOSED = ("", "workers", "tasks", "broker", "api/tasks", "api/workers")


def start(cluster: Cluster, **env: str) -> int:
    port = free_port()
    cluster.start("flower", "producer", "flower", CUTOUT_FLOWER_PORT=str(port), **env)
    until(lambda: answers(f"http://127.0.0.1:{port}/healthcheck"))
    return port


def fetch(port: int, path: str, user: str = "", method: str = "GET") -> tuple[int, str]:
    """Return status and body, or for a redirect its target."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", method=method)
    if user:
        token = base64.b64encode(user.encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    if method == "POST":
        request.data = b""
    try:
        with urllib.request.build_opener(Unredirected).open(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Location", "")


class Unredirected(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Return what the server answered."""


def test_only_its_users_see_flower(cluster: Cluster) -> None:
    port = start(cluster, CUTOUT_FLOWER_USERS=USERS)
    for path in CLOSED:
        assert fetch(port, path)[0] == 401, path
        assert fetch(port, path, "ann:wrong")[0] == 401, path
    for user in USERS.split(","):
        assert fetch(port, "workers", user)[0] == 200
        assert fetch(port, "api/tasks", user) == (200, "{}")
    for path in OPEN:  # probes and Prometheus carry no password
        assert fetch(port, path)[0] == 200
    process = cluster.processes["flower"]
    shown = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode() + cluster.log("flower")
    assert "hunter2" not in shown
    assert "correct horse" not in shown


def test_flower_changes_nothing(cluster: Cluster) -> None:
    port = start(cluster, CUTOUT_FLOWER_USERS=USERS, FLOWER_READ_ONLY="false")
    for action in ("api/worker/shutdown/w", "api/task/revoke/t", "api/worker/pool/grow/w"):
        assert fetch(port, action, "ann:hunter2", "POST")[0] == 403, action


def test_flower_can_be_behind_oauth(cluster: Cluster) -> None:
    port = start(
        cluster,
        FLOWER_AUTH_PROVIDER="flower.views.auth.GithubLoginHandler",
        FLOWER_AUTH=r".*@example\.com",
        FLOWER_OAUTH2_KEY="client",
        FLOWER_OAUTH2_SECRET="sesame",
        FLOWER_OAUTH2_REDIRECT_URI="https://flower.example.com/login",
    )
    status, target = fetch(port, "tasks")
    assert status == 302
    assert "/login" in target
    status, target = fetch(port, target.lstrip("/"))
    assert status == 302
    assert target.startswith("https://github.com/login/oauth/authorize?")
    assert "client_id=client" in target
    assert "sesame" not in target + cluster.log("flower")


def test_flower_remembers_over_a_restart(drill: Drill, tmp_path: Path) -> None:
    env = {"CUTOUT_FLOWER_DB": str(tmp_path / "flower"), "CUTOUT_FLOWER_USERS": USERS}

    def tasks(port: int) -> dict[str, dict]:
        return json.loads(fetch(port, "api/tasks", "ann:hunter2")[1])

    drill.fill(3)
    drill.key_path(1).write_bytes(b"no image")
    port = start(drill.cluster, **env)
    drill.cluster.start_dispatcher()
    drill.cluster.start_worker(1)
    until(lambda: "flower_worker_online" in fetch(port, "metrics")[1])
    spec = drill.submit()
    drill.closed(spec)
    expected = {f"{spec.id}.{line}" for line in range(3)}
    until(lambda: set(tasks(port)) == expected)
    until(lambda: {task["state"] for task in tasks(port).values()} == {"SUCCESS", "FAILURE"})
    seen = tasks(port)

    flower = drill.cluster.processes.pop("flower")
    flower.send_signal(signal.SIGTERM)
    assert flower.wait(30) == 0
    again = tasks(start(drill.cluster, **env))
    states = {name: task["state"] for name, task in again.items()}
    assert states == {name: task["state"] for name, task in seen.items()}


@pytest.mark.parametrize("users", ["ann", "ann:", ":hunter2", "ann:a,hunter2"])
def test_a_user_without_name_or_password_is_refused(drill: Drill, users: str) -> None:
    drill.cluster.env["CUTOUT_FLOWER_USERS"] = users
    answer = drill.cutout("flower")
    assert answer.returncode == 1
    assert "CUTOUT_FLOWER_USERS: each user must be NAME:PASSWORD." in answer.stderr
    assert "hunter2" not in answer.stderr + answer.stdout
