"""A misspelt name in ``BOXKITE_REDACT`` hides nothing, so the log says it; other fields of a body are no mistakes."""

from __future__ import annotations

import pytest

from flask_boxkite import ModelMonitoringService
from flask_boxkite.baseline.training.build import build_baseline
from flask_boxkite.monitoring.redacted_names import other_names

NAMES = ["ssn", "Secret", "age", *(f"feature {number}" for number in range(60)), "income"]
BASELINE = build_baseline({name: [1.0, 2.0] for name in NAMES}, {"score": [0.5, 0.7]})


@pytest.mark.parametrize(
    ("redact", "expected"),
    [
        ([], {}),
        (["ssn", "SECRET ", "score", "person.age", "people[0].ssn"], {}),
        (["secrt", "person.secret_"], {"secrt": "Secret", "person.secret_": "Secret"}),
        (["incme", "scores"], {"incme": "income", "scores": "score"}),
        (["phone", "person.email"], {"phone": "", "person.email": ""}),
        (lambda record: record, {}),
    ],
    ids=["none", "variables", "near misses", "among many", "other fields", "function"],
)
def test_names_that_are_no_variables(redact: object, expected: dict[str, str]) -> None:
    assert other_names(redact, [None, BASELINE]) == expected  # type: ignore[arg-type]


def test_of_many_variables_the_one_with_the_same_letters_is_meant() -> None:
    names = ["customers_incomes", *(f"feature {number}" for number in range(60)), "customer-income"]
    baseline = build_baseline({name: [1.0, 2.0] for name in names})
    assert other_names(["customer income"], [baseline]) == {"customer income": "customer-income"}


def test_without_a_baseline_no_name_is_judged() -> None:
    assert other_names(["secrt"], [None]) == {}


def test_the_log_says_at_set_up_which_name_may_be_misspelt(caplog: pytest.LogCaptureFixture) -> None:
    ModelMonitoringService(BASELINE, redact="secrt,phone,age").close()
    assert caplog.messages == [
        "'BOXKITE_REDACT' names 'secrt', which is no feature or output. Did you mean 'Secret'? If 'secrt' is another "
        "field of the requests, it is redacted as it is."
    ]
