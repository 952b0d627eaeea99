import json

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from contract.validation import InvalidField, first_error


class Inner(BaseModel):
    size: int = Field(1, gt=0)
    colour: str = "white"

    @field_validator("colour")
    @classmethod
    def _white(cls, colour: str) -> str:
        if colour != "white":
            raise ValueError("only white is painted.")
        return colour


class Outer(BaseModel):
    inner: list[Inner]
    low: int = 0
    high: int = 1

    @model_validator(mode="after")
    def _ordered(self):
        if self.low > self.high:
            raise ValueError("low must not exceed high")
        return self


def refused(**fields) -> InvalidField:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(fields)
    return first_error(caught.value)


def test_names_the_whole_path_and_the_outermost_field():
    error = refused(inner=[{}, {"size": 0}])
    assert error.sentence == "inner.1.size: Input should be greater than 0."
    assert error.path == ("inner", "1", "size")
    assert error.name == "inner"
    assert error.type == "greater_than"


def test_a_validator_of_our_own_speaks_without_pydantics_prefix():
    error = refused(inner=[{"colour": "red"}])
    assert error.sentence == "inner.0.colour: only white is painted."


def test_an_object_invalid_as_a_whole_has_no_path():
    error = refused(inner=[], low=2)
    assert error.name == ""
    assert error.sentence == "low must not exceed high."


def test_the_first_of_several_errors_is_returned():
    assert refused(inner=[], low="x", high="y").name == "low"


def test_the_rejected_value_is_not_repeated():
    secret = "hunter2"
    assert secret not in repr(refused(inner=[{"size": secret}]))
    assert secret not in repr(refused(inner=secret))


def test_text_that_is_not_json():
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate_json("{")
    assert first_error(caught.value).sentence.startswith("Invalid JSON: ")


@pytest.mark.parametrize(
    ("loc", "path"), [(("body", "source"), "source"), (("query", "limit"), "query.limit")]
)
def test_fastapis_body_prefix_is_left_out(loc, path):
    complaint = {"type": "missing", "loc": loc, "msg": "Field required", "input": json.dumps({})}
    assert first_error(RequestValidationError([complaint])).sentence == f"{path}: Field required."
