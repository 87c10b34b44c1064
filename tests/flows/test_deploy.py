from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.responses import DeploymentResponse

from bertline.project.deployments import Project
from flows.deploy import deploy, deployed
from tests.support.toy_project import REPOSITORY, add_flows


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


def named(root: Path, name: str) -> Path:
    """Give the toy project in `root` the flows and the prefect.yaml, with `name` as the project's."""
    text = (REPOSITORY / "prefect.yaml").read_text()
    assert "name: bertline\n" in text
    (root / "prefect.yaml").write_text(text.replace("name: bertline\n", f"name: {name}\n"))
    if not (root / "flows").exists():
        add_flows(root)
    return root


def of(client: SyncPrefectClient, root: Path) -> dict[str, DeploymentResponse]:
    return {each.name: each for each in deployed(client, Project.read(root))}


def test_two_projects_of_one_server_do_not_disturb_each_other(fresh: Path, client: SyncPrefectClient) -> None:
    deploy(named(fresh, "spam"))
    before = of(client, fresh)["spam-weekly"]
    deploy(named(fresh, "intents"))
    assert [*of(client, fresh)] == ["intents-weekly"]
    assert client.read_deployment(before.id).work_pool_name == "spam"
    assert client.read_deployment(before.id).tags == ["spam"]
    assert of(client, fresh)["intents-weekly"].work_pool_name == "intents"


def test_deployed_again_nothing_is_new_and_what_prefect_yaml_lost_is_removed(
    fresh: Path, client: SyncPrefectClient
) -> None:
    first = deploy(named(fresh, "again"))
    before = of(client, fresh)
    assert first[0] == "created the work pool again: processes, one run at a time"
    text = (fresh / "prefect.yaml").read_text().replace("- name: weekly", "- name: nightly")
    assert deploy(fresh) == ["deployed again-weekly"]
    assert {name: each.id for name, each in of(client, fresh).items()} == {
        name: each.id for name, each in before.items()
    }
    (fresh / "prefect.yaml").write_text(text)
    assert "removed again-weekly: prefect.yaml does not have it any more" in deploy(fresh)
    assert [*of(client, fresh)] == ["again-nightly"]


def test_what_prefect_does_not_take_is_one_error(fresh: Path) -> None:
    path = named(fresh, "broken") / "prefect.yaml"
    path.write_text(path.read_text().replace("flows/retrain.py:retrain", "flows/gone.py:retrain"))
    with pytest.raises(ValueError, match=r"Prefect does not take prefect.yaml: .*gone"):
        deploy(fresh)
