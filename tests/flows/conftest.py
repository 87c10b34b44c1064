from collections.abc import Iterator

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW, temporary_settings

from tests.support.inbox import mailbox, webhook  # noqa: F401 - fixtures
from tests.support.prefect_server import prepared_home, start_server
from tests.support.services import Services
from tests.support.toy_project import environment, fresh, project, reproduced_template, retrained, template  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def server_environment(shared_services: Services, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment for clients of a server that all tests here share."""
    _, env = start_server(shared_services, prepared_home(tmp_path_factory))
    return env


@pytest.fixture(scope="session", autouse=True)
def server(server_environment: dict[str, str]) -> Iterator[None]:
    """Flows that run in this process use that server."""
    settings = {
        PREFECT_API_URL: server_environment["PREFECT_API_URL"],
        PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore",
    }
    with temporary_settings(settings):
        yield


@pytest.fixture(scope="session")
def client(server: None) -> Iterator[SyncPrefectClient]:
    """A client of that server."""
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture(autouse=True)
def _clean_logs(clean_logs: None) -> None:
    """A test during which the server logs an error fails."""
