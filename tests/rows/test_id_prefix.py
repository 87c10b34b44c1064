import pytest

from bertline.rows.id_prefix import require_id, require_one, require_prefix


def test_a_prefix_names_the_one_row_whose_id_starts_with_it() -> None:
    ids = ["abcdef1", "abcdef1", "abcdee2"]
    assert require_one(require_prefix("ABCDEF"), ids, "row", "the list") == "abcdef1"


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("abcdef", r"abcdef stands for 2 rows \(abcdef1, abcdef2, \.\.\.\); give more digits"),
        ("abcde0", "no row has an id that starts with abcde0; see: the list"),
    ],
)
def test_no_row_and_several_rows_are_clear_errors(prefix: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_one(prefix, ["abcdef1", "abcdef2"], "row", "the list")


@pytest.mark.parametrize("value", ["", "12", "g" * 32, "A" * 32])
def test_a_whole_id_has_32_hex_digits(value: str) -> None:
    with pytest.raises(ValueError, match="expected the 32 hex digits of a row's id"):
        require_id(value, "id")
