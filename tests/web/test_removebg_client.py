"""Public clients of remove.bg, unchanged but for the address, and the answers they read."""

import base64
import io
import json
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import remove_bg_api
import removebg.removebg
import removebg_cli
import requests
from PIL import Image
from remove_bg_api import Errors, RemoveBg
from support.catalogue import photograph
from support.cluster import Cluster
from support.services import free_port, missing, until

from contract.settings import Settings
from producer.web import api_keys
from producer.web.api_keys import Scope

SIZE = (160, 120)


@dataclass
class Server:
    url: str
    key: str
    shoe: Path

    def post(self, accept: str = "", **fields: str) -> requests.Response:
        with self.shoe.open("rb") as file:
            return requests.post(
                f"{self.url}/v1.0/removebg", files={"image_file": file}, data=fields,
                headers={"X-Api-Key": self.key, "Accept": accept}, timeout=90,
            )  # fmt: skip


@pytest.fixture
def server(quick_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    known = tmp_path / "keys"
    key = api_keys.add(Settings(api_keys=known), "client", [Scope.SUBMIT])
    port = free_port()
    quick_cluster.start(
        "serve", "producer", "serve", CUTOUT_API_KEYS=str(known), CUTOUT_WEB_PORT=str(port),
        CUTOUT_WEB_STORE=str(tmp_path / "store"),
    )  # fmt: skip
    quick_cluster.start_worker(1)
    photograph(tmp_path / "shoe.jpg", size=SIZE)
    url = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(remove_bg_api, "API_URL", f"{url}/v1.0")

    def answers() -> bool:
        try:
            return urllib.request.urlopen(f"{url}/healthz", timeout=5).status == 200
        except OSError:
            return False

    until(answers)
    return Server(url, key, tmp_path / "shoe.jpg")


def is_cutout(data: bytes, size: tuple[int, int] = SIZE) -> bool:
    with Image.open(io.BytesIO(data)) as picture:
        low, high = picture.getchannel("A").getextrema()
        return (picture.format, picture.mode, picture.size) == ("PNG", "RGBA", size) and low < high


def test_the_client_gets_cut_outs(server: Server, tmp_path: Path) -> None:
    client = RemoveBg(server.key)  # asks for the account first
    assert client.account.balance() == 0
    assert client.account.free_api_calls() == 0
    assert set(client.account.get_balance_dict()) == {"total", "subscription", "payg", "enterprise"}

    shoe, out = server.shoe.read_bytes(), str(tmp_path / "nbg.png")
    assert is_cutout(client.remove_bg_file(str(server.shoe)))
    assert client.remove_bg_file(str(server.shoe), out, raw=False) == out
    assert is_cutout(Path(out).read_bytes())
    assert is_cutout(client.remove_bg_bytes(shoe, size="full"))
    assert is_cutout(client.remove_bg_base64(base64.b64encode(shoe).decode()))
    red = client.remove_bg_bytes(shoe, data={"bg_color": "red", "size": "auto"})
    assert Image.open(io.BytesIO(red)).format == "JPEG"  # opaque: `auto` is a JPEG then
    assert client.account.balance() == 0


def test_a_large_photograph_comes_as_base64(server: Server, tmp_path: Path) -> None:
    photograph(tmp_path / "large.jpg", size=(2400, 1800))
    text = base64.b64encode((tmp_path / "large.jpg").read_bytes()).decode()
    assert len(text) > 1 << 20
    client = RemoveBg(server.key)
    assert is_cutout(client.remove_bg_base64(text, size="full"), (2400, 1800))
    # by default, 0.25 megapixels
    assert is_cutout(client.remove_bg_base64(text), (577, 433))


def test_refusals_are_the_clients_own_errors(server: Server, tmp_path: Path) -> None:
    with pytest.raises(Errors.ApiErrorCode403):
        RemoveBg("cut_unknown")
    client, shoe = RemoveBg(server.key), server.shoe.read_bytes()
    for refused in ({"shadow_opacity": "50"}, {"sise": "full"}, {"roi": "0% 0%"}):
        with pytest.raises(Errors.ApiErrorCode400):
            client.remove_bg_bytes(shoe, data=refused)
    with pytest.raises(Errors.ApiErrorCode400):
        client.remove_bg_bytes(b"not a photograph")
    with pytest.raises(Errors.ApiErrorCode400):  # private addresses are refused
        client.remove_bg_url(f"{server.url}/healthz")


def test_codes_of_refusals(server: Server, tmp_path: Path) -> None:
    answer = server.post(shadow_opacity="50")
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (400, "unsupported_parameter")

    Image.new("RGB", SIZE, "black").save(server.shoe)
    answer = server.post()
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (400, "unknown_foreground")


def test_an_answer_says_where_the_subject_is(server: Server) -> None:
    answer = server.post(size="full")
    assert answer.headers["Content-Type"] == "image/png"
    box = {
        name: int(answer.headers[f"X-Foreground-{name}"])
        for name in ("Left", "Top", "Width", "Height")
    }
    with Image.open(io.BytesIO(answer.content)) as picture:
        left, top, right, bottom = picture.getchannel("A").getbbox()
    assert 0 <= left <= box["Left"] < box["Left"] + box["Width"] <= right <= SIZE[0]
    assert 0 <= top <= box["Top"] < box["Top"] + box["Height"] <= bottom <= SIZE[1]
    assert (answer.headers["X-Width"], answer.headers["X-Height"]) == ("160", "120")
    assert answer.headers["X-Credits-Charged"] == "0"

    data = server.post("application/json", size="full").json()["data"]
    assert is_cutout(base64.b64decode(data.pop("result_b64")))
    assert data == {f"foreground_{name.lower()}": value for name, value in box.items()}


def test_the_account(server: Server) -> None:
    request = urllib.request.Request(
        f"{server.url}/v1.0/account", headers={"X-Api-Key": server.key}
    )
    with urllib.request.urlopen(request) as answer:
        account = json.load(answer)
    assert account["data"]["attributes"]["credits"]["total"] == 0
    assert requests.get(f"{server.url}/v1.0/account", timeout=9).status_code == 403


# the PyPI client `removebg`


def test_the_client_removebg(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    endpoint = f"{server.url}/v1.0/removebg"
    monkeypatch.setattr(removebg.removebg, "API_ENDPOINT", endpoint)
    client = removebg.removebg.RemoveBg(server.key, str(tmp_path / "errors.log"))
    client.remove_background_from_img_file(str(server.shoe), size="full")
    assert is_cutout(Path(f"{server.shoe}_no_bg.png").read_bytes())
    out = tmp_path / "out.png"
    text = base64.b64encode(server.shoe.read_bytes()).decode()
    client.remove_background_from_base64_img(text, new_file_name=str(out))
    assert is_cutout(out.read_bytes())
    client.remove_background_from_img_file(str(server.shoe), bg_color="81d4fa")
    assert Image.open(f"{server.shoe}_no_bg.png").format == "JPEG"
    with pytest.raises(requests.HTTPError, match="400"):
        client.remove_background_from_img_url(f"{server.url}/healthz")  # a private address
    wrong = removebg.removebg.RemoveBg("cut_unknown", str(tmp_path / "errors.log"))
    with pytest.raises(requests.HTTPError, match="403"):
        wrong.remove_background_from_img_file(str(server.shoe))


# the PyPI command line `removebg-cli`


@pytest.fixture
def command_line(server: Server, monkeypatch: pytest.MonkeyPatch):
    """Run `removebg ARGUMENTS`; its address, which stands in several lines, leads to the server."""

    def redirected(call):
        def send(url: str, **options):
            return call(url.replace("https://api.remove.bg", server.url), **options)

        return send

    for name in ("get", "post"):
        monkeypatch.setattr(requests, name, redirected(getattr(requests, name)))
    monkeypatch.setenv("REMOVE_BG_API_KEY", server.key)

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["removebg", *arguments])
        removebg_cli.main()

    return run


def test_the_command_line_removebg(server: Server, command_line, tmp_path: Path):
    out = tmp_path / "out"
    command_line(str(server.shoe))
    assert is_cutout((tmp_path / "shoe-nobg.png").read_bytes())
    command_line(str(server.shoe), "-s", "full", "-o", f"{out}.png", "-c")
    assert Image.open(f"{out}.png").mode == "RGBA"
    for format_, wanted in (("jpg", "JPEG"), ("webp", "WEBP")):
        command_line(str(server.shoe), "-f", format_, "-b", "white", "-o", f"{out}.{format_}")
        assert Image.open(f"{out}.{format_}").format == wanted
    command_line(str(server.shoe), "-f", "zip", "-o", f"{out}.zip")
    assert zipfile.ZipFile(f"{out}.zip").namelist() == ["color.jpg", "alpha.png"]


def test_the_command_line_shows_account_and_refusals(server: Server, command_line, capsys):
    command_line("--account")
    assert "Credits" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command_line(str(server.shoe), "--shadow", "-f", "zip")
    assert "Invalid add_shadow parameter given" in capsys.readouterr().out


# the npm package `remove.bg`


NODE_SCRIPT = """
const client = require("remove.bg");
const [apiKey, path, outputFile] = process.argv.slice(2);
const base64img = require("fs").readFileSync(path).toString("base64");
(async () => {
  const size = "full";
  const file = await client.removeBackgroundFromImageFile({ apiKey, path, outputFile, size });
  delete file.base64img;
  const text = await client.removeBackgroundFromImageBase64({ apiKey, base64img, bg_color: "red" });
  const refused = await client
    .removeBackgroundFromImageUrl({ apiKey, url: "http://127.0.0.1:1/" })
    .catch((errors) => errors);
  console.log(JSON.stringify({ file, text: text.base64img, refused }));
})();
"""


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node")
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        missing("Node.js and npm are not installed.")
    install = subprocess.run(
        [npm, "install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund",
         "remove.bg@1.3.0"],
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    if install.returncode:
        missing(f"npm did not install remove.bg: {install.stderr[-300:]}")
    return folder / "node_modules"


def test_the_client_of_node(server: Server, node_modules: Path, tmp_path: Path):
    module = node_modules / "remove.bg/dist/index.js"
    module.write_text(module.read_text().replace("https://api.remove.bg", server.url))
    script, out = node_modules.parent / "client.js", tmp_path / "out.png"
    script.write_text(NODE_SCRIPT)
    ended = subprocess.run(
        ["node", script, server.key, server.shoe, out],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    result = json.loads(ended.stdout)
    assert is_cutout(out.read_bytes())
    file = result["file"]
    assert (file["resultWidth"], file["resultHeight"]) == ("160", "120")
    assert (file["creditsCharged"], file["detectedType"]) == ("0", "other")
    assert int(file["rateLimit"]) > int(file["rateLimitRemaining"])
    assert Image.open(io.BytesIO(base64.b64decode(result["text"]))).size == SIZE
    assert [error["code"] for error in result["refused"]] == ["failed_image_download"]
