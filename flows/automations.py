"""What Prefect's server does by itself for this project: `bertline automations apply|list|delete`.

Guarantees:

- Applied again, nothing changes. An automation is known by its name, which begins with the project's name;
  one that somebody disabled stays disabled.
- They see this project's runs alone, by the tag that each of them carries.
- A run that has ended keeps its state: the server refuses to crash it.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from bertline.core.params_loading import PARAMS_FILE, load_params
from bertline.params.flow import Params
from bertline.project.deployments import Project
from flows.connection import one_error, server
from flows.messages import events, find_blocks, message_automations, of
from flows.retraining.end_states import BAD_ENDS, GOOD_ENDS, OTHER_ENDS

# A run sends a heartbeat every 30 seconds (prefect.toml), so two in a row may be lost. The server looks every
# 5 seconds: a run that was killed is Crashed after 55 to 90 seconds.
SILENCE = timedelta(seconds=85)


def automations(client: SyncPrefectClient, project: str, params: Params) -> list[AutomationCore]:
    """Return the automations of `project` as they are to be on the server, which has the blocks they name."""
    blocks = find_blocks(client, params.notify)
    overdue = timedelta(days=params.overdue)
    return [
        crash_silent_runs(project),
        *message_automations(project, params.messages, blocks, overdue=overdue),
    ]


def apply_from(root: Path, client: SyncPrefectClient) -> list[str]:
    """Make the server's automations those that prefect.yaml and params.yaml of `root` ask for.

    Raises:
        ValueError: one of the two is wrong, or the server lacks a block that params.yaml names.
    """
    project = Project.read(root).name
    wanted = automations(client, project, load_params(Params, root / PARAMS_FILE))
    return apply(client, project, wanted)


def applied(client: SyncPrefectClient, project: str) -> list[Automation]:
    """Return the automations that the server has of `project`."""
    return [each for each in client.read_automations() if each.name.startswith(f"{project}: ")]


def missing_from(root: Path, client: SyncPrefectClient) -> list[str]:
    """Return the names of those that `apply_from` would create or change."""
    project = Project.read(root).name
    there = {each.name: _content(each) for each in applied(client, project)}
    wanted = automations(client, project, load_params(Params, root / PARAMS_FILE))
    return [each.name for each in wanted if there.get(each.name) != _content(each)]


def apply(client: SyncPrefectClient, project: str, wanted: Sequence[AutomationCore]) -> list[str]:
    """Make the server's automations of `project` those that are `wanted`; return a line on each change."""
    done: list[str] = []
    there = {each.name: each for each in applied(client, project)}
    for each in wanted:
        found = there.pop(each.name, None)
        if found is None:
            client.create_automation(each)
            done.append(f"created {each.name}")
        elif _content(found) != _content(each):
            client.update_automation(found.id, each.model_copy(update={"enabled": found.enabled}))
            done.append(f"changed {each.name}")
    return done + _delete(client, [*there.values()])


def delete(client: SyncPrefectClient, project: str) -> list[str]:
    """Delete the server's automations of `project`; return a line on each."""
    return _delete(client, applied(client, project))


def _delete(client: SyncPrefectClient, these: Sequence[Automation]) -> list[str]:
    for each in these:
        client.delete_automation(each.id)
    return [f"deleted {each.name}" for each in these]


def _content(automation: AutomationCore) -> dict[str, object]:
    """Return what two automations must share to be the same one."""
    return automation.model_dump(include={"name", "description", "tags", "trigger", "actions"})


def crash_silent_runs(project: str, silence: timedelta = SILENCE) -> AutomationCore:
    """Return the automation that marks a run Crashed after `silence`."""
    return AutomationCore(
        name=f"{project}: crash silent runs",
        description="A run that sends no heartbeats is gone: mark it Crashed, so that the next one starts.",
        tags=[project],
        trigger=EventTrigger(
            # Running, too: a run may die before its first heartbeat.
            after=events("Running", "heartbeat"),
            expect=events("heartbeat", *GOOD_ENDS, *BAD_ENDS, *OTHER_ENDS, "Cancelled"),
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=of(project),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=silence,
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                force=False,  # a run that ended meanwhile keeps its state
                state=StateType.CRASHED,
                message="No heartbeat came for 85 seconds: the machine, or the process of the run, is gone. "
                "The next run goes on from there.",
            )
        ],
    )


def _list(client: SyncPrefectClient, project: str) -> list[str]:
    return [f"{each.name}{'' if each.enabled else ' (disabled)'}" for each in applied(client, project)]


def main() -> int:
    """Apply, list or delete the automations of the current folder; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="bertline automations", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("what", choices=["apply", "list", "delete"])
    what = parser.parse_args().what
    root = Path.cwd()
    with one_error() as outcome, server(root), get_client(sync_client=True) as client:
        if what == "apply":
            lines = apply_from(root, client) or ["nothing to change"]
        else:
            act = delete if what == "delete" else _list
            lines = act(client, Project.read(root).name) or ["there are none"]
        print("\n".join(lines))
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
