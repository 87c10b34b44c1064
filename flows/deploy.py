"""Put what prefect.yaml says on the Prefect server: `bertline deploy`.

Guarantees: run again, it changes nothing; what another project has on the server is left alone; a deployment
of this project that prefect.yaml no longer has is removed, so that its schedule starts nothing.
"""

import argparse
import json
import sys
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.workers.process import ProcessWorker

from bertline.project.deployments import Project
from bertline.project.layout import SCRATCH
from bertline.project.processes import child_process, output_lines
from flows import automations
from flows.connection import one_error, server

WRITTEN = SCRATCH / "prefect.yaml"
_LAST_LINES = 8


def deploy(root: Path) -> list[str]:
    """Create the work pools and deploy every deployment of `root`; return a line on each thing done.

    Raises:
        ValueError: prefect.yaml is wrong, or the server or Prefect refuses it.
    """
    project = Project.read(root)
    done: list[str] = []
    with get_client(sync_client=True) as client:
        for pool in project.pools:
            done += _create_pool(client, pool)
        _run_prefect(root, project)
        found = {each.name: each for each in deployed(client, project)}
        wanted = [each["name"] for each in project.deployments]
        if missing := [name for name in wanted if name not in found]:
            raise ValueError(f"Prefect did not deploy {', '.join(missing)}; see: prefect deploy --all")
        for name in sorted(set(found) - set(wanted)):
            client.delete_deployment(found[name].id)
            done.append(f"removed {name}: prefect.yaml does not have it any more")
        done += [f"deployed {name}" for name in wanted]
        done += automations.apply_from(root, client)
    return done


def process_pools(root: Path) -> list[str]:
    """Return the work pools of `root` whose runs are processes in its checkout."""
    with get_client(sync_client=True) as client:
        return [pool for pool in Project.read(root).pools if client.read_work_pool(pool).type == "process"]


def deployed(client: SyncPrefectClient, project: Project) -> list[DeploymentResponse]:
    """Return the deployments that the server has of `project`."""
    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[project.name]))
    prefix = f"{project.name}-"
    return [
        each for each in client.read_deployments(deployment_filter=tagged) if each.name.startswith(prefix)
    ]


def _create_pool(client: SyncPrefectClient, name: str) -> list[str]:
    """Create a pool of processes, one at a time, unless a pool of that name is there, of whatever type."""
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(
            WorkPoolCreate(name=name, type="process", base_job_template=template, concurrency_limit=1)
        )
        return [f"created the work pool {name}: processes, one run at a time"]
    return []


def _run_prefect(root: Path, project: Project) -> None:
    (root / SCRATCH).mkdir(exist_ok=True)
    (root / WRITTEN).write_text(json.dumps(project.document, default=str, indent=1), "utf-8")  # JSON is YAML
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    command = [*prefect, "deploy", "--all", "--prefect-file", str(WRITTEN)]
    environment = {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
    with child_process(command, root, environment=environment) as process:
        printed = [*output_lines(process)]
    if process.returncode != 0:
        last = " ".join(" ".join(printed[-_LAST_LINES:]).split())
        raise ValueError(f"Prefect does not take prefect.yaml: {last}")


def main() -> int:
    """Deploy the current folder and print what was done; return the exit status."""
    parser = argparse.ArgumentParser(prog="bertline deploy", description=(__doc__ or "").partition("\n")[0])
    parser.parse_args()
    root = Path.cwd()
    with one_error() as outcome, server(root):
        for line in deploy(root):
            print(line)
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
