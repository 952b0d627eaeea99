"""Services in the root file systems of `image_build.py`, each as closed in as in a container.

bubblewrap gives each its own mounts, processes and host name; setpriv, the image's user without
capabilities. All share one network, whose names are those of the compose file.
"""

import json
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from image_build import PATH, REDIS, below
from support.compose import OURS, Stage, compose, final_stage
from support.compose_services import ComposeServices
from support.services import until

DROPPING = ("SETUID", "SETGID", "SETPCAP")
"""Capabilities with which setpriv becomes the image's user; it keeps none."""


@dataclass
class Sandboxed(ComposeServices):
    """Services of the compose file, each with its image, user, mounts and environment."""

    images: Path = field(kw_only=True)
    """the folder that `image_build.py` filled"""

    def __post_init__(self) -> None:
        names = " ".join(compose())
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost {names}\n")

    def command(self, name: str, *arguments: str) -> list[str]:
        command = list(arguments or compose()[name]["command"])
        entry = json.loads(image_of(name).last("ENTRYPOINT") or "[]")
        variables = [w for pair in self._inside(name).items() for w in ("--setenv", *pair)]
        return [
            "bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
            "--hostname", secrets.token_hex(6), *self._mounts(name), "--clearenv", *variables,
            "--chdir", image_of(name).last("WORKDIR") or "/", "--cap-drop", "ALL",
            *(word for one in DROPPING for word in ("--cap-add", f"CAP_{one}")),
            *self._as_user(name), *entry, *command,
        ]  # fmt: skip

    def environment(self, name: str) -> dict[str, str]:
        return {"PATH": PATH}  # the service's own is in its command line

    def probe(self, name: str) -> list[str]:
        """Enter the running sandbox, as an engine does for a health check."""
        process = next(process for other, process in self.running if other == name)
        kind, *test = self.health_check(name)
        words = ["sh", "-c", *test] if kind == "CMD-SHELL" else test
        variables = [f"{key}={value}" for key, value in self._inside(name).items()]
        enter = ["nsenter", "--target", str(self.main_process(process).pid), "--mount", "--pid"]
        return [*enter, "env", "--ignore-environment", *variables, *self._as_user(name), *words]

    def main_process(self, process: "subprocess.Popen[bytes]") -> psutil.Process:
        """Return the child of the sandbox's init, to which an engine's init passes signals."""
        (init,) = until(psutil.Process(process.pid).children)
        # later ones are orphans, which init has adopted
        return min(until(init.children), key=psutil.Process.create_time)

    def users(self, name: str) -> tuple[int, int]:
        """Return the numbers of a service's user and group, as its image says."""
        root = self.images / image_name(name)
        user, _, group = (compose()[name].get("user") or image_of(name).last("USER")).partition(":")
        for row in (root / "etc/passwd").read_text().splitlines():
            login, _, uid, gid, *_ = row.split(":")
            if user in {login, uid}:
                return int(uid), int(group or gid)
        return int(user), int(group)

    def _inside(self, name: str) -> dict[str, str]:
        """Return the environment that a container has."""
        root, stage = self.images / image_name(name), image_of(name)
        values = {"PATH": f"/opt/cutout/bin:{PATH}"} if name in OURS else {"PATH": PATH}
        values |= {key: text for key, text in stage.environment.items() if key != "PATH"}
        uid, _ = self.users(name)
        rows = [row.split(":") for row in (root / "etc/passwd").read_text().splitlines()]
        home = next((row[5] for row in rows if int(row[2]) == uid), "/")
        values |= {"HOME": home, **compose()[name].get("environment", {})}
        if "CUTOUT_METRICS_PORT" in values:
            values["CUTOUT_METRICS_PORT"] = self.metrics_port(name)
        return values

    def _as_user(self, name: str) -> list[str]:
        uid, gid = self.users(name)
        user = ["--reuid", str(uid), "--regid", str(gid), "--clear-groups"]
        return ["setpriv", *user, "--no-new-privs", "--bounding-set", "-all", "--inh-caps", "-all"]

    def _mounts(self, name: str) -> list[str]:
        service, root = compose()[name], self.images / image_name(name)
        mounts = ["--ro-bind" if service.get("read_only") else "--bind", str(root), "/"]
        mounts += ["--proc", "/proc", "--dev", "/dev"]
        mounts += ["--ro-bind", str(self.folder / "hosts"), "/etc/hosts"]
        for path in ("/dev/shm", *service.get("tmpfs", [])):  # noqa: S108 - as every engine
            mounts += ["--perms", "1777", "--tmpfs", path]
        for entry in service.get("volumes", []):
            source, path, mode = volume(entry)
            bind = "--ro-bind" if mode == "ro" else "--bind"
            mounts += [bind, str(self._volume(source or f"{name}-anonymous", path, root)), path]
        return mounts

    def _volume(self, name: str, path: str, root: Path) -> Path:
        """Return a volume's folder. A new one inherits content, owner and mode from the image."""
        folder = self.folder / "volumes" / name
        if not folder.exists():
            folder.parent.mkdir(exist_ok=True)
            subprocess.run(["cp", "--archive", below(root, Path(path)), folder], check=True)
        return folder


def volume(entry: str) -> tuple[str, str, str]:
    """Return name, path and mode of an entry of `volumes`; an anonymous one has no name."""
    words = entry.split(":")
    if len(words) == 1:
        return "", words[0], "rw"
    name, path, *mode = words
    return name, path, mode[0] if mode else "rw"


def image_of(name: str) -> Stage:
    return final_stage(dockerfile_of(name))


def image_name(name: str) -> str:
    return Path(dockerfile_of(name)).name.partition(".")[0]


def dockerfile_of(name: str) -> str:
    service: dict[str, Any] = compose()[name]
    return service["build"]["dockerfile"] if "build" in service else REDIS
