import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.ingest.samples import read_sample
from bertline.stages.validate.result import BatchMetric
from bertline.stages.validate.token_contract import measure_tokens
from bertline.tokens.pretrained import find_pretrained
from bertline.tokens.truncation import load_tokenizer

ALLOWED = 0.05  # validate.max_unknown_tokens
CHINESE = [
    "今天天气很好我们去公园散步吧。",
    "这家餐厅的服务太差了我再也不会来了。",
    "请问从北京到上海的高铁票多少钱。",
    "手机屏幕坏了客服说要等两个星期才能修好。",
    "他昨天晚上看了一部关于长城历史的纪录片。",
]


def measure(
    texts: list[str], max_length: int | None = 128, pairs: list[str] | None = None
) -> dict[str, BatchMetric]:
    tokenizer = load_tokenizer(find_pretrained("sample:all-MiniLM-L6-v2"))
    return measure_tokens(tokenizer, max_length, add_ids(make_rows(texts, "a", text_pair=pairs)))


def test_chinese_text_on_an_english_vocabulary_is_far_above_what_is_allowed() -> None:
    metric = measure(CHINESE)["unknown_tokens"]
    assert metric.value > 5 * ALLOWED
    assert "choose another tokenize.weights" in metric.detail


@pytest.mark.parametrize("name", ["trec", "sms-spam"])
def test_english_text_on_an_english_vocabulary_is_far_below(name: str) -> None:
    assert measure(read_sample(f"sample:{name}").texts)["unknown_tokens"].value < ALLOWED / 5


def test_special_tokens_are_no_part_of_the_share() -> None:
    assert measure(["今今", "hello"])["unknown_tokens"].value == 2 / 3


def test_a_text_longer_than_the_limit_counts_as_truncated() -> None:
    metric = measure(["one two three", "one two three four"], max_length=5)["truncated"]
    assert metric == BatchMetric(
        0.5, "50 % of the texts are longer than 5 tokens and are cut there (tokenize.max_length)"
    )


def test_of_a_sentence_pair_both_texts_count() -> None:
    metrics = measure(["one two"], max_length=6, pairs=["three 今"])
    assert metrics["unknown_tokens"].value == 1 / 4
    assert metrics["truncated"].value == 1  # [CLS] one two [SEP] three ... [SEP] are 7


def test_texts_that_are_read_whole_are_not_truncated() -> None:
    assert set(measure(["one two three"], max_length=None)) == {"unknown_tokens", "merged_words"}


@pytest.mark.parametrize(
    ("model", "share"),
    [
        (models.WordLevel({"a": 0, "?": 1}, unk_token="?"), 0.5),
        (models.Unigram([("a", -1.0), ("?", -2.0)], unk_id=1), 0.5),
        (models.BPE({"a": 0, "b": 1}, []), 0.0),
    ],
)
def test_every_kind_of_tokenizer_is_asked_for_its_own_unknown_token(
    model: models.Model, share: float
) -> None:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    metrics = measure_tokens(tokenizer, 128, add_ids(make_rows(["a b"], "x")))
    assert metrics["unknown_tokens"].value == share


def test_no_rows_are_no_error() -> None:
    assert [metric.value for metric in measure([]).values()] == [0, 0, 0]
