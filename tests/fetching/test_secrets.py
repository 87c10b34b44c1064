"""Whatever goes wrong, no password is shown: searched for in everything that is printed."""

import gc
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from bertline.cli.app import app
from bertline.core.params_loading import load_params
from bertline.fetching.address import find_address
from bertline.params.fetch import Params
from tests.support.fetched import bring, rows
from tests.support.params import SHIPPED_PARAMS, section
from tests.support.postgresql import ENCODED, PASSWORD

SECRETS = (PASSWORD, ENCODED, *re.findall(r"\w{3,}", PASSWORD))


def write_params(folder: Path, source: str, query: str | None) -> None:
    head, tail = SHIPPED_PARAMS.read_text().split("\ningest:", 1)
    for key, value in ("source", source), ("query", query):
        head = re.sub(rf"(?m)^  {key}: null.*$", f"  {key}: {json.dumps(value)}", head)
    (folder / "params.yaml").write_text(f"{head}\ningest:{tail}")


@pytest.fixture
def printed(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[..., tuple[int, str]]:
    """Run `bertline fetch` with every logger at its loudest; return its status and what it printed."""

    def printed(source: str, query: str | None = "SELECT 1 AS n", **environment: str) -> tuple[int, str]:
        write_params(project, source, query)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with caplog.at_level(0):
            result = CliRunner().invoke(app, ["fetch"])
            gc.collect()  # what was not closed is told when it goes
        return result.exit_code, caplog.text + result.output

    return printed


def printed_by_a_process(folder: Path, **environment: str) -> tuple[int, str]:
    """Do the same in a process of its own, with the params.yaml that is there."""
    program = "import logging; logging.basicConfig(level=0)\nfrom bertline.cli.app import app; app(['fetch'])"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=os.environ | environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return result.returncode, result.stdout


def assert_no_secret(shown: str) -> None:
    assert [secret for secret in SECRETS if secret in shown] == []


def test_the_right_password_is_not_shown_either(project: Path, postgres: int) -> None:
    url = f"postgresql://owner:{ENCODED}@127.0.0.1:{postgres}/postgres"
    write_params(project, "env:WAREHOUSE_URL", "SELECT 1 AS n")
    status, shown = printed_by_a_process(project, WAREHOUSE_URL=url)
    assert (status, rows("data/incoming/fetched.parquet")) == (0, [(1,)])
    assert_no_secret(shown)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("postgresql://owner:{wrong}x@127.0.0.1:{port}/postgres", 'authentication failed for user "owner"'),
        ("postgresql://owner:{wrong}@127.0.0.1:1/postgres", "cannot connect: connection failed"),
        ("postgresql://owner:{wrong}@nowhere.invalid/postgres", "cannot connect"),
        (
            "postgresql://owner:{wrong}@127.0.0.1:{port}/postgres?passwort={wrong}",
            "invalid connection option",
        ),
        ("postgresql://owner:{raw}@x@127.0.0.1:{port}/postgres", "does not hold a valid URL"),
        ("postgresql:/owner:{wrong}@127.0.0.1:{port}/postgres", "does not hold a valid URL"),
        ("postgresql://owner@127.0.0.1:{wrong}/postgres", "not a URL like dialect"),
        ("owner:{wrong}@127.0.0.1:{port}/postgres", "does not hold a valid URL"),
        ("{wrong}", "does not hold a valid URL"),
        ("mysql+pymysql://owner:{wrong}@127.0.0.1/db", "needs the package pymysql"),
        ("http://owner:{wrong}@127.0.0.1:1/rows.csv", "the store cannot be read"),
        ("http://{wrong}@127.0.0.1:1/rows.csv", "is not allowed in login"),
        ("http://127.0.0.1:1/rows.csv?sig={wrong}", "the store cannot be read"),
    ],
)
def test_no_error_shows_a_password(
    printed: Callable[..., tuple[int, str]], postgres: int, template: str, says: str
) -> None:
    url = template.format(wrong=quote(PASSWORD, safe=""), raw=PASSWORD, port=postgres)
    query = None if url.startswith("http") else "SELECT 1 AS n"
    status, shown = printed("env:WAREHOUSE_URL", query, WAREHOUSE_URL=url)
    assert status == 1
    assert says in shown
    assert "error: " in shown.splitlines()[-1]
    assert_no_secret(shown)


TOKEN = "".join(f"{number:05}" for number in range(200))  # each five of its digits are in it once


@pytest.mark.parametrize(
    ("rest", "pieces"),
    [
        ("?sig=abcq%2fdefq%2Bghiq%3D", ["abcq", "defq", "ghiq"]),
        ("?X-Amz-Credential=AKIA%2feu&X-Amz-Security-Token=" + TOKEN, ["AKIA", TOKEN[:5], TOKEN[-5:]]),
        ("?a=1&sig=abcq'%2fdefq%2f%zz", ["abcq", "defq"]),
        ("?sig=ab%2fx", ["ab/x", "ab%2fx", "ab%2Fx"]),
    ],
)
@pytest.mark.parametrize("user", ["", "ow%6eer:hunt%65r2%2fx@"])
def test_a_url_that_was_quoted_anew_or_is_too_long_shows_no_secret(
    printed: Callable[..., tuple[int, str]], refusing: int, user: str, rest: str, pieces: list[str]
) -> None:
    url = f"http://{user}127.0.0.1:{refusing}/a.csv{rest}"
    status, shown = printed("env:U", None, U=url)
    assert status == 1
    assert "the store cannot be read (ClientResponseError: 403" in shown
    assert [piece for piece in [*pieces, "hunt", "owner:"] if piece in shown] == []


def test_a_process_that_ends_with_an_error_shows_no_secret_either(
    project: Path, refusing: int, postgres: int
) -> None:
    for url, query in (
        (f"http://owner:{ENCODED}@127.0.0.1:{refusing}/a.csv?sig={ENCODED}", None),
        (f"postgresql://owner:{ENCODED}x@127.0.0.1:{postgres}/postgres", "SELECT 1 AS n"),
    ):
        write_params(project, "env:U", query)
        status, shown = printed_by_a_process(project, U=url)
        assert status == 1
        assert "error: " in shown.splitlines()[-1]
        assert_no_secret(shown)


def test_a_long_error_is_cut_after_the_secrets_are_hidden(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("U", f"postgresql://owner@127.0.0.1:1/db?{'x' * 280}={TOKEN}")
    with pytest.raises(OSError, match=r"^fetch.source env:U: ") as error:
        bring("env:U", query="SELECT 1")
    assert TOKEN[:5] not in str(error.value)
    assert len(str(error.value)) < 700


def test_a_short_password_is_hidden_in_the_url_and_not_in_other_words() -> None:
    address = find_address("env:X", {"X": "http://me:se@host/a.csv"}.get)
    assert address.hide("the server refuses http://me:se@host/b") == "the server refuses http://***@host/b"


@pytest.mark.parametrize(
    "source",
    [
        "postgresql://owner:{}@host/db",
        "postgresql:/owner:{}@host/db",
        "postgresql://:{}@host/db",
        "owner:{}@host/db",
        "env:postgresql://owner:{}@host/db",
        "postgresql://host/db?user=owner&password={}",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BPWD%3D{}",
        "https://{}@host/rows.csv",
        "https://host/rows.csv?X-Amz-Signature={}",
        "HTTPS://{}@host/rows.csv",
        "env:Https://{}@host/rows.csv",
        "https://host/rows.csv?key={}",
        "https://host/rows.csv?a=1&AUTH={}",
        "https://host/rows.csv?code={}",
        "https://host/rows.csv?X-Amz-Credential={}",
    ],
)
def test_a_password_in_the_parameters_is_refused_and_not_repeated(project: Path, source: str) -> None:
    for secret in (PASSWORD, ENCODED, "hunter2"):
        write_params(project, source.format(secret), None)
        with pytest.raises(ValueError, match=r"^params.yaml: fetch.source seems to hold a password") as error:
            load_params(Params)
        assert_no_secret(str(error.value))


@pytest.mark.parametrize(
    "source",
    [
        "postgresql://owner@host:5432/db?sslmode=require",
        "postgresql:///db?host=/tmp",
        "sqlite:///C:/data/tickets.db",
        "s3://bucket/2026-*/part-?.csv",
        "s3://bucket/token/password=no/rows.csv",
        "https://host:8000/rows.csv?version=2",
        "hub:owner/name@v1.0",
    ],
)
def test_an_address_without_a_password_is_shown_as_it_is(source: str) -> None:
    assert section("fetch", source=source).source == source
    assert find_address(source, {}.get).shown == source


def test_a_variable_that_is_not_set_is_named_with_its_block(project: Path) -> None:
    with pytest.raises(ValueError, match=r"variable NO_SUCH_URL is not set; .* block 'no-such-url'"):
        bring("env:NO_SUCH_URL", query="SELECT 1")


def test_an_address_does_not_show_its_url_when_it_is_printed() -> None:
    address = find_address("env:X", {"X": f"postgresql://owner:{ENCODED}@host/db"}.get)
    assert_no_secret(f"{address} {address!r} {[address]}")
