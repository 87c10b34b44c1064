"""Files of a real S3 server, a real web server and the disk."""

import gzip
import os
from pathlib import Path

import pytest

from tests.support.fetched import bring, files

Web = tuple[str, Path]
FOLDER = Path("data/incoming/fetched")


@pytest.fixture
def shelf(project: Path) -> Path:
    """A folder beside the project's data that plays the part of a store."""
    folder = project.parent / "shelf"
    folder.mkdir()
    return folder


@pytest.fixture
def bucket(project: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> object:
    """A bucket with a new name; the credentials are where AWS's own tools look."""
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed (the extra `s3`)")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    store = s3fs.S3FileSystem(skip_instance_cache=True)
    store.mkdir("tickets")
    yield store
    store.rm("tickets", recursive=True)


def test_files_of_an_s3_glob_land_as_they_are_and_under_their_names(bucket: object) -> None:
    contents = {
        "a.csv": b"text,label\r\n\xff,1\n",
        "b.csv.gz": gzip.compress(b"text\n" * 1000),
        "c.txt": b"no",
    }
    for name, content in contents.items():
        bucket.pipe(f"tickets/2026/{name}", content)  # type: ignore[attr-defined]
    sizes = [len(contents[name]) for name in ("a.csv", "b.csv.gz")]
    assert bring("s3://tickets/2026/*.csv*") == [
        f"data/incoming/fetched/a.csv: {sizes[0]} bytes",
        f"data/incoming/fetched/b.csv.gz: {sizes[1]} bytes",
    ]
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == {
        name: content for name, content in contents.items() if name != "c.txt"
    }


def test_only_what_changed_in_a_bucket_is_replaced(bucket: object) -> None:
    for name in ("a", "b"):
        bucket.pipe(f"tickets/{name}.csv", b"old")  # type: ignore[attr-defined]
    bring("s3://tickets/*.csv")
    before = (FOLDER / "a.csv").stat().st_ino
    bucket.pipe("tickets/b.csv", b"new")  # type: ignore[attr-defined]
    bucket.pipe("tickets/c.csv", b"more")  # type: ignore[attr-defined]
    assert bring("s3://tickets/*.csv") == [
        "data/incoming/fetched/a.csv: 3 bytes, unchanged",
        "data/incoming/fetched/b.csv: 3 bytes",
        "data/incoming/fetched/c.csv: 4 bytes",
    ]
    assert (FOLDER / "a.csv").stat().st_ino == before
    assert (FOLDER / "b.csv").read_bytes() == b"new"


def test_a_missing_bucket_file_or_match_is_one_line(bucket: object) -> None:
    bucket.pipe("tickets/folder/a.csv", b"x")  # type: ignore[attr-defined]
    for url, says in [
        ("s3://no-such-bucket/a.csv", "there is no such file"),
        ("s3://tickets/missing.csv", "there is no such file"),
        ("s3://tickets/*.csv", "no file matches"),
        ("s3://tickets/folder", "this is a folder; name its files with a glob"),
    ]:
        with pytest.raises(ValueError, match=r"^fetch.source s3://") as error:
            bring(url)
        assert says in str(error.value)
        assert "\n" not in str(error.value)


def test_a_store_that_is_down_or_refuses_is_not_the_users_mistake(
    bucket: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(
        OSError, match=r"^fetch.source s3://tickets/a.csv: the store cannot be read \("
    ) as error:
        bring("s3://tickets/a.csv")
    assert "hunter2" not in str(error.value)


def test_a_file_of_the_web_lands_with_the_bytes_the_server_has(project: Path, web: Web) -> None:
    url, folder = web
    content = gzip.compress(os.urandom(100_000))
    (folder / "new tickets.csv.gz").write_bytes(content)
    assert len(bring(f"{url}/new%20tickets.csv.gz?version=2")) == 1
    assert (FOLDER / "new tickets.csv.gz").read_bytes() == content


def test_a_glob_of_the_web_follows_the_servers_index(project: Path, web: Web) -> None:
    url, folder = web
    for name in ("a.csv", "b.csv", "c.html"):
        (folder / name).write_text(name)
    assert bring(f"{url}/*.csv") == [f"data/incoming/fetched/{name}.csv: 5 bytes" for name in "ab"]


def test_a_page_that_is_not_there_is_the_users_mistake_and_a_server_that_is_down_is_not(
    project: Path, web: Web
) -> None:
    with pytest.raises(ValueError, match="there is no such file"):
        bring(f"{web[0]}/missing.csv")
    with pytest.raises(
        OSError, match=r"http://127.0.0.1:1/a.csv: the store cannot be read \(ClientConnector"
    ):
        bring("http://127.0.0.1:1/a.csv")
    assert files() == []


def test_a_transfer_that_breaks_off_leaves_the_old_file(project: Path) -> None:
    import socket
    import threading

    def serve(listener: socket.socket) -> None:
        for body in (b"old,,,", b"new"):  # the second time less than what was promised
            connection = listener.accept()[0]
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n" + body)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a.csv"
        bring(url)
        with pytest.raises(OSError, match="the store cannot be read"):
            bring(url)
        thread.join()
    assert files() == ["data/incoming/fetched/a.csv"]
    assert (FOLDER / "a.csv").read_bytes() == b"old,,,"


def test_two_files_of_one_name_are_refused(shelf: Path) -> None:
    for folder in ("x", "y"):
        (shelf / folder).mkdir()
        (shelf / folder / "a.csv").write_text(folder)
    with pytest.raises(ValueError, match=r"two files are called 'a.csv': .*/x/a.csv and .*/y/a.csv"):
        bring(f"file://{shelf}/*/a.csv")
    assert files() == []


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.parquet.gz", "a.csv.zip"])
def test_a_kind_of_file_that_ingest_does_not_read_is_refused(shelf: Path, name: str) -> None:
    (shelf / name).write_text("x")
    with pytest.raises(ValueError, match=rf"'{name}': unknown kind of file; allowed: \.csv"):
        bring(f"file://{shelf}/{name}")
    assert files() == []


@pytest.mark.parametrize("named", [".hid.csv", "*.csv"])
def test_a_file_that_ingest_ignores_is_refused(shelf: Path, named: str) -> None:
    for name in ("a.csv", ".hid.csv"):
        (shelf / name).write_text("x")
    with pytest.raises(ValueError, match=r"'\.hid\.csv' begins with a dot: `ingest` ignores such a file"):
        bring(f"file://{shelf}/{named}")
    assert files() == []


def test_a_query_to_files_is_refused(shelf: Path) -> None:
    with pytest.raises(ValueError, match="these are files, not a database"):
        bring(f"file://{shelf}/a.csv", query="SELECT 1")


def test_a_missing_package_is_named(project: Path) -> None:
    with pytest.raises(ValueError, match=r"a package is missing \(Please install gcsfs"):
        bring("gs://bucket/a.csv")
