"""Each state of a server that `bertline doctor` knows, made on a real one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import State, StateType

from bertline.core.params_loading import load_params
from bertline.params.flow import Params
from bertline.project.deployments import Project
from bertline.project.supervisor import FOLDER
from bertline.registry.checkup import look
from flows import automations, doctor, server_checkup
from flows.deploy import deploy, deployed
from tests.support.toy_project import REPOSITORY, add_flows, own

CHECK = dict(server_checkup.CHECKS)
NAME = "examined"


@pytest.fixture(scope="module")
def root(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy project that is deployed on the shared server."""
    root = own(template, tmp_path_factory.mktemp("doctor"))
    text = (REPOSITORY / "prefect.yaml").read_text()
    (root / "prefect.yaml").write_text(text.replace("name: bertline\n", f"name: {NAME}\n"))
    add_flows(root)
    deploy(root)
    return root


@pytest.fixture
def client(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    monkeypatch.chdir(root)
    with get_client(sync_client=True) as client:
        yield client


def wrong(check: str, client: SyncPrefectClient) -> str:
    """Return what the check finds to be wrong in the current folder."""
    finding = look(check, lambda: CHECK[check](client, Project.read(Path.cwd())))
    assert finding.is_wrong, finding
    return finding.line


def test_what_was_deployed_lacks_only_a_worker(client: SyncPrefectClient) -> None:
    findings = server_checkup.examine(client, Project.read(Path.cwd()))
    assert [str(each)[:34] for each in findings if each.is_wrong] == ["WRONG workers      no worker polls"]


def test_no_worker_polls_the_pool(client: SyncPrefectClient) -> None:
    assert wrong("workers", client).startswith(f"no worker polls the work pool {NAME}; run: make up")


def test_a_pool_that_is_paused(client: SyncPrefectClient) -> None:
    client.update_work_pool(NAME, WorkPoolUpdate(is_paused=True))
    assert wrong("work pools", client).endswith(f"run: prefect work-pool resume {NAME}")
    client.update_work_pool(NAME, WorkPoolUpdate(is_paused=False))


def test_a_deployment_that_is_not_there(client: SyncPrefectClient, root: Path) -> None:
    project = Project.read(root)
    project.deployments.append(project.deployments[0] | {"name": f"{NAME}-nightly"})
    finding = look("deployments", lambda: server_checkup.check_deployments(client, project))
    assert finding.line == f"the server does not have {NAME}-nightly; run: bertline deploy"


def test_an_automation_that_is_disabled_or_missing(client: SyncPrefectClient) -> None:
    params = load_params(Params, Path("params.yaml"))
    wanted = automations.automations(client, NAME, params)
    (found, *_) = automations.applied(client, NAME)
    disabled = next(each for each in wanted if each.name == found.name)
    client.update_automation(found.id, disabled.model_copy(update={"enabled": False}))
    assert f"run: prefect automation resume --id {found.id}" in wrong("automations", client)
    client.delete_automation(found.id)
    assert wrong("automations", client).endswith(f"{found.name}; run: bertline deploy")
    automations.apply(client, NAME, wanted)


def test_a_run_that_is_late(client: SyncPrefectClient, root: Path) -> None:
    (deployment,) = deployed(client, Project.read(root))
    run = client.create_flow_run_from_deployment(deployment.id)
    then = datetime.now(UTC) - timedelta(hours=1)
    late = State(type=StateType.SCHEDULED, name="Late", state_details={"scheduled_time": then})
    client.set_flow_run_state(run.id, late, force=True)
    assert wrong("late runs", client).startswith("1 late, the first since ")
    client.delete_flow_run(run.id)


def test_a_deployment_of_the_same_checkout_without_the_projects_name(
    client: SyncPrefectClient, root: Path
) -> None:
    (own_one,) = deployed(client, Project.read(root))
    other = client.create_deployment(
        flow_id=own_one.flow_id, name="weekly", pull_steps=own_one.pull_steps, work_pool_name=NAME
    )
    assert wrong("others", client).endswith(f"run: prefect deployment delete {other}")
    client.delete_deployment(other)


def test_a_schedule_that_is_paused_and_what_mends_it(client: SyncPrefectClient, root: Path) -> None:
    (deployment,) = deployed(client, Project.read(root))
    client.pause_deployment(deployment.id)
    assert wrong("deployments", client).endswith("run: bertline deploy")
    deploy(root)
    assert not look("", lambda: server_checkup.check_deployments(client, Project.read(root))).is_wrong


def test_a_server_of_another_version(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefect.__version__", "3.0.0")
    assert "this environment 3.0.0" in wrong("server", client)


def test_a_server_that_does_not_answer(root: Path) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        finding = [*doctor.examine(root)][-1]
    assert finding.is_wrong
    assert finding.line.startswith("no Prefect server answers at PREFECT_API_URL=http://127.0.0.1:9/api")


def test_an_error_in_a_log_of_the_services_but_not_that_of_a_run(root: Path) -> None:
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    state = '{"supervisor": {"pid": 1, "created": 0}, "ready": true, "addresses": {}, "services": {}}'
    (root / FOLDER / "state.json").write_text(state)
    log = root / FOLDER / "worker-examined.log"
    log.write_text("06:00:00.123 | ERROR   | Flow run 'weekly' - Finished in state Failed('the batch')\n")
    assert doctor.check_logs(root) == "no errors"
    with log.open("a") as file:
        file.write(
            "06:00:09.123 | ERROR   | prefect.worker - cannot poll\nTraceback (most recent call last):\n"
        )
    finding = look("logs", lambda: doctor.check_logs(root))
    assert finding.line.startswith(
        f"{FOLDER}/worker-examined.log has 1 errors, the last at 06:00:09.123: cannot"
    )
    (root / FOLDER / "state.json").unlink()
