"""`cutout models check` says whether outputs of a provider may count as those of `cpu`."""

import pytest
from typer.testing import CliRunner, Result

from contract.errors import CutoutError, ErrorCode
from worker.cli.main import app
from worker.models import provider_check, weights
from worker.models.provider_check import Comparison


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch):
    """Run the verb on a machine whose mattes differ by so many levels."""

    def run(levels: float, model: str, providers: str = "openvino,cpu") -> Result:
        monkeypatch.setenv("CUTOUT_PROVIDERS", providers)
        monkeypatch.setattr(weights, "verify", lambda *_: "")
        monkeypatch.setattr(provider_check, "compare", lambda *_: Comparison(levels, 340, 630))
        return CliRunner().invoke(app, ["models", "check", model])

    return run


def test_mattes_within_the_bound_count_as_the_same(check):
    answer = check(0.004, "u2netp")
    assert answer.exit_code == 0
    assert "outputs count as the same. 340 ms of CPU time against 630." in answer.output


def test_mattes_beyond_the_bound_are_an_error_if_outputs_would_not_show_it(check):
    error = check(3, "u2netp").exception
    assert isinstance(error, CutoutError)
    assert error.code is ErrorCode.PROVIDER_DIFFERS
    assert "by up to 3 levels of 255; at most 0.5 is allowed" in error.message


def test_mattes_beyond_the_bound_are_marked(check):
    answer = check(30, "u2netp-int8")
    assert answer.exit_code == 0
    assert "outputs are marked 'openvino " in answer.output


def test_a_missing_provider_is_an_error(check):
    error = check(0, "u2netp", "tensorrt,cpu").exception
    assert isinstance(error, CutoutError)
    assert error.code is ErrorCode.PROVIDER_MISSING


def test_cpu_alone_is_compared_with_nothing(check):
    assert "nothing to compare" in check(30, "u2netp", "cpu").output
