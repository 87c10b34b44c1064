import re
from pathlib import Path
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.events import DeploymentEventTrigger
from ruamel.yaml import YAML

from bertline.rows.incoming import INCOMING
from flows.watch import Watcher, tell_delivery
from tests.support.toy_project import REPOSITORY
from tests.support.waiting import send_until

DOCS = REPOSITORY / "docs" / "operations.md"


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    """An empty data/incoming/ below tmp_path."""
    folder = tmp_path / INCOMING
    folder.mkdir(parents=True)
    return folder


def test_a_file_that_still_grows_is_not_told(incoming: Path, tmp_path: Path) -> None:
    watcher = Watcher(tmp_path)
    for rows in range(3):
        (incoming / "a.csv").write_text("row\n" * rows)
        assert watcher.look() == []
    assert watcher.look() == ["a.csv"]


def test_a_delivery_is_told_once_also_after_a_restart(incoming: Path, tmp_path: Path) -> None:
    (incoming / "a.csv").write_text("row\n")
    watcher = Watcher(tmp_path)
    assert [watcher.look(), watcher.look()] == [[], ["a.csv"]]
    watcher.remember()
    (incoming / "b.csv").write_text("row\n")
    again = Watcher(tmp_path)
    assert [again.look(), again.look()] == [[], ["b.csv"]]


def test_a_delivery_that_could_not_be_told_is_told_later(incoming: Path, tmp_path: Path) -> None:
    (incoming / "a.csv").write_text("row\n")
    watcher = Watcher(tmp_path)
    assert [watcher.look(), watcher.look(), watcher.look()] == [[], ["a.csv"], ["a.csv"]]


def test_what_is_not_read_is_no_delivery(incoming: Path, tmp_path: Path) -> None:
    for name in ("a.csv.part", "notes.md", ".a.csv"):
        (incoming / name).write_text("row\n")
    watcher = Watcher(tmp_path)
    assert [watcher.look(), watcher.look()] == [[], []]


def test_what_a_run_has_fetched_itself_is_no_delivery(incoming: Path, tmp_path: Path) -> None:
    watcher = Watcher(tmp_path)
    for name in ("a.csv", "b.csv"):
        (incoming / name).write_text("row\n")
    Watcher(tmp_path).leave_out([incoming / "a.csv"])
    assert [watcher.look(), watcher.look()] == [[], ["b.csv"]]


def test_a_delivery_and_the_end_of_an_upstream_flow_start_a_run_of_the_deployment_that_expects_them(
    server: None,
) -> None:
    upstream = f"export-{uuid4()}"

    @flow
    def retraining() -> None: ...

    project = f"project-{uuid4()}"
    [example] = re.findall(r"(?s)      triggers:\n.*?(?=```)", DOCS.read_text())
    documented = YAML(typ="safe").load(example.replace("export-tickets", upstream))["triggers"]
    documented[0]["match"] = {"prefect.resource.id": f"bertline.project.{project}"}  # as flows/deploy.py does
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(flow_id=client.create_flow(retraining), name=project)
        automations = []
        for number, fields in enumerate(documented):
            trigger = DeploymentEventTrigger(name=f"{project} {number}", **fields)
            trigger.set_deployment_id(deployment)
            automations.append(client.create_automation(trigger.as_automation()))
        tell_delivery(client, "another", ["a.csv"])
        flow(name="another")(retraining.fn)()
        only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))

        def started() -> int:
            return len(client.read_flow_runs(deployment_filter=only))

        send_until(lambda: tell_delivery(client, project, ["a.csv"]), lambda: started() == 1)
        send_until(flow(name=upstream)(retraining.fn), lambda: started() == 2)
        for automation in automations:
            client.delete_automation(automation)
        client.delete_deployment(deployment)
