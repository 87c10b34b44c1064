import csv
from collections import Counter

import pytest

from bertline.stages.ingest.delimited import csv_repair
from tests.support.ingesting import read, read_and_report


def texts_and_labels(rows):
    return list(zip(rows["text"].to_pylist(), rows["label"].to_pylist(), strict=True))


def read_csv(incoming, content, **knobs):
    """Return the (text, label) pairs of a CSV file, and how many of its records were repaired."""
    rows, (file,) = read_and_report(incoming("a.csv", content), **knobs)
    return texts_and_labels(rows), file.repaired_quotes


# Sound files


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_that_splits_the_header(incoming, delimiter):
    content = 'id,text,label\n1,"a_ b; c|d\te",x\n'.replace(",", delimiter)
    assert read_csv(incoming, content) == ([("a_ b; c|d\te", "x")], 0)


def test_a_delimiter_that_finds_no_column_is_an_error_that_lists_what_the_file_has(incoming):
    with pytest.raises(ValueError, match=r"a\.csv: no column 'label'.*the file has: id, text, class$"):
        read_csv(incoming, "id;text;class\n1;a;x\n")


def test_names_of_columns_may_be_quoted_and_spaced(incoming):
    assert read_csv(incoming, '"text", label \na,x\n') == ([("a", "x")], 0)


def test_a_quoted_line_break_stays_in_its_row(incoming):
    content = 'text,label\n"a\nb",x\n"Dear Tom,\r\n\r\nyours, Ann",x\n"say ""hi""\n",x\n'
    expected = [("a\nb", "x"), ("Dear Tom,\r\n\r\nyours, Ann", "x"), ('say "hi"\n', "x")]
    assert read_csv(incoming, content) == (expected, 0)


def test_windows_and_old_mac_line_ends_are_no_part_of_a_value(incoming):
    assert read_csv(incoming, "text,label\r\na,x\r\n\r\nb,y") == ([("a", "x"), ("b", "y")], 0)
    assert read_csv(incoming, "text,label\ra,x\rb,y\r") == ([("a", "x"), ("b", "y")], 0)


# Broken quotes


def test_quotes_inside_an_unquoted_value_need_no_repair(incoming):
    assert read_csv(incoming, 'text,label\nhe said "hi",x\n') == ([('he said "hi"', "x")], 0)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('"he said "hi", twice",x', 'he said "hi", twice'),
        ('"a" b,x', '"a" b'),
        ('"open,x', '"open'),
        ("a, b, c,x", "a, b, c"),
        ('"a" "b",x', 'a" "b'),
        ('"a ""b"" "c"",x', 'a "b" "c"'),
    ],
)
def test_a_broken_line_is_repaired_and_costs_no_other_line(incoming, line, text):
    content = f"text,label\nfirst,x\n{line}\nlast,y\n"
    assert read_csv(incoming, content) == ([("first", "x"), (text, "x"), ("last", "y")], 1)


@pytest.mark.parametrize(
    "closing",
    [
        '"four, five",y',  # the later record's opening quote, then text
        '", and four",y',  # then a delimiter: one field too many
        'four "five" six,y',
        "four,y",  # never: the end of the file
    ],
)
def test_a_quote_left_open_swallows_no_record_up_to_the_next_quote(incoming, closing):
    pairs, repaired = read_csv(incoming, f'text,label\none,x\n"two,y\nthree,x\n{closing}\nlast,x\n')
    assert len(pairs) == 5
    assert [text for text, _ in pairs[:3]] == ["one", '"two', "three"]
    assert [label for _, label in pairs] == ["x", "y", "x", "y", "x"]
    assert repaired >= 1


def test_a_record_whose_every_line_is_a_record_with_a_known_label_is_taken_apart(incoming):
    # Formally one sound record of two fields; in truth a stray quote opened it and another closed it.
    pairs, repaired = read_csv(incoming, 'text,label\none,x\nzero,y\n"two,y\nthree,x\n",y\nlast,x\n')
    assert pairs == [("one", "x"), ("zero", "y"), ('"two', "y"), ("three", "x"), ('"', "y"), ("last", "x")]
    assert repaired == 2


def test_label_before_text_is_taken_apart_too(incoming):
    pairs, _ = read_csv(incoming, 'label,text\nx,one\ny,zero\nx,"two\ny,three\nx,four"\n')
    assert pairs == [("one", "x"), ("zero", "y"), ('"two', "x"), ("three", "y"), ('four"', "x")]


@pytest.mark.parametrize("odd", ["malformed", "good,new label", '"quoted" badly,x'])
def test_one_odd_line_among_those_that_a_stray_quote_swallows_saves_none_of_them(incoming, odd):
    between = [f"between {at},y" for at in range(500)]
    between[250] = odd
    lines = ["text,label", "good,x", "good,y", '"stray quote,x', *between, '6 foot 5",y', "last,x"]
    rows, (file,) = read_and_report(incoming("a.csv", "\n".join(lines)))
    assert len(rows) == len(lines) - 1
    assert file.faults + file.repaired_quotes >= 1


def test_before_any_label_was_met_a_record_that_is_sound_by_chance_stays_one(incoming):
    assert read_csv(incoming, 'text,label\n"a,x\nb",y\n') == ([("a,x\nb", "y")], 0)


@pytest.mark.parametrize(
    "content",
    [
        'text,label\na,x\n"b\nc",x\n',
        'label,text\nx,a\nx,"b\nc"\n',
        'id,label,text\n1,x,a\n2,x,"b\nc"\n',
    ],
)
def test_the_line_with_the_label_of_a_record_is_no_reason_to_take_it_apart(incoming, content):
    assert read_csv(incoming, content) == ([("a", "x"), ("b\nc", "x")], 0)


def test_a_line_break_in_a_column_behind_the_label_is_no_reason_either(incoming):
    content = 'text,label,note\na,x,\nb,x,"c\nd"\n'
    assert read_csv(incoming, content) == ([("a", "x"), ("b", "x")], 0)


def test_a_label_never_holds_a_line_break(incoming):
    rows = read(incoming("a.csv", 'text,label\none,"x\ntwo,y"\nlast,x\n'))
    assert texts_and_labels(rows) == [('one,"x', None), ('two,y"', None), ("last", "x")]


def test_a_letter_with_commas_is_not_taken_apart(incoming):
    letter = "Dear Tom,\nplease call, today,\nyours,\nAnn"
    content = f'text,label\na,x\nb,\n"{letter}",x\n'
    assert read_csv(incoming, content) == ([("a", "x"), ("b", ""), (letter, "x")], 0)


def test_surplus_delimiters_belong_to_the_text_column(incoming):
    content = "id,text,date,label\n1,a, b, c,2024-01-01,x\n"
    assert read_csv(incoming, content) == ([("a, b, c", "x")], 1)


def test_of_several_text_columns_the_first_takes_the_surplus(incoming):
    rows = read(incoming("a.csv", "title,body,label\na,b,c,x\n"), text_column=["body", "title"])
    assert texts_and_labels(rows) == [("b,c\na", "x")]


def test_a_line_with_too_few_fields_is_a_row_with_a_fault(incoming):
    rows, (file,) = read_and_report(incoming("a.csv", 'id,text,label\n1,a,x\n\n"2",b\n3,"c\nd"\n4,e,x\n'))
    assert texts_and_labels(rows) == [("a", "x"), ('"2",b', None), ('3,"c', None), ('d"', None), ("e", "x")]
    assert rows["fault"].to_pylist() == [
        None,
        "line 4: 2 fields, the header has 3",
        "line 5: 2 fields, the header has 3",
        "line 6: 1 field, the header has 3",
        None,
    ]
    assert file.faults == 3


def test_a_long_value_and_a_nul_are_read(incoming):
    long = "word " * 2_000_000
    assert read_csv(incoming, f"text,label\n{long},x\na\0b,x\n") == ([(long, "x"), ("a\0b", "x")], 0)


def test_a_sound_record_may_have_more_than_the_most_lines(incoming):
    text = "line\n" * (2 * csv_repair.MOST_LINES)
    assert read_csv(incoming, f'text,label\na,x\n"{text}",x\n') == ([("a", "x"), (text, "x")], 0)


@pytest.mark.parametrize("most_lines", [2, 3, 50])
def test_the_bound_on_lines_keeps_every_line_in_order(incoming, most_lines, monkeypatch):
    monkeypatch.setattr(csv_repair, "MOST_LINES", most_lines)
    lines = [f'x{at}","""a' for at in range(200)]
    rows = read(incoming("a.csv", "\n".join(["text,label", *lines])))
    assert [text.rstrip('",a') for text in rows["text"].to_pylist()] == [f"x{at}" for at in range(200)]


def test_with_many_open_quotes_each_line_is_read_a_bounded_number_of_times(incoming, monkeypatch):
    monkeypatch.setattr(csv_repair, "MOST_LINES", 50)
    reader, read_lines = csv.reader, Counter()

    def counting(lines, **form):
        return reader((read_lines.update([line]) or line for line in lines), **form)

    monkeypatch.setattr(csv, "reader", counting)
    line, count = 'x","""a\n', 4000
    assert len(read(incoming("a.csv", "text,label\n" + line * count))) == count
    assert read_lines[line] < 2 * 52 * count  # once to recognise the dialect, once to read


def test_an_open_quote_before_a_million_lines_is_given_up_in_bounded_memory(incoming):
    count = 300_000
    rows, (file,) = read_and_report(incoming("a.csv", 'text,label\n"open,x\n' + "a,x\n" * count))
    assert (len(rows), file.repaired_quotes) == (count + 1, 1)


# TSV


def test_a_quote_in_a_tsv_is_a_character(incoming):
    rows, (file,) = read_and_report(incoming("a.tsv", 'text\tlabel\n"two\tb\n"a"\tb\n\t\n'))
    assert texts_and_labels(rows) == [('"two', "b"), ('"a"', "b"), ("", "")]
    assert (file.faults, file.repaired_quotes) == (0, 0)


def test_surplus_tabs_belong_to_the_text_and_too_few_are_a_fault(incoming):
    rows, (file,) = read_and_report(incoming("a.tsv", "text\tlabel\na\tb\tx\nc\n"))
    assert texts_and_labels(rows) == [("a\tb", "x"), ("c", None)]
    assert rows["fault"].to_pylist() == [None, "line 3: 1 field, the header has 2"]
    assert (file.faults, file.repaired_quotes) == (1, 1)
