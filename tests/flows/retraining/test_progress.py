import json
from typing import Any

from prefect import flow, task
from prefect.client.orchestration import get_client

from bertline.core.progress_file import Progress
from flows.retraining.progress import describe, progress_file, shown_progress
from tests.support.waiting import wait_until


def progress(key: str) -> list[Any]:
    with get_client(sync_client=True) as client:
        return [each for each in client.read_artifacts() if each.key == key]


def test_the_artifact_of_a_training_follows_its_steps_while_it_runs() -> None:
    @task
    def stage() -> None:
        with progress_file() as path, shown_progress("My_stage", path, seconds=0.1):
            for done in (25, 50):
                found = {"done": done, "total": 100, "loss": 0.5, "seconds_left": 600}
                path.write_text(json.dumps(found))
                wait_until(lambda done=done: [each.data for each in progress("progress-my-stage")] == [done])

    @flow
    def training() -> None:
        stage()

    training()
    [artifact] = progress("progress-my-stage")
    assert artifact.description == "step 50 of 100, loss 0.5000, 10 minutes left"
    assert artifact.task_run_id


def test_a_stage_without_a_training_has_no_artifact() -> None:
    @flow(name="no training")
    def run() -> None:
        with progress_file() as path, shown_progress("quick", path, seconds=0.1):
            pass

    run()
    assert progress("progress-quick") == []


def test_long_times_are_in_hours_and_an_unknown_one_is_left_out() -> None:
    hours, unknown = (
        describe(Progress(done=1, total=2000, loss=1, seconds_left=each)) for each in (9000, None)
    )
    assert (hours, unknown) == (
        "step 1 of 2,000, loss 1.0000, 2.5 hours left",
        "step 1 of 2,000, loss 1.0000",
    )
