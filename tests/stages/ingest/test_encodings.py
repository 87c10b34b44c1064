import bz2
import gzip
import lzma
from pathlib import Path

import pyarrow as pa
import pytest

from bertline.stages.ingest import encodings as decoding
from tests.support.ingesting import read, read_and_report

GERMAN = "Schöne Grüße aus Köln, das ist übrigens völlig überflüssig"


def zstd(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", b"text,label\na,x\n"), ("a.ndjson", b'{"text": "a", "label": "x"}\n')]
)
def test_a_compressed_file_is_read_like_the_plain_one(incoming, suffix, name, content):
    rows = read(incoming(name + suffix, COMPRESS[suffix](content)))
    assert rows.select(["text", "label", "batch"]).to_pylist() == [{"text": "a", "label": "x", "batch": "a"}]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_parts_compressed_one_after_the_other_are_all_read(incoming, suffix):
    parts = [COMPRESS[suffix](part) for part in (b"text,label\n", b"a,x\n", b"b,y\n")]
    assert read(incoming("a.csv" + suffix, b"".join(parts)))["text"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda _data: b"text,label\na,x\n"])
def test_a_damaged_archive_is_an_error_that_names_the_file(incoming, suffix, damage):
    content = COMPRESS[suffix](b"text,label\n" + b"".join(b"%d,x\n" % i for i in range(9999)))
    with pytest.raises(ValueError, match=r"a\.csv\.\w+: cannot be decompressed: ") as caught:
        read(incoming("a.csv" + suffix, damage(content)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("encoded", "reported"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-32", "utf-32"),
        ("utf-16-le", "utf-16-le"),
        ("cp1252", "cp1252"),
    ],
)
@pytest.mark.parametrize(
    ("name", "lines"),
    [("a.csv", ["text,label", f'"{GERMAN}",x']), ("a.jsonl", [f'{{"text": "{GERMAN}", "label": "x"}}'])],
)
def test_the_encoding_is_detected_and_reported(incoming, encoded, reported, name, lines):
    content = "".join(f"{line}\n" for line in lines).encode(encoded)
    rows, (file,) = read_and_report(incoming(name, content))
    assert rows["text"].to_pylist() == [GERMAN]
    assert file.encoding == reported


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "привет как дела, это обычное сообщение о погоде в городе"),  # noqa: RUF001 - it is Russian
        ("gb18030", "你好世界，这是一个普通的句子，关于今天的天气和新闻"),  # noqa: RUF001 - it is Chinese
        ("shift_jis", "こんにちは世界、今日の天気はとても良いです"),
        ("euc_kr", "안녕하세요 오늘 날씨가 좋습니다"),
    ],
)
def test_other_scripts_are_detected(incoming, encoding, text):
    assert read(incoming("a.csv", f'text,label\n"{text}",x\n'.encode(encoding)))["text"].to_pylist() == [text]


def test_a_damaged_byte_does_not_make_a_file_latin(incoming):
    lines = [f"{GERMAN.replace(',', '')},x\n".encode()] * 3
    rows, (file,) = read_and_report(incoming("a.csv", b"text,label\n" + b"".join(lines) + b"K\xf6ln,x\n"))
    assert rows["text"].to_pylist()[-1] == "K\ufffdln"
    assert file.encoding == "utf-8"


def test_a_damaged_byte_behind_the_sample_is_replaced_and_costs_no_row(incoming):
    count = decoding.SAMPLE // 10 + 1
    head = "text,label\nKöln,x\n".encode()
    rows, (file,) = read_and_report(incoming("a.csv", head + b"12345678,x\n" * count + b"\xff,y\n"))
    assert len(rows) == count + 2
    assert rows["text"][-1].as_py() == "\ufffd"
    assert (file.encoding, file.replaced) == ("utf-8", 1)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_the_encoding_of_a_file_that_begins_in_ascii_is_that_of_its_first_other_characters(
    incoming, encoding, monkeypatch
):
    monkeypatch.setattr(decoding, "SAMPLE", 64)
    content = "text,label\n" + "12345678,x\n" * 100 + f'"{GERMAN}",y\n'
    rows, (file,) = read_and_report(incoming("a.csv", content.encode(encoding)))
    assert rows["text"][-1].as_py() == GERMAN
    assert (file.encoding, file.replaced) == (encoding, 0)


def test_a_file_of_utf_8_whose_only_other_characters_were_replaced_before_is_utf_8(incoming):
    rows, (file,) = read_and_report(incoming("a.csv", "text,label\nK\ufffdln,x\n"))
    assert rows["text"].to_pylist() == ["K\ufffdln"]
    assert (file.encoding, file.replaced) == ("utf-8", 0)


@pytest.mark.parametrize("block", [1, 2, 3, 1 << 20])
def test_characters_replaced_are_counted_and_those_that_the_file_itself_replaced_are_not(
    incoming, block, monkeypatch
):
    monkeypatch.setattr(decoding, "BLOCK", block)
    content = "text,label\n" + "Schöne Grüße aus Köln übermütig \ufffd,x\n" * 5
    rows, (file,) = read_and_report(incoming("a.csv", content.encode() + b"K\xf6ln\xe2\x82,x\n"))
    assert rows["text"][-1].as_py() == "K\ufffdln\ufffd"
    assert (file.encoding, file.replaced) == ("utf-8", 2)


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_characters_and_line_breaks_may_lie_across_blocks(incoming, block, monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK", block)
    content = 'text,label\r\nä€😀,x\r\n\r\n"b\r\nc",y'.encode("utf-16")
    assert read(incoming("a.csv", content))["text"].to_pylist() == ["ä€😀", "b\r\nc"]


def test_a_given_encoding_is_strict_and_the_error_says_where(incoming):
    content = b"text,label\n" + b"12345678,x\n" * 200_000 + b"\xff,y\n"
    with pytest.raises(ValueError, match=r"a\.csv: byte 2200011 \(line 200002\) is not utf-8; save the file"):
        read(incoming("a.csv", content), encoding="utf-8")


def test_a_given_encoding_is_used(incoming):
    rows, (file,) = read_and_report(incoming("a.csv", "text,label\nä,x\n".encode("cp437")), encoding="cp437")
    assert (rows["text"].to_pylist(), file.encoding) == (["ä"], "cp437")


@pytest.mark.parametrize("encoding", ["utf-8", "utf8", "utf-16-le", None])
def test_a_byte_order_mark_is_no_part_of_the_first_column(incoming, encoding):
    source = incoming("a.csv", "\ufefftext,label\na,x\n".encode(encoding or "utf-8"))
    assert read(source, encoding=encoding)["text"].to_pylist() == ["a"]


def test_bytes_that_are_no_text_are_an_error(incoming):
    with pytest.raises(ValueError, match=r"a\.csv: .*set ingest\.encoding"):
        read(incoming("a.csv", bytes(range(128, 256)) * 9 + b"\0\1\2\x81\x8d"))


def test_a_file_without_line_breaks_is_given_up_before_memory_is(incoming, monkeypatch):
    monkeypatch.setattr(decoding, "LONGEST_LINE", 3 << 20)
    with pytest.raises(ValueError, match=r"a\.jsonl: a line is longer than 3,145,728 characters"):
        read(incoming("a.jsonl", b"[" + b"1," * (4 << 20)))
    assert Path("data/incoming/a.jsonl").exists()
