"""Data sets as `datasets` itself saves them; the hub cannot be reached from a test."""

import logging
from pathlib import Path

import datasets
import pytest

from tests.support.fetched import bring, files, rows

FEATURES = datasets.Features(
    {
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["ham", "spam"]),
        "topics": datasets.List(datasets.ClassLabel(names=["money", "love"])),
    }
)
ROWS = {"text": ["b", "a", "ü"], "label": [0, 1, -1], "topics": [[1, 0], [], None]}
NAMED = [("b", "ham", ["love", "money"]), ("a", "spam", []), ("ü", None, None)]


@pytest.fixture
def saved(project: Path) -> Path:
    """A data set with the splits train and test in the folder `mail`."""
    split = datasets.Dataset.from_dict(ROWS, features=FEATURES)
    datasets.DatasetDict(train=split, test=split.select([0])).save_to_disk("mail")
    return project / "mail"


def test_each_split_lands_in_its_own_file_with_class_names_in_order(saved: Path) -> None:
    assert bring("hub:mail") == [
        "data/incoming/fetched/mail-train.parquet: 3 rows",
        "data/incoming/fetched/mail-test.parquet: 1 rows",
    ]
    assert rows("data/incoming/fetched/mail-train.parquet") == NAMED
    assert rows("data/incoming/fetched/mail-test.parquet") == NAMED[:1]


def test_one_split_alone(saved: Path) -> None:
    assert bring("hub:mail", split="test") == ["data/incoming/fetched/mail-test.parquet: 1 rows"]
    with pytest.raises(ValueError, match=r"there is no split 'dev' \(fetch.split\); choose from train, test"):
        bring("hub:mail", split="dev")


def test_an_unchanged_split_is_not_touched(saved: Path) -> None:
    bring("hub:mail")
    assert all(shown.endswith(", unchanged") for shown in bring("hub:mail"))


def test_a_data_set_saved_without_splits_is_a_training_split(project: Path) -> None:
    datasets.Dataset.from_dict(ROWS, features=FEATURES).save_to_disk("one")
    assert bring("hub:./one") == ["data/incoming/fetched/one-train.parquet: 3 rows"]
    assert rows("data/incoming/fetched/one-train.parquet") == NAMED


def test_a_folder_of_data_files_is_read_anew_each_time(project: Path) -> None:
    folder = project / "files"
    folder.mkdir()
    (folder / "test.csv").write_text("text,label\nc,z\n")
    for label in ("x", "y"):
        (folder / "train.csv").write_text(f"text,label\na,{label}\n")
        bring("hub:files")
        assert rows("data/incoming/fetched/files-train.parquet") == [("a", label)]
    assert rows("data/incoming/fetched/files-test.parquet") == [("c", "z")]


def test_a_folder_that_cannot_be_read_is_one_line(
    project: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "broken").mkdir()
    with pytest.raises(ValueError, match="doesn't contain any data files"):
        bring("hub:./broken")
    (project / "broken/train.csv").write_text('text,label\na,b\na,b,c,d\n"')
    with pytest.raises(ValueError, match=r"^fetch.source hub:broken: Error tokenizing data") as error:
        bring("hub:broken")
    assert "\n" not in str(error.value)
    for source, says in [
        ("hub:./nowhere", "there is no such folder"),
        ("hub:a/b/c", "there is no such folder"),
    ]:
        with pytest.raises(ValueError, match=says):
            bring(source)
    assert not list(Path("data/incoming").iterdir())
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [("state.json", "{}", "KeyError: "), ("dataset_info.json", "[]", "AttributeError: ")],
)
def test_a_damaged_folder_is_one_line(project: Path, file: str, content: str, says: str) -> None:
    datasets.Dataset.from_dict(ROWS, features=FEATURES).save_to_disk("one")
    (project / "one" / file).write_text(content)
    before = files()
    message = rf"^fetch.source hub:one: the folder cannot be read as a data set \({says}.+\)$"
    with pytest.raises(ValueError, match=message):
        bring("hub:one")
    assert files() == before


def test_no_code_of_a_data_set_is_run(project: Path) -> None:
    (project / "script").mkdir()
    (project / "script/script.py").write_text("open('ran', 'w')")
    with pytest.raises(ValueError, match=r"^fetch.source hub:script: "):
        bring("hub:script")
    assert "ran" not in files()


def test_a_name_on_a_hub_that_does_not_answer_says_what_to_do(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_OFFLINE", True
    )  # without it, it tries for 20 seconds
    with pytest.raises(
        OSError, match=r"^fetch.source hub:owner/name@v1: the Hugging Face hub cannot be"
    ) as error:
        bring("hub:owner/name@v1")
    remedy = "with datasets' save_to_disk; copy the folder here and set fetch.source to hub:FOLDER ("
    assert remedy in str(error.value)
    assert caplog.text == ""
    assert logging.getLogger("datasets").level != logging.CRITICAL
