"""Dialects are recognised from the whole file. Each test writes a small file that shows one of them."""

import csv
import io

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bertline.stages.ingest.delimited.reader import NO_NAME
from tests.support.ingesting import read, read_and_report

LABELS = ("delivery", "billing")
PLAIN = "comma-delimited, double-quoted, inner quotes doubled"


def read_texts(source, **knobs):
    """Return the texts of a file with sound records and known labels only, and its report."""
    rows, (file,) = read_and_report(source, **knobs)
    assert rows["fault"].null_count == len(rows)
    assert set(rows["label"].to_pylist()) <= set(LABELS)
    return rows["text"].to_pylist(), file


def lines_of(texts, form):
    """Return a line for each text, with a label that comes again."""
    return "".join(
        form.format(at=at, text=text, label=LABELS[at % 2]) for at, text in enumerate(texts, start=1)
    )


# The cases of public bug reports


@pytest.mark.parametrize(
    ("name", "header", "form"),
    [
        ("a.csv", '"text","label"\n', '"{at}","{text}","{label}"\n'),
        ("a.tsv", "text\tlabel\n", "{at}\t{text}\t{label}\n"),
        ("a.tsv", '"text"\t"label"\n', '"{at}"\t"{text}"\t"{label}"\n'),
    ],
)
def test_row_names_are_part_of_no_text(incoming, name, header, form):
    expected = [f"voucher and router are late, number {at}" for at in range(60)]
    texts, file = read_texts(incoming(name, header + lines_of(expected, form)))
    assert texts == expected
    assert file.dialect.endswith(", row names before the first column")
    assert file.dialect_doubt is None


@pytest.mark.parametrize(
    ("form", "odd", "text", "fault"),
    [
        ("{text},{label},\n", "late, again,billing,\n", "late, again", None),
        ("{text},{label},\n", "late, again,billing\n", "late, again,billing", NO_NAME),
        ("{at},{text},{label}\n", "late, again,billing\n", "late, again,billing", NO_NAME),
        ("{at},{text},{label}\n", "7,late, again,billing\n", "late, again", None),
    ],
)
def test_a_delimiter_in_a_text_never_moves_it_to_a_field_without_a_name(incoming, form, odd, text, fault):
    content = "text,label\n" + lines_of(["late"] * 300, form) + odd
    last = read(incoming("a.csv", content)).to_pylist()[-1]
    assert (last["text"], last["label"]) == (text, None if fault else "billing")
    assert last["fault"] == (f"line 302: {fault}" if fault else None)


def test_a_quoted_tsv_is_read_without_its_quotes_and_with_its_line_breaks(incoming):
    plain = lines_of(["the invoice is late"] * 50, "{text}\t{label}\n")
    quoted = '"He wrote: ""call me"""\tdelivery\n"first line\nsecond line"\tbilling\n'
    texts, file = read_texts(incoming("a.tsv", "text\tlabel\n" + plain + quoted))
    assert texts[-2:] == ['He wrote: "call me"', "first line\nsecond line"]
    assert (file.dialect, file.dialect_doubt) == ("tab-delimited, double-quoted, inner quotes doubled", None)


def test_a_name_of_a_column_may_hold_a_line_break(incoming):
    content = 'Case,"Customer\nmessage",Queue\n' + lines_of(["late, again"] * 3, '{at},"{text}",{label}\n')
    source = incoming("a.csv", content)
    for name in ("Customer\nmessage", "Customer message"):
        texts, _ = read_texts(source, text_column=name, label_column="Queue")
        assert texts == ["late, again"] * 3


def test_a_line_break_in_the_name_of_another_column_changes_nothing(incoming):
    content = 'text,label,"note\n(internal)"\n' + lines_of(["late, again"] * 3, '"{text}",{label},x\n')
    assert read_texts(incoming("a.csv", content))[0] == ["late, again"] * 3


def test_quotes_and_line_breaks_behind_a_backslash_are_part_of_the_text(incoming):
    said = lines_of(['He said \\"call me\\", twice', 'one\\\ntwo says \\"no\\"'], '"{text}","{label}"\n')
    plain = lines_of(["the invoice is late"] * 50, '"{text}","{label}"\n')
    texts, file = read_texts(incoming("a.csv", "text,label\n" + plain + said))
    assert texts[-2:] == ['He said "call me", twice', 'one\ntwo says "no"']
    escaped = "comma-delimited, double-quoted, inner quotes escaped by a backslash"
    assert (file.dialect, file.dialect_doubt) == (escaped, None)


# Every known dialect


def write(rows, *, quotes_all_with_spaces=False, **form):
    sink = io.StringIO()
    if quotes_all_with_spaces:
        for row in rows:
            sink.write(", ".join('"{}"'.format(each.replace('"', '""')) for each in row) + "\n")
    else:
        csv.writer(sink, lineterminator="\n", **form).writerows(rows)
    return sink.getvalue()


BACKSLASH = {"doublequote": False, "escapechar": "\\"}
DIALECTS = {
    "comma": ("a.csv", {}),
    "semicolon": ("a.csv", {"delimiter": ";"}),
    "pipe": ("a.csv", {"delimiter": "|"}),
    "tab": ("a.csv", {"delimiter": "\t"}),
    "everything quoted": ("a.csv", {"quoting": csv.QUOTE_ALL}),
    "spaces": ("a.csv", {"quotes_all_with_spaces": True}),
    "quoted tsv": ("a.tsv", {"delimiter": "\t"}),
    "tsv with all quoted": ("a.tsv", {"delimiter": "\t", "quoting": csv.QUOTE_ALL}),
    "single quotes": ("a.csv", {"quotechar": "'", "quoting": csv.QUOTE_ALL}),
    "escapes": ("a.csv", {**BACKSLASH, "quoting": csv.QUOTE_ALL}),
    "escapes, few quotes": ("a.csv", BACKSLASH),
    "single quotes, escapes": ("a.csv", {**BACKSLASH, "quotechar": "'", "quoting": csv.QUOTE_ALL}),
    "tsv with escapes": (
        "a.tsv",
        {**BACKSLASH, "delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None},
    ),
}
# Texts that no two dialects read alike, as a file of some length has them.
SHOWS = ['say "hi", it\'s', "so, what; a\ttab | or", "C:\\dir\\", "one\ntwo", 'a "b"\\', "it's"] * 2
TEXTS = st.lists(st.text(st.sampled_from("ab 'ä\"\\,;\t|\n01N"), min_size=1, max_size=9), max_size=9)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS, dialect=st.sampled_from(sorted(DIALECTS)))
@example(texts=["\\N", "\\\\", "5\\", '"', "''", "\\n"], dialect="comma")
@example(texts=["\\N", "\\\\", "5\\", '"', "''", "\\n"], dialect="escapes")
def test_what_pythons_csv_module_writes_in_a_known_dialect_is_read_as_it_was(incoming, texts, dialect):
    name, form = DIALECTS[dialect]
    expected = [*SHOWS, *texts]
    rows = [(text, LABELS[at % 2]) for at, text in enumerate(expected)]
    found, _ = read_texts(incoming(name, write([("text", "label"), *rows], **form)))
    assert found == expected


UNQUOTED = st.text(st.sampled_from("ab '\"\\,;01N"), min_size=1, max_size=9)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(UNQUOTED.filter(lambda text: text != r"\N"), max_size=9))  # such fields are nulls
@example(texts=["\\\\"] * 3)
def test_a_plain_tsv_is_read_as_it_was_written(incoming, texts):
    expected = ['"two', '"a" b', "C:\\dir", 'the "end', "it's"] * 2 + texts
    content = "".join(f"{text}\t{LABELS[at % 2]}\n" for at, text in enumerate(expected))
    found, _ = read_texts(incoming("a.tsv", "text\tlabel\n" + content))
    assert found == expected


# What the whole file shows, and its first lines do not


@pytest.mark.parametrize(
    ("name", "form", "last", "expected"),
    [
        ("a.csv", '"{text}","{label}"\n', '"\\"hi\\", he said","billing"\n', '"hi", he said'),
        ("a.tsv", "{text}\t{label}\n", '"a\nb"\tbilling\n', "a\nb"),
        ("a.csv", "{text}, {label}\n", '"a, b", "billing"\n', "a, b"),
    ],
)
def test_the_last_record_of_many_may_show_the_dialect(incoming, name, form, last, expected):
    header = form.format(text="text", label="label")
    source = incoming(name, header + lines_of(["the invoice is late"] * 3000, form) + last)
    assert read_texts(source)[0][-1] == expected


# Fields and lines that the header does not name


@pytest.mark.parametrize(
    "content",
    [
        "text,label\na,billing,\nb,delivery,\n",
        "text,label,\na,billing\nb,delivery\n",
        "text,label,,\na,billing,,\nb,delivery,,\n",
        "text|label|\na|billing|\nb|delivery|\n",
        ",text,label\n0,a,billing\n1,b,delivery\n",
        "text,label\n1,a,billing,\n2,b,delivery,\n",
        "label,text\nbilling,a,\ndelivery,b,\n",
        "text,label\na,billing,,\nb,delivery\n",
        "sep=;\ntext;label\na;billing\nb;delivery\n",
        "sep=^\ntext^label\na^billing\nb^delivery\n",
        "# by a tool\nA report, weekly\n\ntext,label\na,billing\nb,delivery\n",
        '\ufeff"text","label"\n"a","billing"\n"b","delivery"\n',
        "text,label\r\r\na,billing\r\r\nb,delivery\r\r\n",
        "text;price;label\na;1,5;billing\nb;2,5;delivery\n",
        '"text","label"\na,billing\nb,delivery\n',
        "'text','label'\n'a','billing'\n'b','delivery'\n",
    ],
)
def test_what_the_header_does_not_name_is_no_part_of_a_row(incoming, content):
    assert read_texts(incoming("a.csv", content))[0] == ["a", "b"]


def test_row_names_are_told_where_each_text_has_a_line_break(incoming):
    expected = [f"one\ntwo {at}" for at in range(9)]
    source = incoming("a.csv", '"text","label"\n' + lines_of(expected, '"{at}","{text}","{label}"\n'))
    assert read_texts(source)[0] == expected


def test_lines_end_with_a_carriage_return_where_the_others_stand_in_quotes(incoming):
    texts, _ = read_texts(incoming("a.csv", 'text,label\r"a\nb",billing\rc,delivery\r'))
    assert texts == ["a\nb", "c"]


def test_a_tsv_that_is_delimited_by_commas_is_read_as_csv(incoming):
    texts, file = read_texts(incoming("a.tsv", 'text,label\n"a, b",billing\n'))
    assert (texts, file.dialect) == (["a, b"], PLAIN)


def test_escapes_of_a_database_dump_become_what_they_stand_for(incoming):
    lines = "line\\none\tx\ntab\\there\ty\nback\\\\slash\tx\n\\N\ty\nline\\\ntwo\tx\n"
    rows, _ = read_and_report(incoming("a.tsv", "text\tlabel\n" + lines))
    assert rows["text"].to_pylist() == ["line\none", "tab\there", "back\\slash", "", "line\ntwo"]


def test_a_letter_behind_a_backslash_stays_where_the_file_leaves_other_backslashes_alone(incoming):
    content = 'text,label\n"he said \\"C:\\new\\"","billing"\n"\\d+","delivery"\n'
    assert read_texts(incoming("a.csv", content))[0] == ['he said "C:\\new"', "\\d+"]


@pytest.mark.parametrize("last", ["x,2026", "{at},y"])
def test_a_field_that_cannot_be_told_from_the_named_ones_is_an_error_that_names_the_dialect(incoming, last):
    content = "text,label\n" + lines_of(["late"] * 30, "{text},{label}," + last.format(at="no") + "\n")
    message = (
        rf"a\.csv: the records have 4 fields, but the header names 2: text, label \({PLAIN}\); name every"
    )
    with pytest.raises(ValueError, match=message):
        read_and_report(incoming("a.csv", content))


def test_a_header_that_comes_again_is_a_fault(incoming):
    rows, _ = read_and_report(incoming("a.csv", "text,label\na,x\nb,y\n text ,label\nc,x\n"))
    assert rows["fault"].to_pylist() == [None, None, "line 4: the header again", None]


# Doubt


@pytest.mark.parametrize(
    ("name", "content", "doubt"),
    [
        ("a.csv", "text,label\na,x\nb,y\n", None),
        ("a.csv", 'text,label\n"say ""hi""",x\nC:\\dir,y\n', None),
        ("a.tsv", 'text\tlabel\n"two\tx\nb\ty\n', None),
        ("a.tsv", 'text\tlabel\n"a"\tx\nb\ty\n', "the quotes around 1 text are kept as part of the text"),
        ("a.tsv", "text\tlabel\na\\nb\tx\nb\ty\n", "the backslashes of 1 line may be escapes and are kept"),
        ("a.csv", "text,label\nb,y,x,x\nb\nc\n", "it does not fit 3 of 3 lines"),
        (
            "a.csv",
            "text,label\n1,a,x\n",
            "every record has more fields than the header, and the surplus is taken as text",
        ),
    ],
)
def test_the_report_says_why_a_dialect_is_not_sure(incoming, name, content, doubt):
    _, (file,) = read_and_report(incoming(name, content))
    assert file.dialect_doubt == doubt


def test_dialects_that_explain_nearly_as_much_leave_a_doubt(incoming):
    escaped = '"a \\"b\\" c, d","x"\n' * 5
    doubled = '"a \\","x"\n' * 3
    _, (file,) = read_and_report(incoming("a.csv", "text,label\n" + escaped + doubled))
    assert file.dialect_doubt.endswith("did not fit comma-delimited, double-quoted, inner quotes doubled")


def test_the_lines_before_the_header_are_counted_in_the_report(incoming):
    _, (file,) = read_and_report(incoming("a.csv", "A title\n\ntext,label\na,x\n"))
    assert file.dialect == f"{PLAIN}, 1 line before the header"
