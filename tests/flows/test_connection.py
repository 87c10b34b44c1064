import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_SERVER_API_AUTH_STRING, temporary_settings

from flows.connection import require_password

OURS, THEIRS = PREFECT_API_AUTH_STRING, PREFECT_SERVER_API_AUTH_STRING


@pytest.mark.parametrize(
    ("host", "settings", "message"),
    [
        (
            "10.0.0.1",
            {},
            "^at 10.0.0.1, the server would answer other machines without a password: set ",
        ),
        ("::", {OURS: "a:hunter2"}, "^at ::, the server would answer other machines without a password"),
        ("127.0.0.1", {THEIRS: "a:hunter2"}, "^the server would not take our password: set PREFECT_SERVER_"),
        ("10.0.0.1", {THEIRS: "a:hunter2", OURS: "a:other"}, "^the server would not take our password"),
    ],
)
def test_a_server_that_is_open_to_all_or_closed_to_us_is_not_started(
    host: str, settings: dict[object, str], message: str
) -> None:
    with temporary_settings(settings), pytest.raises(ValueError, match=message) as error:
        require_password(host)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1"])
def test_a_server_with_our_password_is_started(host: str) -> None:
    with temporary_settings({THEIRS: "a:hunter2", OURS: "a:hunter2"}):
        require_password(host)
