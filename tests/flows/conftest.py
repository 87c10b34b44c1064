from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW, temporary_settings
from prefect.testing.utilities import prefect_test_harness
from toy_project import *  # noqa: F403 - fixtures


@pytest.fixture(scope="session", autouse=True)
def server() -> Iterator[None]:
    """A real Prefect server with a database of its own."""
    with (
        prefect_test_harness(server_startup_timeout=180),
        temporary_settings({PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore"}),
    ):
        yield
