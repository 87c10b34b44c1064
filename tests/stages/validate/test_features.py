from dataclasses import replace

import pyarrow as pa
import pytest

from bertline.rows.labels import SINGLE_LABEL
from bertline.stages.validate.features import FEATURES, Featurizer
from tests.support.validating import rows, validate_params

PARAMS = validate_params()
NONE = pa.array([], pa.string())


def features(*texts, scripts=None):
    params = replace(PARAMS, scripts=scripts)
    table = rows(*((text, "ham") for text in texts))
    return Featurizer(params, NONE, SINGLE_LABEL).compute(table)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "tab\tand\r\nline",
        "na\u00efve caf\u00e9",
        "\u00abCAF\u00c9\u00bb",
        "\u65e5\u672c\u8a9e",
        "\u0414\u0430",
        "5 \u00d7 3",
        "\U0001f600",
        # Quotes, dots and dashes after a letter that mojibake begins with.
        "\u201cAMANH\u00c3\u201d",
        "IRM\u00c3\u2026",
        "ESPA\u00d1\u2026",
        "\u201e\u00c4\u201c",
        "\u00c5\u201c",
        "perch\u00e9\u2026\u201d",
        "citt\u00e0\u2026\u201d",
        "\u201cCos\u00ec\u2026\u201d",
        "S\u00ec\u2026\u201d",
        "\u2018\u201cper\u00f2\u2026\u201d\u2019\u2026",
        "\u00ab\u00a0caf\u00e9\u00a0\u00bb",
        "perch\u00e9\u2026\u00bb",
        "2\u00d7\u00bd",
        "2\u00d7\u00a35",
        "3 \u00d7\u00a0100",
        # A no-break space before punctuation and units.
        "O\u00d9\u00a0!",
        "MA\u00cf\u00a0: oui",
        "\u00d8\u00a0120 mm",
    ],
)
def test_sound_text_is_not_damaged(text):
    assert features(text)["damaged"].to_pylist() == [0]


@pytest.mark.parametrize(
    "text",
    [
        "\u00fcber",
        "\u0434\u0430",
        "\u03b1\u03b2\u03b3",
        "\u65e5\u672c",
        "\u20ac 5",
        "voil\u00e0 !",
        "\u00abnon\u00bb 5",
        "\u2019s",
        "\u05d0\u05d1",
        "\u201cquoted\u201d",
        "dash \u2014 and \u2013",
        "c\u0153ur",
        "\u00d3scar",
        "\u0414\u0435\u043d\u044c",
        "\u05e9\u05dc\u05d5\u05dd",
        "\u0645\u0631\u062d\u0628\u0627",
        "\ud55c\uad6d\uc5b4",
        "\U0001f600",
    ],
)
def test_utf_8_that_was_read_as_windows_1252_or_latin_1_is_damaged(text):
    assert features(text.encode().decode("latin-1"))["damaged"][0].as_py() > 0.05
    try:
        mojibake = text.encode().decode("cp1252")
    except UnicodeDecodeError:  # five bytes mean nothing there
        return
    assert features(mojibake)["damaged"][0].as_py() > 0.05


def test_a_share_is_rounded_up_so_that_a_bound_is_kept_exactly():
    exactly, above = "\ufffd" + "x" * 19, "\ufffd" * 51 + "x" * 968
    assert features(exactly, above)["damaged"].to_pylist() == [0.05, 0.051]


@pytest.mark.parametrize(
    ("scripts", "text", "share"),
    [
        (["Latin"], "abc 123 !", 0.0),
        (["Latin"], "ab \u0434\u0430", 0.5),
        (["Latin", "Cyrillic"], "ab \u0434\u0430", 0.0),
        (
            ["Han", "Hiragana", "Katakana"],
            "\u30b3\u30fc\u30d2\u30fc",
            0.0,
        ),  # its long vowels are of no script
        (["Han"], "123", 0.0),
    ],
)
def test_foreign_is_the_share_of_letters_in_other_scripts(scripts, text, share):
    assert features(text, scripts=scripts)["foreign"].to_pylist() == [share]


def test_an_unknown_script_is_refused():
    with pytest.raises(ValueError, match=r"validate\.scripts names 'Klingon'; allowed: Unicode scripts"):
        features("a", scripts=["Klingon"])


def test_a_row_without_anything_has_features_of_nothing():
    table = Featurizer(PARAMS, NONE, SINGLE_LABEL).compute(rows((None, None)))
    assert table.schema.equals(FEATURES)
    present = {name for name, value in table.to_pylist()[0].items() if value is not None}
    assert present == {"readable", "text_present", "label_present", "one_label"}
