"""Trials in which a part of a running retraining dies, and the file that collects how each of them went."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.recovery.site import Site
from tests.support.services import Services
from tests.support.toy_project import REPOSITORY, environment, template  # noqa: F401 - fixtures

SERIES = REPOSITORY / ".bertline/recovery.csv"


@pytest.fixture(scope="session")
def site(
    template: Path,  # noqa: F811
    shared_services: Services,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A project with a slow training, its server and its worker, which all trials share."""
    site = Site(template, tmp_path_factory.mktemp("site"), shared_services)
    yield site
    site.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # the report, in truth
    """Append a line on a trial to the file of the series."""
    report = yield
    kind = getattr(item, "callspec", None)
    if report.when == "call" and kind is not None and "kind" in kind.params:
        outcome = "ok" if report.passed else " ".join(str(call.excinfo and call.excinfo.value).split())[:300]
        SERIES.parent.mkdir(exist_ok=True)
        with SERIES.open("a", encoding="utf-8") as file:
            moment = datetime.now().astimezone().isoformat(timespec="seconds")
            file.write(f"{moment};{kind.params['kind']};{report.duration:.0f};{outcome}\n")
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many trials of each kind ended well, of all that the file has."""
    if not SERIES.exists():
        return
    good: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for line in SERIES.read_text("utf-8").splitlines():
        _, kind, _, outcome = line.split(";", 3)
        every[kind] += 1
        good[kind] += outcome == "ok"
    terminalreporter.section(f"recovery, all trials in {SERIES}")
    for kind, count in sorted(every.items()):
        terminalreporter.write_line(f"{kind:<16}{good[kind]} of {count}")
