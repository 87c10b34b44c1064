"""Messages to people: automations that send what a run's state says to blocks of the Prefect server.

The server sends them, so that a run, a worker or a machine that is gone needs to send nothing. Secrets stay
in the blocks. Nobody tells that the server itself is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL

from flows.retraining.end_states import BAD_ENDS, GOOD_ENDS
from flows.retraining.trend import SUMMARY

LATE = timedelta(minutes=10)
_FORGOTTEN = timedelta(days=60)  # a run that ends well this long after a failed one is no news


@dataclass(frozen=True, kw_only=True)
class Message:
    """A kind of message: which events send it, what it is about, and what a person does next."""

    states: tuple[str, ...]
    subject: str
    next: str
    says: str = (
        "{% if flow_run %}{{ flow_run.name }}: {{ flow_run.state.name }}"
        "{% if flow_run.state.message %}. {{ flow_run.state.message }}{% endif %}\n{% endif %}"
    )
    """The template of what happened and why: how the run ended."""


RUNS = {
    "promoted": Message(
        states=("Promoted",),
        subject="a new model is the champion",
        next="bertline history; bertline rollback",
    ),
    "kept": Message(states=("Kept",), subject="the champion stays", next="bertline promote --dry-run"),
    "needs_person": Message(
        states=("NeedsPerson",), subject="a model needs your decision", next="bertline promote --dry-run"
    ),
    "batch_stopped": Message(
        states=("BatchStopped",), subject="the batch was stopped", next="bertline quarantine --help"
    ),
    "failed": Message(states=("Failed", "TimedOut"), subject="a retraining failed", next="bertline doctor"),
    "crashed": Message(
        states=("Crashed",),
        subject="a retraining crashed",
        next="bertline doctor; the next run goes on from there",
    ),
}


def message_automations(
    project: str, kinds: Sequence[str], blocks: Sequence[UUID], *, overdue: timedelta, late: timedelta = LATE
) -> list[AutomationCore]:
    """Return the automations that tell `blocks` about `kinds` of events of `project`'s runs."""
    if not blocks:
        return []
    found = [
        _automation(project, kind, RUNS[kind], blocks, expect=events(*RUNS[kind].states))
        for kind in kinds
        if kind in RUNS
    ]
    if "recovered" in kinds:
        recovered = Message(states=(), subject="retraining works again", next="bertline history")
        found.append(
            _automation(
                project,
                "recovered",
                recovered,
                blocks,
                after=events(*BAD_ENDS),
                expect=events(*GOOD_ENDS),
                within=_FORGOTTEN,
            )
        )
    if "summary" in kinds:
        week = Message(
            states=(),
            subject="the last week",
            next="bertline history --all",
            says="{{ event.payload.summary }}\n",
        )
        found.append(_automation(project, "summary", week, blocks, expect={SUMMARY}))
    if "overdue" in kinds:
        found += _overdue(project, blocks, overdue, late)
    return found


def events(*states: str) -> set[str]:
    """Return the names of the events of runs that enter `states`."""
    return {f"prefect.flow-run.{state}" for state in states}


def of(project: str) -> ResourceSpecification:
    """Return what the events of `project`'s runs are related to: its tag."""
    return ResourceSpecification(
        {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{project}"}
    )


def find_blocks(client: SyncPrefectClient, names: Sequence[str]) -> list[UUID]:
    """Return the ids of the blocks `names`, each as TYPE/NAME.

    Raises:
        ValueError: the server does not have one, or it cannot send messages. No message shows an address.
    """
    return [_find_block(client, name) for name in names]


def _find_block(client: SyncPrefectClient, slug: str) -> UUID:
    kind, _, name = slug.partition("/")
    make = f"make it on the page {_pages()}/blocks/catalog (docs/operations.md)"
    try:
        document = client.read_block_document_by_name(name=name, block_type_slug=kind)
    except ObjectNotFound:
        raise ValueError(f"flow.notify names {slug}, but the server has no such block; {make}") from None
    block = Block._from_block_document(document)
    if "notify" not in block.get_block_capabilities():
        raise ValueError(f"flow.notify names {slug}, which sends no messages; {make}")
    if len(getattr(block, "_apprise_client", "anything")) == 0:
        form = "https://hooks.slack.com/services/T.../B.../..., or mailto://... for mail"
        raise ValueError(f"flow.notify names {slug}, whose address is not of the form {form}; {make}")
    return document.id


def _overdue(
    project: str, blocks: Sequence[UUID], overdue: timedelta, late: timedelta
) -> list[AutomationCore]:
    ends = events(*GOOD_ENDS, *BAD_ENDS)
    no_worker = Message(
        states=(), subject="a run does not start, and no worker is at work", next="bertline doctor"
    )
    silent = Message(states=(), subject=f"no run has ended for {_length(overdue)}", next="bertline doctor")
    return [
        _automation(
            project,
            "late runs",
            no_worker,
            blocks,
            after=events("Late"),
            expect=events("Pending", "Running", "heartbeat", "Cancelled") | ends,
            # No event has this label, so there is one count for the project. Without any label, Prefect would
            # begin to count by itself, not after a late run.
            for_each={"bertline.project"},
            posture=Posture.Proactive,
            within=late,
        ),
        # Each end begins a new count; the first begins when the automation is made.
        _automation(
            project,
            "silence",
            silent,
            blocks,
            after=ends,
            expect=ends,
            posture=Posture.Proactive,
            within=overdue,
        ),
    ]


def _automation(
    project: str, kind: str, message: Message, blocks: Sequence[UUID], **trigger: object
) -> AutomationCore:
    return AutomationCore(
        name=f"{project}: tell about {kind.replace('_', ' ')}",
        description=f"Sends a message: {message.subject}.",
        tags=[project],
        trigger=EventTrigger.model_validate(
            {
                "posture": Posture.Reactive,
                "match": {"prefect.resource.id": "prefect.flow-run.*"},
                "match_related": of(project),
                "threshold": 1,
            }
            | trigger
        ),
        actions=[
            SendNotification(
                block_document_id=block,
                subject=f"{project}: {message.subject}",
                body=_body(message),
            )
            for block in blocks
        ],
    )


def _body(message: Message) -> str:
    """Return the template of a message: what and why, the next command, and a link to the run."""
    return (
        f"{message.says}Next: {message.next}"
        f"{{% if flow_run %}}\n{_pages()}/runs/flow-run/{{{{ flow_run.id }}}}{{% endif %}}"
    )


def _pages() -> str:
    """Return the address of the server's pages; the server itself knows none unless it is told."""
    return str(PREFECT_UI_URL.value() or PREFECT_API_URL.value()).removesuffix("/").removesuffix("/api")


def _length(time: timedelta) -> str:
    return f"{time.days} days" if time.days else f"{time.seconds} seconds"
