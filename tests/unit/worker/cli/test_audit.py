import pytest
import typer

from worker.cli.audit import _share


@pytest.mark.parametrize(
    ("percent", "share"), [("1%", 0.01), ("0.5%", 0.005), ("100%", 1), (" 10%", 0.1)]
)
def test_a_sample_is_a_percentage(percent: str, share: float):
    assert _share(percent) == pytest.approx(share)


@pytest.mark.parametrize("percent", ["0%", "101%", "-1%", "nan%", "1", "0.01", "%", "a%"])
def test_anything_else_is_refused(percent: str):
    with pytest.raises(typer.BadParameter, match="such as 1%"):
        _share(percent)
