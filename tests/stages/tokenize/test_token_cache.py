import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bertline.rows.schema import make_rows
from bertline.rows.text_key import add_ids
from bertline.stages.tokenize import token_cache
from bertline.stages.tokenize.token_cache import TokenCache
from bertline.stages.tokenize.token_writer import Chunk, pack_ids, write_split
from tests.support.tiny import make_texts

CUT = {"max_length": 10, "long_texts": "head", "stride": 2}
Run = Callable[..., tuple[bytes, int]]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


def rows(count: int, seed: int = 0, *, pairs: bool = False) -> pa.Table:
    """Return distinct rows sorted by id, as a split holds them; some of the texts are too long."""
    texts, labels = zip(*make_texts(count, seed), strict=True)
    seconds = [text[::-1] if i % 3 else None for i, text in enumerate(texts)] if pairs else None
    return add_ids(make_rows(list(texts), list(labels), text_pair=seconds)).sort_by("id")


def write(table: pa.Table, cache: TokenCache, path: Path, size: int = 40) -> None:
    parts = [table.slice(start, size) for start in range(0, len(table), size)]
    write_split(
        path,
        (
            Chunk(pack_ids(part["id"].to_pylist()), cache.encode(part), np.zeros(len(part), np.int64))
            for part in parts
        ),
    )


@pytest.fixture
def run(tiny_encoder: Path, tmp_path: Path) -> Run:
    """Tokenise a table, by default on top of the last run; return the bytes and how many rows were taken."""

    def run(
        table: pa.Table, *, keep: bool = True, fresh: bool = False, **options: object
    ) -> tuple[bytes, int]:
        scratch = tmp_path / ("nothing" if fresh else "scratch")
        options = {"folder": tiny_encoder, **CUT, "scratch": scratch} | options
        cache = TokenCache(**options)  # type: ignore[arg-type]
        write(table, cache, tmp_path / "out.arrow")
        if keep and not fresh:
            cache.keep([tmp_path / "out.arrow"])
        return (tmp_path / "out.arrow").read_bytes(), cache.taken

    return run


@pytest.mark.parametrize("kind", ["texts", "pairs", "windows"])
@pytest.mark.parametrize("seed", range(6))
def test_batches_in_any_order_end_in_the_bytes_of_a_full_rebuild(run: Run, seed: int, kind: str) -> None:
    draw = random.Random(seed)
    everything = rows(200, pairs=kind == "pairs")
    long_texts = "windows" if kind == "windows" else "head"
    seen: set[int] = set()
    for _ in range(4):
        batch = draw.sample(range(200), draw.randint(1, 120))  # rows also leave, if quarantined meanwhile
        kept = {i for i in seen if draw.random() < 0.9} | set(batch)
        table = everything.take(sorted(kept))
        result, taken = run(table, long_texts=long_texts)
        assert (result, 0) == run(table, fresh=True, long_texts=long_texts)
        assert taken == len(seen & kept)
        seen = kept


def test_rows_are_found_whatever_their_order(run: Run) -> None:
    table = rows(100)
    run(table)
    shuffled = table.take(np.random.default_rng(0).permutation(100))
    assert run(shuffled) == (run(shuffled, fresh=True)[0], 100)


def test_pairs_arriving_later_do_not_change_the_texts_taken(run: Run) -> None:
    texts, pairs = rows(60), rows(60, seed=1, pairs=True)
    run(texts)
    both = pa.concat_tables([texts, pairs]).sort_by("id")
    assert run(both) == (run(both, fresh=True)[0], 60)
    assert run(texts) == (run(texts, fresh=True)[0], 60)


def test_ids_that_end_in_zeros_are_told_apart(tiny_encoder: Path, tmp_path: Path) -> None:
    ids = [f"{'0' * 31}1", f"0001{'0' * 28}", f"000100{'0' * 25}1", f"1{'0' * 31}"]
    texts = ["the cat", "a red fish", "my dog", "one two three"]
    table = rows(4).set_column(0, "id", pa.array(ids)).set_column(2, "text", pa.array(texts))
    cache = TokenCache(tiny_encoder, **CUT, scratch=tmp_path / "scratch")
    write(table, cache, tmp_path / "whole.arrow")
    write(table.take([0, 2]), cache, tmp_path / "some.arrow")
    cache.keep([tmp_path / "some.arrow"])
    again = TokenCache(tiny_encoder, **CUT, scratch=tmp_path / "scratch")
    write(table, again, tmp_path / "again.arrow")
    assert again.taken == 2
    assert (tmp_path / "again.arrow").read_bytes() == (tmp_path / "whole.arrow").read_bytes()


def test_a_run_killed_while_keeping_leaves_the_old_or_the_new_tokens(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(rows(100))
    larger = rows(140)  # holds other rows than the first 100
    whole = run(larger, fresh=True)[0]

    def die(*_: object, **__: object) -> None:
        raise Killed

    for module, name in ((shutil, "copyfile"), (Path, "replace"), (Path, "unlink")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, die)
            with pytest.raises(Killed):
                run(larger)
        result, taken = run(larger, keep=False)
        assert result == whole
        assert taken in {len(common(rows(100), larger)), 140}
    assert run(larger)[0] == whole
    assert generations(tmp_path) == [hashlib.sha256(whole).hexdigest() + ".arrow"]


def test_a_half_copied_file_is_not_used(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
        raise Killed

    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(Killed):
        run(rows(50))
    monkeypatch.undo()
    assert run(rows(50))[1] == 0


def common(one: pa.Table, other: pa.Table) -> set[str]:
    return set(one["id"].to_pylist()) & set(other["id"].to_pylist())


def generations(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "scratch").rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", ["changed", "cut short", "renamed", "empty"])
def test_a_damaged_or_foreign_file_is_ignored_and_replaced(run: Run, tmp_path: Path, damage: str) -> None:
    whole, _ = run(rows(50))
    (file,) = (tmp_path / "scratch").rglob("*.arrow")
    if damage == "changed":
        file.write_bytes(whole[:600] + b"\x07" + whole[601:])
    elif damage == "renamed":
        file.rename(file.with_name("foreign.arrow"))
    else:
        file.write_bytes(whole[: len(whole) // 2 if damage == "cut short" else 0])
    assert run(rows(50)) == (whole, 0)
    assert run(rows(50)) == (whole, 50)
    assert len(generations(tmp_path)) == 1


def test_tokens_of_another_tokenizer_or_cut_are_not_used(
    run: Run, tiny_encoder: Path, tmp_path: Path
) -> None:
    table = rows(50)
    run(table)
    other = shutil.copytree(tiny_encoder, tmp_path / "other")
    text = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(text.replace('"lowercase": true', '"lowercase": false'))
    assert (other / "tokenizer.json").read_text() != text
    assert run(table, folder=other)[1] == 0
    assert run(table, folder=other)[1] == 50
    for cut in ({"max_length": 9}, {"long_texts": "windows"}, {"long_texts": "tail"}, {"stride": 1}):
        assert run(table, folder=other, **cut)[1] == 0


def test_tokens_of_the_same_tokenizer_in_another_encoder_are_used(
    run: Run, tiny_encoder: Path, tmp_path: Path
) -> None:
    run(rows(50))
    other = shutil.copytree(tiny_encoder, tmp_path / "other")
    (other / "config.json").write_text("{}")
    assert run(rows(50), folder=other)[1] == 50


def test_one_generation_is_kept(run: Run, tmp_path: Path) -> None:
    for max_length, count in ((10, 50), (10, 60), (12, 60)):
        run(rows(count), max_length=max_length)
        assert len(generations(tmp_path)) == 1


def test_an_unchanged_split_is_not_copied_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(rows(50))
    monkeypatch.delattr(shutil, "copyfile")
    run(rows(50))
    assert len(generations(tmp_path)) == 1


def test_a_full_disk_leaves_the_old_tokens_and_no_half_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(rows(50))
    before = generations(tmp_path)

    def full(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        raise OSError("No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        run(rows(60))
    assert generations(tmp_path) == before


def test_no_scratch_outside_its_folder(run: Run, tmp_path: Path) -> None:
    run(rows(50))
    assert token_cache.SCRATCH.parts[0] == ".bertline"
    assert {path.name for path in tmp_path.iterdir()} == {"scratch", "out.arrow"}
