"""Builds the images of the compose file as root file systems, without an engine: as root.

    python tests/images/image_build.py FOLDER

Debian's base system, by debootstrap and with Debian's own Python, replaces each FROM; RUN and COPY
do what the Dockerfile says, RUN in a sandbox with the network and pip's settings of this machine.
FOLDER/debian is made once, since it takes minutes; delete it for a new one.
"""

import os
import shutil
import string
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.compose import DOCKERFILES, Stage, stages
from support.paths import ROOT

RELEASE = "trixie"
"""Debian's release, that of the Dockerfiles' base image."""
PACKAGES = "ca-certificates,python3-pip,python3-venv"
REDIS = "tests/images/redis.Dockerfile"
PROGRAMS = {"debootstrap": "debootstrap", "bwrap": "bubblewrap"}
"""Program -> the package that has it."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NETWORK_FILES = ("/etc/resolv.conf", "/etc/ssl/certs")
NETWORK_VARIABLES = ("PIP_", "SSL_CERT", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
"""What an engine gives a build of this machine's network, by prefix of the variables' names."""


def main() -> None:
    lacking = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if lacking or os.geteuid():
        sys.exit(f"Run this as root, with Debian's {' and '.join(PROGRAMS.values())} installed.")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "debian").exists():
        debootstrap(folder / "debian")
    for dockerfile in (*DOCKERFILES, REDIS):
        build(dockerfile, folder)


def debootstrap(target: Path) -> None:
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    options = ["--variant=minbase", f"--include={PACKAGES}"]
    run(["debootstrap", *options, RELEASE, str(partial)])
    # the registry's image has its Python there, under this name
    (partial / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    partial.rename(target)


def build(dockerfile: str, folder: Path) -> None:
    """Build FOLDER/NAME from NAME.Dockerfile."""
    name = Path(dockerfile).name.partition(".")[0]
    roots: dict[str, Path] = {}
    for number, stage in enumerate(stages(dockerfile)):
        root = folder / f"{name}.{number}"
        shutil.rmtree(root, ignore_errors=True)
        run(["cp", "--archive", str(folder / "debian"), str(root)])
        build_stage(stage, root, roots)
        roots[stage.name] = root
    final = folder / name
    shutil.rmtree(final, ignore_errors=True)
    roots.pop("").rename(final)
    for root in roots.values():
        shutil.rmtree(root)


def build_stage(stage: Stage, root: Path, others: dict[str, Path]) -> None:
    directory, environment = Path("/"), {"PATH": PATH}
    for instruction, rest in stage.steps:
        print(f"{root.name}: {instruction} {rest}", flush=True)  # noqa: T201
        if instruction == "ENV":
            environment |= expanded(Stage("", [(instruction, rest)]).environment, environment)
        elif instruction == "WORKDIR":
            directory = Path(rest)
            below(root, directory).mkdir(parents=True, exist_ok=True)
        elif instruction == "COPY":
            copy(rest.split(), root, directory, others)
        elif instruction == "RUN":
            run(sandbox(root, directory, environment, rest))


def expanded(values: dict[str, str], environment: dict[str, str]) -> dict[str, str]:
    """Return the values with variables of the environment replaced."""
    return {name: string.Template(text).substitute(environment) for name, text in values.items()}


def below(root: Path, path: Path) -> Path:
    """Return the path on this machine of an image's path."""
    return root / path.relative_to("/")


def copy(words: list[str], root: Path, directory: Path, others: dict[str, Path]) -> None:
    """Do a COPY: files into a folder, or a folder's content into a folder."""
    origin = ROOT
    if words[0].startswith("--from="):
        origin = others[words.pop(0).removeprefix("--from=")]
    *sources, last = words
    target = below(root, directory / last)
    for word in sources:
        source = origin / word.lstrip("/")
        if source.is_dir():
            # as .dockerignore says
            ignored = shutil.ignore_patterns("__pycache__") if origin == ROOT else None
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=ignored)
        elif last.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def sandbox(root: Path, directory: Path, environment: dict[str, str], script: str) -> list[str]:
    """Return the command line of a RUN: as root, in the root file system, with the network."""
    network = {
        name: value for name, value in os.environ.items() if name.startswith(NETWORK_VARIABLES)
    }
    variables = [word for pair in (network | environment).items() for word in ("--setenv", *pair)]
    files = [word for path in NETWORK_FILES for word in ("--ro-bind", path, path)]
    return [
        "bwrap", "--die-with-parent", "--unshare-pid", "--bind", str(root), "/",
        "--proc", "/proc", "--dev", "/dev", *files, "--chdir", str(directory),
        "--clearenv", *variables, "/bin/sh", "-c", script,
    ]  # fmt: skip


def run(command: list[str]) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
