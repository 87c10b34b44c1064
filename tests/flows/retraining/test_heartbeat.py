from uuid import UUID

import httpx
from prefect import flow, tags
from prefect.settings import PREFECT_API_URL

from flows.retraining.heartbeat import heartbeats, without_heartbeat_of_prefect
from flows.retraining.run_label import current_run
from tests.support.waiting import wait_until


def beats(run: UUID) -> list[set[str]]:
    """The resources to which the heartbeats of a run are related, as the server has them."""
    name = f"prefect.flow-run.{run}"
    wanted = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "any_resource": {"id": [name]}}
    answer = httpx.post(f"{PREFECT_API_URL.value()}/events/filter", json={"filter": wanted}, trust_env=False)
    events = answer.raise_for_status().json()["events"]
    return [{each["prefect.resource.id"] for each in event["related"]} for event in events]


@flow
def beating(least: int) -> UUID:
    run = current_run().id
    with heartbeats(0.1):
        wait_until(lambda: len(beats(run)) >= least)
    return run


def test_a_run_by_hand_sends_heartbeats_by_which_the_server_knows_its_project() -> None:
    with without_heartbeat_of_prefect(), tags("my-project"):
        run = beating(3)
    assert all("prefect.tag.my-project" in related for related in beats(run))


def test_where_prefect_sends_heartbeats_there_are_no_others() -> None:
    with tags("my-project"):
        run = beating(1)  # Prefect's own, at the beginning; the next one would come after 30 seconds
    assert len(beats(run)) == 1
