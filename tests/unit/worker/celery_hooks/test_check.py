import pytest

from contract.errors import CutoutError
from worker.celery_hooks import check


def test_the_installed_version_has_all_names():
    assert [name for name in check.NAMES if not check._exists(name)] == []
    check.check_names()


@pytest.mark.parametrize(
    "name",
    [
        "celery.worker.state:should_rest",
        "celery.worker.consumer:Consumer.nothing",
        "celery.no_such_module:name",
        "celery.worker.consumer:NoSuchClass.name",
    ],
)
def test_a_missing_name_is_an_error_with_the_next_step(name: str):
    with pytest.raises(CutoutError) as caught:
        check.check_names((*check.NAMES, name))
    message = str(caught.value)
    assert message.startswith("incompatible_version: celery 5.7")
    assert f"lacks {name}, which cutout relies on. Install celery>=5.7,<5.8" in message
