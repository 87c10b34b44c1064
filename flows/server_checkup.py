"""What can be wrong with the Prefect server of a project, for `bertline doctor`.

A check takes the client and the project. As in `bertline.registry.checkup`, it returns one line, or raises a
ValueError that says what is wrong and names the command that mends it.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import prefect
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterTags,
)
from prefect.exceptions import ObjectNotFound

from bertline.project.deployments import Project
from bertline.registry.checkup import Finding, look
from flows import automations
from flows.deploy import deployed


def examine(client: SyncPrefectClient, project: Project) -> Iterable[Finding]:
    """Yield a finding for each check of what the server has of `project`."""
    for name, check in CHECKS:
        yield look(name, lambda check=check: check(client, project))  # type: ignore[misc]


def check_version(client: SyncPrefectClient, project: Project) -> str:
    """Check that server and checkout have the same Prefect."""
    theirs, ours = client.api_version(), prefect.__version__
    if theirs != ours:
        raise ValueError(
            f"the server at {_address(client)} has Prefect {theirs}, this environment {ours}; "
            "start the server anew with this one (make down && make up), or install the server's version here"
        )
    return f"Prefect {theirs} at {_address(client)}"


def check_deployments(client: SyncPrefectClient, project: Project) -> str:
    """Check that every deployment of prefect.yaml is there, with its active schedules."""
    there = {each.name: each for each in deployed(client, project)}
    for wanted in project.deployments:
        found = there.pop(wanted["name"], None)
        if found is None:
            raise ValueError(f"the server does not have {wanted['name']}; run: bertline deploy")
        name = f"retrain/{found.name}"
        if found.paused:
            raise ValueError(f"{name} is paused: its schedule starts nothing; run: bertline deploy")
        asked = [each.get("cron") for each in wanted.get("schedules") or []]
        crons = [getattr(each.schedule, "cron", None) for each in found.schedules if each.active]
        if len(asked) != len(crons) or {*filter(None, asked)} - {*crons}:
            raise ValueError(
                f"the active schedules of {name} are not those of prefect.yaml; run: bertline deploy"
            )
    if there:
        raise ValueError(f"prefect.yaml does not have {', '.join(there)} any more; run: bertline deploy")
    return f"{', '.join(each['name'] for each in project.deployments)}, with the schedules of prefect.yaml"


def check_older_deployments(client: SyncPrefectClient, project: Project) -> str:
    """Check that no deployment without the project's name starts runs in this checkout."""
    here = str(Path.cwd())
    own = {each.id for each in deployed(client, project)}
    for each in client.read_deployments():
        directories = [
            options.get("directory")
            for step in each.pull_steps or []
            for options in step.values()
            if isinstance(options, dict)
        ]
        if each.id not in own and here in directories:
            raise ValueError(
                f"{each.name} was not made by bertline deploy, and starts runs in this checkout too; "
                f"run: prefect deployment delete {each.id}"
            )
    return "no other deployment starts runs here"


def check_automations(client: SyncPrefectClient, project: Project) -> str:
    """Check that the automations are there, are as the code says, and are enabled."""
    if missing := automations.missing_from(Path.cwd(), client):
        raise ValueError(f"missing or different: {', '.join(missing)}; run: bertline deploy")
    there = automations.applied(client, project.name)
    if disabled := [each for each in there if not each.enabled]:
        names = ", ".join(each.name for each in disabled)
        raise ValueError(f"disabled: {names}; run: prefect automation resume --id {disabled[0].id}")
    return f"{len(there)}, enabled"


def check_pools(client: SyncPrefectClient, project: Project) -> str:
    """Check that each work pool is there and not paused."""
    for pool in project.pools:
        try:
            found = client.read_work_pool(pool)
        except ObjectNotFound:
            raise ValueError(f"the server has no work pool {pool}; run: bertline deploy") from None
        if found.is_paused:
            raise ValueError(f"the work pool {pool} is paused; run: prefect work-pool resume {pool}")
    return ", ".join(project.pools)


def check_workers(client: SyncPrefectClient, project: Project) -> str:
    """Check that a worker polls each work pool."""
    lines = []
    for pool in project.pools:
        try:
            workers = client.read_workers_for_work_pool(pool)
        except ObjectNotFound:
            raise ValueError(f"the server has no work pool {pool}; run: bertline deploy") from None
        online = [each.name for each in workers if each.status == "ONLINE"]
        if not online:
            beats = [each.last_heartbeat_time for each in workers if each.last_heartbeat_time]
            last = f" since {max(beats):%Y-%m-%d %H:%M} UTC" if beats else ""
            raise ValueError(
                f"no worker polls the work pool {pool}{last}; run: make up, "
                f"or in the checkout of the worker: prefect worker start --pool {pool}"
            )
        lines.append(f"{', '.join(online)} polls {pool}")
    return "; ".join(lines)


def check_late_runs(client: SyncPrefectClient, project: Project) -> str:
    """Check that no run waits for a worker beyond its time."""
    late = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[project.name]),
            state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Late"])),
        )
    )
    if late:
        first = min(each.expected_start_time for each in late if each.expected_start_time)
        raise ValueError(
            f"{len(late)} late, the first since {first:%Y-%m-%d %H:%M} UTC: no worker takes them, or another "
            "run does not end; see: prefect flow-run ls --state Late, and start a worker: make up"
        )
    return "none is late"


def _address(client: SyncPrefectClient) -> str:
    return str(client.api_url).removesuffix("/").removesuffix("/api")


CHECKS: tuple[tuple[str, Callable[[SyncPrefectClient, Project], str]], ...] = (
    ("server", check_version),
    ("deployments", check_deployments),
    ("others", check_older_deployments),
    ("automations", check_automations),
    ("work pools", check_pools),
    ("workers", check_workers),
    ("late runs", check_late_runs),
)
