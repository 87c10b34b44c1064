"""Where a line break tears a text, both halves are rows with a fault."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.ingesting import read_and_report

REST = "may be the rest of the text that begins in line"


def read(source):
    """Return the (text, label) pairs of the rows that have a label, and the faults of the others."""
    rows, _ = read_and_report(source)
    pairs = [(row["text"], row["label"]) for row in rows.to_pylist() if row["fault"] is None]
    return pairs, [fault for fault in rows["fault"].to_pylist() if fault is not None]


def test_the_record_after_a_line_that_ends_in_its_text_is_a_fault(incoming):
    content = "text\tlabel\nfirst half\nsecond half\tx\na\ty\nb\tx\n"
    pairs, faults = read(incoming("a.tsv", content))
    assert pairs == [("a", "y"), ("b", "x")]
    assert faults == ["line 2: 1 field, the header has 2", f"line 3: {REST} 2"]


def test_the_record_before_a_line_that_may_be_the_rest_of_it_is_a_fault(incoming):
    pairs, faults = read(incoming("a.tsv", "label\ttext\nx\tfirst half\nsecond half\ny\ta\n"))
    assert pairs == [("a", "y")]
    assert faults == ["line 2: its text may go on in the next line", "line 3: 1 field, the header has 2"]


def test_a_line_that_ends_behind_its_text_costs_no_other(incoming):
    pairs, faults = read(incoming("a.tsv", "text\tlabel\tday\na\tx\nb\ty\t1\n"))
    assert (pairs, faults) == ([("b", "y")], ["line 2: 2 fields, the header has 3"])


def test_in_a_quoted_file_a_line_that_leaves_no_quote_open_costs_no_other(incoming):
    pairs, faults = read(incoming("a.csv", 'text,label\n"a",x\nbroken\nb,x\n'))
    assert (pairs, faults) == ([("a", "x"), ("b", "x")], ["line 3: 1 field, the header has 2"])


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ('text,label\na,x\n"a "b"\nrest, more",x\nb,x\n', (3, 4)),
        ('text,label\na,x\n"Dear Tom, hi "x"\nyours",x\nb,x\n', (3, 4)),
        ('text,label\na,x\n"Dear Tom\nhi "x"\nyours",x\nb,x\n', (3, 4, 5)),
        ('label,text\nx,a\nx,"first "bad" line\nrest, more"\nx,b\n', (3, 4)),
        ('label,text\nx,a\nx,"first "bad" line\nrest"\nx,b\n', (3, 4)),
        ('id,text,label\n1,a,x\n2,"a "b"\nrest, and, more",x\n3,b,x\n', (3, 4)),
    ],
)
def test_no_half_of_a_text_with_broken_quotes_has_a_label(incoming, content, lines):
    pairs, faults = read(incoming("a.csv", content))
    assert pairs == [("a", "x"), ("b", "x")]
    assert [int(fault.split(":")[0].removeprefix("line ")) for fault in faults] == list(lines)


def test_a_quote_that_is_never_closed_costs_one_record(incoming):
    pairs, faults = read(incoming("a.csv", 'text,label\na,x\n"open\n' + "b,x\nc,y\n" * 50))
    assert len(pairs) == 100
    assert faults == ["line 3: 1 field, the header has 2", f"line 4: {REST} 3"]


WORDS = st.text(st.sampled_from("ab,\\ "), max_size=6)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(WORDS, min_size=4, max_size=4),
    stray=st.sampled_from(["<1>", "<2>"]),
    label_first=st.booleans(),
)
def test_no_half_of_a_text_with_a_stray_quote_has_a_label(incoming, words, stray, label_first):
    text = f'"{words[0]}<1>{words[1]}\n{words[2]}<2>{words[3]}"'.replace(stray, f'"{stray}')
    order = slice(None, None, -1 if label_first else 1)
    sound = [('"a, ""b"""', "x"), ('"c, ""d"""', "y")] * 9
    records = [("text", "label"), *sound, (text, "x"), *sound]
    pairs, _ = read(incoming("a.csv", "\n".join(",".join(record[order]) for record in records) + "\n"))
    assert [pair for pair in pairs if ("<1>" in pair[0]) != ("<2>" in pair[0])] == []
