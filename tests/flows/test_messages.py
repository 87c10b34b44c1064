"""Messages that a real server sends to real listeners on loopback, about real runs."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect import State, flow, tags
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from prefect.blocks.system import Secret
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Completed, Failed, Scheduled
from pydantic import SecretStr

from bertline.params.flow import MESSAGES
from bertline.promotion.run_log import LoggedRun
from flows import automations
from flows.messages import find_blocks, message_automations
from flows.retraining.trend import tell_week
from tests.support.inbox import Inbox

PROMOTED = Completed(name="Promoted", message="accuracy .940 against .931")
ENDS = {
    "a new model is the champion": PROMOTED,
    "the champion stays": Completed(name="Kept", message="not shown to be as good"),
    "a model needs your decision": Completed(name="NeedsPerson", message="the champion saw test rows"),
    "the batch was stopped": Failed(name="BatchStopped", message="41 % spam"),
    "a retraining failed": Failed(message="finetune failed"),
}
Tell = Callable[..., None]


@pytest.fixture
def project(client: SyncPrefectClient) -> Iterator[str]:
    name = f"project-{uuid4()}"
    yield name
    automations.delete(client, name)


def save(block: Block) -> str:
    """Save `block` on the server, and return what params.yaml calls it."""
    name = f"name-{uuid4()}"
    block.save(name)
    return f"{block.get_block_type_slug()}/{name}"


@pytest.fixture
def tell(client: SyncPrefectClient, project: str, webhook: Inbox) -> Tell:
    """Have messages of these kinds sent to `webhook`, or to the block that is given."""

    def tell(*kinds: str, block: str | None = None, **times: timedelta) -> None:
        hook = CustomWebhookNotificationBlock(
            name="hook", url=webhook.address, json_data={"subject": "{{subject}}", "body": "{{body}}"}
        )
        blocks = find_blocks(client, [block or save(hook)])
        wanted = message_automations(project, kinds, blocks, **{"overdue": timedelta(days=8)} | times)
        automations.apply(client, project, wanted)

    return tell


def end(project: str, state: State[Any]) -> str:
    """Run a flow of `project` that ends in `state`, and return the id of its run."""

    @flow
    def retraining() -> State[Any]:
        return State(type=state.type, name=state.name, message=state.message)  # one that no run had yet

    with tags(project):
        return str(retraining(return_state=True).state_details.flow_run_id)


def about(subject: str) -> Callable[[Any], bool]:
    return lambda message: bool(message["subject"].endswith(f": {subject}"))


def test_each_end_has_its_message_with_what_why_the_next_command_and_a_link(
    tell: Tell,
    project: str,
    webhook: Inbox,
) -> None:
    tell(*MESSAGES)
    for state in ENDS.values():
        run = end(project, state)
        subject = next(subject for subject, ended in ENDS.items() if ended is state)
        message = webhook.wait_for(about(subject))
        assert message["subject"] == f"{project}: {subject}"
        what, command, link = message["body"].splitlines()
        assert what.endswith(f": {state.name}. {state.message}")
        assert re.match(r"Next: bertline [a-z]+", command)
        assert re.fullmatch(rf"http://.*/runs/flow-run/{run}", link)


def test_a_run_that_completes_after_a_failed_one_is_told_once(
    tell: Tell,
    project: str,
    webhook: Inbox,
) -> None:
    tell("recovered", "kept")
    end(project, PROMOTED)
    end(project, Failed())
    end(project, PROMOTED)
    webhook.wait_for(about("retraining works again"))
    end(project, ENDS["the champion stays"])
    webhook.wait_for(about("the champion stays"))
    assert len(webhook.messages) == 2


def test_the_summary_of_a_week_is_told_with_a_link_to_the_run_that_made_it(
    tell: Tell, project: str, webhook: Inbox
) -> None:
    @flow
    def first_of_its_week() -> None:
        tell_week([LoggedRun(at=0, verdict="keep"), LoggedRun(at=int(time.time()), verdict="Failed")])

    tell("summary")
    with tags(project):
        run = first_of_its_week(return_state=True).state_details.flow_run_id
    what, command, link = webhook.wait_for(about("the last week"))["body"].splitlines()
    assert what == "since 1970-01-01: 1 kept, 1 failed"
    assert command == "Next: bertline history --all"
    assert link.endswith(f"/runs/flow-run/{run}")


def test_runs_of_another_project_are_not_told(tell: Tell, project: str, webhook: Inbox) -> None:
    tell("promoted", "kept")
    end("another", PROMOTED)
    end(project, ENDS["the champion stays"])
    webhook.wait_for(about("the champion stays"))
    assert len(webhook.messages) == 1


def test_mail_comes_with_its_lines(tell: Tell, project: str, mailbox: Inbox) -> None:
    url = f"mailto://{mailbox.address}/?mode=insecure&format=text&from=a@example.com&to=b@example.com"
    tell("promoted", block=save(SlackWebhook(url=SecretStr(url))))
    end(project, PROMOTED)
    mail = mailbox.wait_for(lambda mail: True)
    assert mail["subject"] == f"{project}: a new model is the champion"
    lines = mail.get_payload(decode=True).decode().splitlines()
    assert lines[0].endswith("Promoted. accuracy .940 against .931")
    assert lines[1].startswith("Next: ")


def test_silence_is_told_and_a_late_run_if_no_worker_is_at_work(
    tell: Tell,
    project: str,
    webhook: Inbox,
    client: SyncPrefectClient,
) -> None:
    tell("overdue", overdue=timedelta(seconds=10), late=timedelta(seconds=10))
    deployment = client.create_deployment(flow_id=client.create_flow(flow(end)), name=project, tags=[project])
    past = Scheduled(scheduled_time=datetime.now(UTC) - timedelta(minutes=5))
    client.create_flow_run_from_deployment(deployment, state=past)
    message = webhook.wait_for(about("a run does not start, and no worker is at work"))
    assert "Next: bertline doctor" in message["body"]
    webhook.wait_for(about("no run has ended for 10 seconds"))
    client.delete_deployment(deployment)


def test_a_block_that_the_server_does_not_have_is_an_error_that_says_where_to_make_it(
    client: SyncPrefectClient,
) -> None:
    with pytest.raises(ValueError, match=r"slack-webhook/nobody, but .* no such block; .*/blocks/catalog"):
        find_blocks(client, ["slack-webhook/nobody"])


def test_a_block_that_sends_no_messages_is_an_error(client: SyncPrefectClient) -> None:
    with pytest.raises(ValueError, match=r"which sends no messages"):
        find_blocks(client, [save(Secret(value=SecretStr("s")))])


def test_a_slack_block_with_the_address_of_an_incoming_webhook_is_taken(client: SyncPrefectClient) -> None:
    address = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert find_blocks(client, [save(SlackWebhook(url=SecretStr(address)))])


def test_a_slack_block_with_another_address_is_an_error_without_the_address(
    client: SyncPrefectClient,
) -> None:
    with pytest.raises(ValueError, match=r"is not of the form https://hooks\.slack\.com") as error:
        find_blocks(client, [save(SlackWebhook(url=SecretStr("http://127.0.0.1/secret")))])
    assert "secret" not in str(error.value)
