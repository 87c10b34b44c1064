"""deploy/kubernetes.json: the template of the jobs that Prefect's worker makes in a cluster."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.workers.base import BaseJobConfiguration
from ruamel.yaml import YAML

from bertline.project.deployments import Project
from flows.deploy import deploy, deployed, process_pools
from tests.support.toy_project import REPOSITORY, add_flows

TEMPLATE = json.loads((REPOSITORY / "deploy/kubernetes.json").read_text())


class Configuration(BaseJobConfiguration):
    """What a worker reads of the template."""

    job_manifest: dict[str, Any]


def manifest(**values: object) -> dict[str, Any]:
    """Return the job that the template makes of the variables `values` and of the defaults."""
    filled = asyncio.run(Configuration.from_template_and_values(TEMPLATE, values))
    return filled.job_manifest


def test_a_job_has_the_image_the_volume_the_secret_and_a_gpu() -> None:
    pod = manifest()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "bertline:latest"
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1}
    assert container["envFrom"] == [{"secretRef": {"name": "bertline"}}]
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "bertline"}
    assert container["volumeMounts"][0]["mountPath"] == "/srv"


@pytest.mark.parametrize(
    "values", [{}, {"gpus": 0, "cpu_limit": "4", "memory_limit": "16Gi", "name": "weekly"}]
)
def test_kubernetes_takes_the_job(values: dict[str, object]) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate==1.37.0")
    job = manifest(**values)
    for misplaced in (
        "parallelism",
        "completions",
    ):  # Prefect asks for them here, and Kubernetes ignores them
        del job["spec"]["template"]["spec"][misplaced]
    validator.validate(job, "1.37", strict=True)


def test_kubernetes_takes_the_volume() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate==1.37.0")
    volume = YAML(typ="safe").load((REPOSITORY / "deploy/volume.yaml").read_text())
    validator.validate(volume, "1.37", strict=True)
    assert volume["metadata"]["name"] == TEMPLATE["variables"]["properties"]["volume_claim"]["default"]


def test_a_deployment_goes_into_a_pool_of_the_cluster_for_which_make_up_starts_no_worker(fresh: Path) -> None:
    docs = (REPOSITORY / "docs/operations.md").read_text().partition("## An image and Kubernetes")[2]
    added = docs.partition("```yaml\n")[2].partition("```")[0]
    text = (REPOSITORY / "prefect.yaml").read_text()
    (fresh / "prefect.yaml").write_text(text.replace("    schedules:\n", f"{added}    schedules:\n", 1))
    add_flows(fresh)
    project = Project.read(fresh)
    with get_client(sync_client=True) as client:
        client.create_work_pool(
            WorkPoolCreate(name=project.pools[0], type="kubernetes", base_job_template=TEMPLATE)
        )
        deploy(fresh)
        (found,) = deployed(client, project)
    assert found.work_pool_name == "cluster"
    assert found.pull_steps == [
        {"prefect.deployments.steps.set_working_directory": {"directory": "/srv/project"}}
    ]
    assert process_pools(fresh) == []
