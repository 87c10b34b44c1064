import os
import subprocess
import sys

import pytest

from flows.environment import bypass_proxies_on_loopback, require_usable

LOOPBACK = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ({}, LOOPBACK),
        ({"NO_PROXY": "intranet"}, f"intranet,{LOOPBACK}"),
        ({"no_proxy": "a, b", "NO_PROXY": "ignored"}, f"a,b,{LOOPBACK}"),
        ({"no_proxy": "localhost"}, "localhost,127.0.0.1,::1"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_loopback_joins_the_hosts_that_need_no_proxy(given: dict[str, str], hosts: str) -> None:
    environment = dict(given)
    bypass_proxies_on_loopback(environment)
    assert environment == {"no_proxy": hosts, "NO_PROXY": hosts}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSL_CERT_FILE", "/no/such/file.pem"),
        ("HTTP_PROXY", "ftp://user:hunter2@127.0.0.1:9"),
        ("https_proxy", "socks4://127.0.0.1:9"),
    ],
)
def test_a_setting_with_which_no_client_can_be_made_is_named_without_its_value(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=rf"{variable}.*; mend or unset it$") as error:
        require_usable()
    assert value not in str(error.value)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "socks5h://127.0.0.1:9"])
def test_every_usual_kind_of_proxy_can_be_used(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, proxy)
    require_usable()


def test_a_setting_that_prefect_does_not_take_is_one_line_without_its_value() -> None:
    env = os.environ | {"PREFECT_SERVER_DATABASE_TIMEOUT": "hunter2"}
    command = [sys.executable, "-m", "flows.up"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: Prefect does not take PREFECT_SERVER_DATABASE_TIMEOUT: Input should be a ")
    assert "hunter2" not in line
