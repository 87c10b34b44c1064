"""The cool-down, for runs that a real automation and a person have started."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.events import DeploymentEventTrigger, emit_event
from prefect.flow_engine import run_flow

from bertline.promotion.run_log import LOG
from flows.retraining import cooldown
from flows.retraining.run_label import run_name, why_it_runs
from tests.support.waiting import send_until


@flow(flow_run_name=run_name)
def retraining(why: str = "") -> tuple[str, str | None]:
    return why_it_runs(), cooldown.postponed(Path.cwd())


def judged(root: Path, seconds_ago: int) -> None:
    """Let a run have come to a verdict so many seconds ago."""
    (root / LOG).parent.mkdir(exist_ok=True)
    (root / LOG).write_text(f'{{"at": {int(time.time()) - seconds_ago}, "verdict": "keep"}}\n')


@pytest.fixture
def deployment(client: SyncPrefectClient) -> Iterator[UUID]:
    made = client.create_deployment(flow_id=client.create_flow(retraining), name=f"project-{uuid4()}")
    yield made
    client.delete_deployment(made)


def runs(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    return client.read_flow_runs(deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])))


@pytest.fixture
def by_event(client: SyncPrefectClient, deployment: UUID) -> Iterator[FlowRun]:
    """A run of the deployment that its trigger has started."""
    name = f"delivery-{uuid4()}"
    trigger = DeploymentEventTrigger(expect={name}, name=name)
    trigger.set_deployment_id(deployment)
    automation = client.create_automation(trigger.as_automation())
    send_until(
        lambda: emit_event(name, resource={"prefect.resource.id": "toy"}), lambda: runs(client, deployment)
    )
    [run] = runs(client, deployment)
    yield run
    client.delete_automation(automation)


def test_an_event_within_the_cool_down_is_made_up_for_by_one_run_at_its_end(
    project: Path, client: SyncPrefectClient, deployment: UUID, by_event: FlowRun
) -> None:
    judged(project, seconds_ago=100)
    why, reason = run_flow(retraining, flow_run=by_event)
    assert why == "event"
    assert re.match(r"cool-down until \d{4}-.* UTC \(flow\.cooldown: 600 .*; a run is scheduled for", reason)
    [later] = [run for run in runs(client, deployment) if run.id != by_event.id]
    assert later.expected_start_time
    assert by_event.expected_start_time
    assert 400 < (later.expected_start_time - by_event.expected_start_time).total_seconds() < 600
    assert later.created_by is None  # so it is not held up itself
    assert later.parameters == {"why": "event, after the cool-down"}


def test_an_event_after_the_cool_down_starts_a_retraining(project: Path, by_event: FlowRun) -> None:
    judged(project, seconds_ago=601)
    assert run_flow(retraining, flow_run=by_event) == ("event", None)


def test_a_person_is_not_held_up(project: Path) -> None:
    judged(project, seconds_ago=0)
    assert retraining() == ("by hand", None)
