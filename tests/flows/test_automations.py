"""The project's automations on a real server."""

import sys
from collections.abc import Callable, Iterator
from contextlib import chdir
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect import flow, tags
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from prefect.states import Running

from bertline.core.params_loading import PARAMS_FILE
from flows import automations
from flows.automations import crash_silent_runs
from tests.support.toy_project import REPOSITORY
from tests.support.waiting import wait_until

WITHIN = timedelta(seconds=10)


@flow
def retraining() -> None: ...


@pytest.fixture
def name(client: SyncPrefectClient) -> Iterator[str]:
    """The name of a project; its automations are removed in the end."""
    name = f"project-{uuid4()}"
    yield name
    automations.delete(client, name)


@pytest.fixture
def command(project: Path, name: str, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Run `bertline automations` in the toy project, and return what it prints."""
    shipped = (REPOSITORY / "prefect.yaml").read_text()
    (project / "prefect.yaml").write_text(shipped.replace("name: bertline\n", f"name: {name}\n", 1))

    def command(what: str) -> str:
        with pytest.MonkeyPatch.context() as patch, chdir(project):
            patch.setattr(sys, "argv", ["bertline automations", what])
            status = automations.main()
        printed = capsys.readouterr()
        assert status == (1 if printed.err else 0)
        return printed.out + printed.err

    return command


def heartbeat(run: UUID, project: str) -> None:
    """Send what Prefect's client sends every 30 seconds."""
    tag = {"prefect.resource.id": f"prefect.tag.{project}", "prefect.resource.role": "tag"}
    emit_event(
        "prefect.flow-run.heartbeat", {"prefect.resource.id": f"prefect.flow-run.{run}"}, related=[tag]
    )


def start_run(client: SyncPrefectClient, project: str) -> FlowRun:
    """Begin a run that will never say anything again."""
    return client.create_flow_run(retraining, tags=[project], state=Running())


def test_a_silent_run_is_crashed_and_one_that_has_ended_or_is_of_another_project_is_not(
    client: SyncPrefectClient, name: str
) -> None:
    automations.apply(client, name, [crash_silent_runs(name, WITHIN)])
    with tags(name):
        ended = retraining(return_state=True).state_details.flow_run_id
    assert ended is not None
    heartbeat(ended, name)  # Prefect's client may send one after the end
    another, silent = start_run(client, "another"), start_run(client, name)

    def crashed() -> bool:
        state = client.read_flow_run(silent.id).state
        return state is not None and state.is_crashed()

    wait_until(crashed)
    states = [client.read_flow_run(run).state for run in (ended, another.id)]
    assert [state.name for state in states if state] == ["Completed", "Running"]


def test_applied_again_nothing_changes(command: Callable[[str], str], name: str) -> None:
    assert command("apply") == f"created {name}: crash silent runs\n"
    assert command("apply") == "nothing to change\n"


def test_one_that_was_disabled_stays_disabled(client: SyncPrefectClient, name: str) -> None:
    automations.apply(client, name, [crash_silent_runs(name)])
    (there,) = automations.applied(client, name)
    client.pause_automation(there.id)
    changed = automations.apply(client, name, [crash_silent_runs(name, WITHIN)])
    assert changed == [f"changed {name}: crash silent runs"]
    assert not automations.applied(client, name)[0].enabled


def test_what_is_not_wanted_any_more_is_deleted(command: Callable[[str], str], name: str) -> None:
    command("apply")
    assert command("list") == f"{name}: crash silent runs\n"
    assert command("delete") == f"deleted {name}: crash silent runs\n"
    assert command("list") == "there are none\n"


def test_a_block_that_is_missing_is_one_error_line_and_changes_nothing(
    command: Callable[[str], str], project: Path, client: SyncPrefectClient, name: str
) -> None:
    path = project / PARAMS_FILE
    path.write_text(path.read_text().replace("  notify: []", "  notify: [slack-webhook/nobody]"))
    (line,) = command("apply").splitlines()
    assert line.startswith("error: flow.notify names slack-webhook/nobody, but the server has no such block")
    assert automations.applied(client, name) == []
