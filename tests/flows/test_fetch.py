import json
import logging
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect import flow
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter

from bertline.core.params_loading import load_params
from bertline.params.fetch import Params
from flows import fetch as fetching
from flows import retrain
from flows.watch import DELIVERY, Watcher
from tests.support.waiting import wait_until

QUERY = "SELECT text, label FROM tickets"


@pytest.fixture
def tickets(project: Path) -> str:
    """The URL of a database with one ticket."""
    path = project.parent / "tickets.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE tickets AS SELECT 'a' AS text, 'b' AS label")
    return f"sqlite:///{path}"


@pytest.fixture
def ask(project: Path) -> Callable[..., None]:
    """Write the section `fetch` of params.yaml."""

    def write(**knobs: str) -> None:
        path = project / "params.yaml"
        head, tail = path.read_text().split("\ningest:", 1)
        for key, value in knobs.items():
            head = re.sub(rf"(?m)^  {key}: .*$", f"  {key}: {json.dumps(value)}", head)
        path.write_text(f"{head}\ningest:{tail}")

    return write


def run_fetch(name: str) -> list[Path]:
    """Fetch in a flow, with no time between the attempts."""

    @flow(name="fetching", flow_run_name=name)
    def run() -> list[Path]:
        return fetching.fetch.with_options(retry_delay_seconds=0)(load_params(Params))

    return run()


def attempts(name: str) -> int:
    with get_client(sync_client=True) as client:
        (run,) = client.read_task_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])))
        assert run.name == "fetch"
        return run.run_count


def test_a_retraining_fetches_first(
    tickets: str, ask: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    ask(source=tickets, query=QUERY)
    with caplog.at_level(logging.INFO):
        retrain.retrain()
    assert Path("data/incoming/fetched.parquet").is_file()
    shown = [record.getMessage() for record in caplog.records]
    fetched, first_stage = (
        shown.index(line) for line in ("data/incoming/fetched.parquet: 1 rows", "up to date")
    )
    assert fetched < first_stage


def test_without_a_source_there_is_no_task(project: Path) -> None:
    @flow(name="fetching", flow_run_name="without")
    def run() -> None:
        fetching.fetch_if_asked(Path.cwd())

    run()
    with get_client(sync_client=True) as client:
        filters = FlowRunFilter(name=FlowRunFilterName(any_=["without"]))
        assert client.read_task_runs(flow_run_filter=filters) == []


def test_a_secret_block_stands_in_for_a_variable_that_is_not_set(
    tickets: str, ask: Callable[..., None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(source="env:TICKET_STORE", query=QUERY)
    Secret(value=tickets).save("ticket-store", overwrite=True)
    with caplog.at_level(logging.DEBUG):
        assert run_fetch("secret") == [Path("data/incoming/fetched.parquet")]
    assert tickets not in caplog.text
    monkeypatch.setenv("TICKET_STORE", "sqlite:///elsewhere.db")
    with pytest.raises(ValueError, match="there is no database file"):
        run_fetch("variable first")


def test_neither_variable_nor_block_is_the_users_mistake_and_not_retried(
    project: Path, ask: Callable[..., None]
) -> None:
    ask(source="env:NO_SUCH_STORE", query=QUERY)
    with pytest.raises(ValueError, match=r"NO_SUCH_STORE is not set; .* block 'no-such-store'"):
        run_fetch("mistake")
    assert attempts("mistake") == 1


def test_a_database_that_is_down_is_retried_and_its_password_is_in_no_log(
    project: Path, ask: Callable[..., None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(source="env:WAREHOUSE_URL", query=QUERY)
    monkeypatch.setenv("WAREHOUSE_URL", "postgresql://owner:hunter2@127.0.0.1:1/db")
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(OSError, match=r"^fetch.source env:WAREHOUSE_URL: cannot connect"),
    ):
        run_fetch("down")
    assert attempts("down") == 4
    assert "Connection refused" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_failing_fetch_ends_the_retraining_with_one_error_line(
    project: Path, ask: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    ask(source="sqlite:///missing.db", query=QUERY)
    assert retrain.main([]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "error: fetch.source sqlite:///missing.db: there is no database file missing.db"


def test_new_rows_are_told_once_and_not_again_by_the_watcher(
    project: Path, tickets: str, ask: Callable[..., None]
) -> None:
    (project / "prefect.yaml").write_text("name: toy\ndeployments: []\n")
    ask(source=tickets, query=QUERY)
    states = [fetching.fetch_deliveries(return_state=True) for _ in range(2)]
    assert [state.name for state in states] == ["Fetched", "NothingNew"]
    watcher = Watcher(project)
    assert [watcher.look(), watcher.look()] == [[], []]
    since = datetime.now(UTC) - timedelta(hours=1)
    sent = EventFilter(event=EventNameFilter(name=[DELIVERY]), occurred=EventOccurredFilter(since=since))

    def told() -> list[list[str]]:
        found = client.request("POST", "/events/filter", json={"filter": sent.model_dump(mode="json")}).json()
        return [
            each["payload"]["files"] for each in found["events"] if "project.toy" in str(each["resource"])
        ]

    with get_client(sync_client=True) as client:
        wait_until(told)
        assert told() == [["data/incoming/fetched.parquet"]]
