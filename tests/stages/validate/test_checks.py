import json

import great_expectations.expectations as gxe
import pytest

from bertline.stages.validate.checks import build_suite
from bertline.stages.validate.great_expectations import Check
from tests.support.validating import validate_params


def own(name, severity="row"):
    expectation = gxe.ExpectColumnValuesToNotMatchRegex(column="text", regex="x")
    return Check(name=name, column="text", severity=severity, allowed="free of x", expectation=expectation)


def test_the_written_suite_holds_every_expectation_without_ids_and_times():
    params = validate_params(labels=["ham", "spam"], scripts=["Latin"])
    written = json.loads(build_suite(params, [own("no_x"), own("few_x", "warn")]).as_json())
    names = [each["meta"]["name"] for each in written["features"]]
    assert names == [
        "readable",
        "text_not_null",
        "text_not_blank",
        "text_length",
        "text_damaged",
        "text_script",
        "label_not_null",
        "label_not_blank",
        "label_known",
        "timestamp_sane",
        "label_conflict",
    ]
    assert [each["meta"]["name"] for each in written["custom_rows"]] == ["no_x"]
    assert [each["meta"]["name"] for each in written["custom_batch"]] == ["few_x"]
    assert [each["meta"]["severity"] for each in written["classes"]] == ["batch"]
    assert {key for rules in written.values() for each in rules for key in each} == {
        "type",
        "kwargs",
        "meta",
        "severity",
    }


def test_two_rules_of_one_name_are_refused():
    for taken in ("text_length", "dropped"):
        with pytest.raises(ValueError, match=f"expectation '{taken}' has the name of another"):
            build_suite(validate_params(), [own(taken)])
    with pytest.raises(ValueError, match="expectation 'mine' has the name of another"):
        build_suite(validate_params(), [own("mine"), own("mine", "warn")])


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        (
            {"severity": {"drift": "warn"}},
            "severity is 'drift'; allowed: expectations on a batch",
        ),
        (
            {"severity": {"text_length": "batch"}},
            "severity is 'text_length'; allowed: ",
        ),
        ({"severity": {"labels": "row"}}, "severity.labels is 'row'; allowed: warn or batch"),
        ({"earliest": "last week"}, "earliest is 'last week'; allowed: null, or an ISO 8601 date"),
        ({"latest": "1989-01-01"}, "latest is '1989-01-01'; allowed: not before earliest"),
        ({"scripts": []}, "scripts is []; allowed: null, or Unicode scripts"),
        ({"max_damage": 1.5}, "max_damage is 1.5; allowed: 0 <= share <= 1"),
    ],
)
def test_an_impossible_parameter_is_refused(knobs, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        validate_params(**knobs)
    assert str(error.value).startswith(message)
