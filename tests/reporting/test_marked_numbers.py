import pytest

from bertline.reporting.marked_numbers import decimal, number, percent, points


@pytest.mark.parametrize(
    ("marked", "value", "text"),
    [
        (percent(0.94345), "0.94345", "94.3%"),
        (percent(0.95, 0), "0.95", "95%"),
        (points(-0.0312), "-0.0312", "-3.1"),
        (decimal(1234.5678), "1234.5678", "1,234.568"),
        (number(1234567), "1234567", "1,234,567"),
    ],
)
def test_a_number_says_what_it_was_rounded_from(marked: str, value: str, text: str) -> None:
    assert marked == f'<data value="{value}">{text}</data>'


def test_a_missing_number_is_said() -> None:
    assert "none" in percent(None)
