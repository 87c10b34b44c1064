import pytest

from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.ingest.samples import read_sample
from bertline.stages.validate.merged_words import measure_merged_words
from bertline.stages.validate.result import BatchMetric
from bertline.tokens.pretrained import find_pretrained
from bertline.tokens.truncation import load_tokenizer


def measure(texts: list[str]) -> BatchMetric:
    tokenizer = load_tokenizer(find_pretrained("sample:all-MiniLM-L6-v2"))
    return measure_merged_words(tokenizer, add_ids(make_rows(texts, "a")))


def test_words_that_the_tokenizer_makes_equal_are_counted_and_named() -> None:
    metric = measure(["कुल कल कुल घर", "कल घर", "यह"])
    assert metric.value == 2 / 4
    assert "50 % of the distinct words become equal to another word, for instance कल and कुल" in metric.detail


def test_case_makes_no_words_of_their_own() -> None:
    assert measure(["The cat the CAT"]) == BatchMetric(
        0.0, "0 % of the distinct words become equal to another word"
    )


@pytest.mark.parametrize("name", ["trec", "sms-spam"])
def test_english_words_hardly_ever_become_equal(name: str) -> None:
    assert measure(read_sample(f"sample:{name}").texts).value < 0.01


def test_the_pair_that_is_named_is_the_one_that_costs_most() -> None:
    metric = measure([*["el"] * 9, *["él"] * 2, *["si"] * 5, *["sí"] * 4, "sì"])
    assert metric.value == 1
    assert "for instance si and sí:" in metric.detail
