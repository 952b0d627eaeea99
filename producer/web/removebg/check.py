"""Checks a server of remove.bg's API from outside: what public clients send, and what they read.

Each check sends real requests and raises MismatchError. They need a photograph with a subject, and
of the server only its address and a key, so they also run against remove.bg itself.
"""

import base64
import io
import json
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

BOUNDARY = "4b1f7c0e9d"
REQUEST_SECONDS = 90
PNG, JPEG, ZIP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"PK\x03\x04"
MAX_SHOWN = 100
"""Characters of an answer that a mismatch shows."""
RATE_LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


class MismatchError(Exception):
    """What is wrong with an answer, as a sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response."""

    status: int
    headers: Message
    body: bytes

    def require(self, condition: object, expected: str) -> None:
        if not condition:
            shown = self.body[:MAX_SHOWN].decode(errors="replace")
            raise MismatchError(f"expected {expected}, got {self.status}: {shown!r}")

    def image(self, magic: bytes = PNG) -> bytes:
        self.require(self.status == 200 and self.body.startswith(magic), f"{magic!r} at the start")  # noqa: PLR2004
        return self.body

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise MismatchError(f"expected JSON, got {self.body[:MAX_SHOWN]!r}") from None

    def error(self, status: int, *codes: str) -> None:
        self.require(self.status == status, f"status {status}")
        code = self.json()["errors"][0]["code"]
        self.require(not codes or code in codes, f"the code {' or '.join(codes)}")


@dataclass(frozen=True, slots=True)
class Server:
    """A server of remove.bg's API, and the photograph to send."""

    url: str
    key: str = field(repr=False)
    photograph: bytes = field(repr=False)

    def request(
        self, path: str, body: bytes | None = None, key: str | None = None, **headers: str
    ) -> Answer:
        """Send a GET, or a POST of a body. In header names, `_` stands for `-`."""
        all_headers = {name.replace("_", "-"): value for name, value in headers.items()}
        all_headers["X-Api-Key"] = self.key if key is None else key
        address = f"{self.url.rstrip('/')}/v1.0/{path}"
        request = urllib.request.Request(address, body, all_headers)  # noqa: S310 - the user's own
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:  # noqa: S310
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())
        except OSError as error:
            raise MismatchError(f"no answer ({error})") from None

    def form(
        self, files: dict[str, bytes] | None = None, accept: str = "*/*", *, named: bool = True,
        **fields: str,
    ) -> Answer:  # fmt: skip
        """POST a form. Without `files`, with the photograph."""
        if files is None:
            files = {"image_file": self.photograph}
        parts = [(name, "", text.encode()) for name, text in fields.items()]
        filename = '; filename="a.jpg"' if named else ""
        parts += [(name, filename, data) for name, data in files.items()]
        body = b"".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{filename}'.encode()
            + b"\r\n\r\n" + data + b"\r\n"
            for name, filename, data in parts
        )  # fmt: skip
        content_type = f"multipart/form-data; boundary={BOUNDARY}"
        body += f"--{BOUNDARY}--\r\n".encode()
        return self.request("removebg", body, Content_Type=content_type, Accept=accept)

    def json(self, **fields: str) -> Answer:
        body = json.dumps(fields).encode()
        return self.request("removebg", body, Content_Type="application/json")


def account(server: Server) -> None:
    answer = server.request("account")
    answer.require(answer.status == 200, "status 200")  # noqa: PLR2004
    attributes = answer.json()["data"]["attributes"]
    names = {"total", "subscription", "payg", "enterprise"}
    answer.require(names <= set(attributes["credits"]), "credits")
    answer.require({"free_calls", "sizes"} <= set(attributes["api"]), "api")


def form_with_a_file(server: Server) -> None:
    server.form().image()


def file_without_a_name(server: Server) -> None:
    server.form(named=False).image()


def base64_in_a_form(server: Server) -> None:
    text = base64.encodebytes(server.photograph).decode()
    server.form({}, image_file_b64=text).image()


def base64_in_json(server: Server) -> None:
    text = base64.urlsafe_b64encode(server.photograph).decode().rstrip("=")
    server.json(image_file_b64=text).image()


def accept_header_of_axios(server: Server) -> None:
    server.form(accept="application/json, text/plain, */*").image()


def answer_in_json(server: Server) -> None:
    answer = server.form(accept="application/json")
    data = base64.b64decode(answer.json()["data"]["result_b64"])
    answer.require(data.startswith(PNG), "a PNG in data.result_b64")


def format_jpg(server: Server) -> None:
    server.form(format="jpg").image(JPEG)


def format_webp(server: Server) -> None:
    answer = server.form(format="webp")
    answer.require(answer.image(b"RIFF")[8:12] == b"WEBP", "a WebP")


def format_zip(server: Server) -> None:
    answer = server.form(format="zip")
    with zipfile.ZipFile(io.BytesIO(answer.image(ZIP))) as archive:
        names = set(archive.namelist())
        answer.require({"color.jpg", "alpha.png"} <= names, "color.jpg and alpha.png")
        answer.require(archive.read("color.jpg").startswith(JPEG), "a JPEG")
        answer.require(archive.read("alpha.png").startswith(PNG), "a PNG")


def matte_alone(server: Server) -> None:
    server.form(channels="alpha").image()


def background_colour(server: Server) -> None:
    server.form(bg_color="81d4fa", format="png").image()


def background_image(server: Server) -> None:
    files = {"image_file": server.photograph, "bg_image_file": server.photograph}
    server.form(files, format="jpg").image(JPEG)


def crop_and_position(server: Server) -> None:
    server.form(crop="true", crop_margin="10%", scale="80%", position="center").image()


def type_as_a_hint(server: Server) -> None:
    answer = server.form(type="product")
    answer.image()
    answer.require(answer.headers["X-Type"], "the header X-Type")


def headers_of_an_image(server: Server) -> None:
    answer = server.form()
    for name in ("X-Width", "X-Height", "X-Credits-Charged"):
        answer.require(answer.headers[name], f"the header {name}")


def rate_limit(server: Server) -> None:
    for answer in (server.request("account"), server.form({}, size="auto")):
        for name in RATE_LIMIT_HEADERS:
            value = answer.headers[name]
            answer.require(value and value.isdigit(), f"a number in the header {name}")


def no_photograph(server: Server) -> None:
    server.form({}, size="auto").error(400, "missing_source")


def invalid_parameter(server: Server) -> None:
    server.form(size="vast").error(400)


def file_that_is_no_image(server: Server) -> None:
    server.form({"image_file": b"not a photograph"}).error(400)


def url_that_cannot_be_downloaded(server: Server) -> None:
    server.json(image_url="https://0.0.0.0/a.jpg").error(400, "failed_image_download")


def unknown_key(server: Server) -> None:
    server.request("account", key="unknown").error(403, "auth_failed")


CHECKS: tuple[Callable[[Server], None], ...] = (
    account, form_with_a_file, file_without_a_name, base64_in_a_form, base64_in_json,
    accept_header_of_axios, answer_in_json, format_jpg, format_webp, format_zip, matte_alone,
    background_colour, background_image, crop_and_position, type_as_a_hint, headers_of_an_image,
    rate_limit, no_photograph, invalid_parameter, file_that_is_no_image,
    url_that_cannot_be_downloaded,
)  # fmt: skip


def run_checks(server: Server) -> Iterator[tuple[str, str]]:
    """Yield the name of each check, and what is wrong; empty if nothing is."""
    # a server without keys knows no wrong one
    for check in (*CHECKS, unknown_key) if server.key else CHECKS:
        reason = ""
        try:
            check(server)
        except MismatchError as error:
            reason = str(error)
        except (ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
            reason = f"the answer cannot be read ({type(error).__name__})"
        yield check.__name__.replace("_", " "), reason
