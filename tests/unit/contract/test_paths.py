import pwd
from pathlib import Path

import pytest

from contract.errors import ErrorCode, PermanentError
from contract.paths import as_typed, expand, resolve


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()


@pytest.mark.usefixtures("homeless")
def test_a_home_that_is_not_known_is_named():
    for call in (expand, resolve):
        with pytest.raises(PermanentError) as caught:
            call(Path("~/.local/state"))
        assert caught.value.code is ErrorCode.INVALID_SETTING
        assert "'~/.local/state'" in caught.value.message
    assert expand(Path("/a")) == Path("/a")


@pytest.mark.usefixtures("nowhere")
def test_a_current_folder_that_was_deleted_is_named(tmp_path: Path):
    with pytest.raises(PermanentError) as caught:
        resolve(Path("photos"))
    assert caught.value.code is ErrorCode.INVALID_LOCATION
    assert resolve(tmp_path / "a") == tmp_path / "a"
    assert as_typed(tmp_path / "a") == str(tmp_path / "a")


def test_a_loop_of_links_is_named(tmp_path: Path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(PermanentError) as caught:
        resolve(tmp_path / "loop")
    assert caught.value.code is ErrorCode.INVALID_LOCATION


def test_a_path_below_the_current_folder_is_typed_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert as_typed(tmp_path / "out" / "a.png") == "out/a.png"
    assert as_typed(Path("/elsewhere")) == "/elsewhere"
