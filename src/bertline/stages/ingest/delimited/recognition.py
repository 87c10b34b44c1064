"""Which dialect a delimited file is written in: that under which the whole file makes most sense.

1. The header gives the delimiter and the number of fields.
2. Each dialect that the characters of the file allow is tried on all lines (`trial`).
3. A dialect other than the usual one must show itself: lines that are sound in it by chance are not enough.
4. Two kinds of lines speak against a dialect: those that are no record in it, and those that need what it
   does not have. The dialect with the fewest wins; where two have as many, the plainer one.
5. If nearly all records have one field more than the header, and it is an integer in front or empty at the
   end, it belongs to no column. Every other surplus delimiter belongs to the text.
6. If another dialect is nearly as good, or many lines fit none, the report says so.

Guarantees bounded memory: the file is read once for each dialect, and nothing but counts is kept.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, product

from bertline.stages.ingest.delimited.dialect import Dialect
from bertline.stages.ingest.delimited.header import Header, find_header, fold_name
from bertline.stages.ingest.delimited.layout import Layout, make_layout
from bertline.stages.ingest.delimited.trial import Trial
from bertline.stages.ingest.records import ColumnSpec, check_columns

NEARLY_ALL = 0.9  # share of records that decide what a surplus field is
CLEAR = 10  # a dialect is sure if so many times as many lines speak against every other
ENOUGH = 20  # records that are all alike by more than chance

OpenLines = Callable[[], Iterator[str]]
"""Opens the file from its start and yields its lines."""


@dataclass(frozen=True)
class Recognised:
    """The dialect of a file, and what the reader needs to know from the whole file."""

    header: Header
    layout: Layout
    labels: Counter[str]  # the first ones of the file, of records of one line
    wraps: bool  # whether quotes wrap fields in this file
    doubt: str | None  # why the dialect is not sure

    def describe(self) -> str:
        """Return the dialect in words."""
        lines = self.header.preamble
        preamble = f", {count(lines, 'line')} before the header" if lines else ""
        return self.layout.describe() + preamble


def recognise(open_lines: OpenLines, wanted: ColumnSpec, *, quoted: bool) -> Recognised:
    """Return the dialect of a file; `quoted` is whether quotes wrap fields if the file does not show it.

    Raises:
        ValueError: the file has only blank lines, a column is missing, or the fields that the header does not
            name cannot be distinguished from the others.
    """
    header = find_header(open_lines(), wanted)
    check_columns(header.names, {fold_name(name): key for name, key in wanted.items()})
    quoted = quoted or header.delimiter != "\t"
    quote = ("'" if header.quote == "'" else '"') if quoted else None

    def attempt(dialect: Dialect) -> Trial:
        layout = make_layout(dialect, header.names, wanted)
        weighs_quotes = not quoted or dialect.quote == "'"
        trial = Trial(layout, weighs_quotes).read(data_lines(open_lines, header))
        extended = _extended(trial, header, wanted)
        return Trial(extended, weighs_quotes).read(data_lines(open_lines, header)) if extended else trial

    first = attempt(Dialect(delimiter=header.delimiter, quote=quote))
    others = [attempt(dialect) for dialect in _others(first)]
    trials = [first, *(trial for trial in others if _shows_itself(trial, first))]
    costs = [_cost(trial, trials) for trial in trials]
    best = min(range(len(trials)), key=costs.__getitem__)  # the first of equals is the plainest
    trial = trials[best]
    _require_names(trial, header)
    dialect = trial.layout.dialect
    letters = dialect.escapes and not trial.other_escapes
    return Recognised(
        header=header,
        layout=replace(trial.layout, dialect=replace(dialect, letters=letters)),
        labels=trial.labels,
        wraps=(trial.with_single if dialect.quote == "'" else trial.with_quote) > 0,
        doubt=_doubt(best, trials, costs, others),
    )


def data_lines(open_lines: OpenLines, header: Header) -> Iterator[str]:
    """Yield the lines after the header."""
    return islice(open_lines(), header.lines, None)


def _others(first: Trial) -> Iterator[Dialect]:
    """Yield the dialects that the characters of the file allow besides the first one, the plainest first."""
    plain = first.layout.dialect
    quotes = [plain.quote]
    if first.with_quote and '"' not in quotes:
        quotes.append('"')
    if 100 * first.with_single >= first.lines > 0 and "'" not in quotes:
        quotes.append("'")
    escapes = [False, True] if first.with_escape else [False]
    spaces = [False, True] if first.spaced or (first.bad and first.with_space) else [False]
    for quote, space, escape in product(quotes, spaces, escapes):
        dialect = Dialect(delimiter=plain.delimiter, quote=quote, escapes=escape, spaces=space)
        if dialect != plain and not (quote is None and space):
            yield dialect


def _shows_itself(trial: Trial, first: Trial) -> bool:
    """Return whether the file has signs of what the dialect of a trial has and that of the first lacks."""
    dialect, usual = trial.layout.dialect, first.layout.dialect
    if dialect.quote == "'" != usual.quote and not 2 * trial.wrapped > trial.texts > 1:
        return False
    return not dialect.escapes or trial.needs_escapes > 0


def _cost(trial: Trial, trials: list[Trial]) -> int:
    """Return how many lines and records speak against the dialect of a trial."""
    dialect = trial.layout.dialect
    kinds = [other.layout.dialect for other in trials]
    other_quotes = [
        other.needs_quotes
        for other, kind in zip(trials, kinds, strict=True)
        if kind.quote is not None and kind.quote != dialect.quote
    ]
    with_escapes = [
        other.needs_escapes
        for other, kind in zip(trials, kinds, strict=True)
        if kind.escapes and replace(kind, escapes=False) == dialect
    ]
    cost = trial.bad + trial.doubled_quotes + max(other_quotes, default=0) + max(with_escapes, default=0)
    # In a file that certainly has quotes, people still leave some as they are.
    if dialect.quote == "'" or any(kind.quote is None for kind in kinds):
        cost += trial.plain
    if dialect.quote is None and dialect.escapes:
        cost += trial.other_escapes
    return cost + (0 if dialect.spaces else trial.spaced)


def _extended(trial: Trial, header: Header, wanted: ColumnSpec) -> Layout | None:
    """Return a layout with the fields that the header does not name, or without blank names at its end."""
    dialect, names = trial.layout.dialect, header.names
    parsed = sum(trial.widths.values())
    if parsed < 2:
        return None
    usual, often = trial.widths.most_common(1)[0]
    if usual < len(names) and often >= NEARLY_ALL * parsed and not any(names[usual:]):
        return make_layout(dialect, names[:usual], wanted)
    if trial.surplus < NEARLY_ALL * parsed:
        return None
    trailing = _are_all(trial.empty_last, trial.surplus)
    row_names = _are_all(trial.integer_first, trial.surplus) and not (trailing and usual < len(names) + 2)
    if not (row_names or trailing):
        return None
    return make_layout(dialect, names, wanted, row_names=row_names, trailing=trailing)


def _require_names(trial: Trial, header: Header) -> None:
    """Raise a ValueError if every record has the same number of fields that the header does not name."""
    parsed = sum(trial.widths.values())
    if parsed < ENOUGH:
        return
    usual, often = trial.widths.most_common(1)[0]
    width = trial.layout.width
    if usual > width and _are_all(often, parsed) and not _are_all(trial.space_in_surplus, trial.surplus):
        raise ValueError(
            f"the records have {usual} fields, but the header names {len(header.names)}:"
            f" {', '.join(header.names)} ({trial.layout.describe()});"
            " name every column in the header, or put texts that hold the delimiter in quotes"
        )


def count(number: int, noun: str) -> str:
    """Return a number with its noun: 1 line, 2,000 lines."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _are_all(count: int, total: int) -> bool:
    """Return whether all but one in a hundred are counted: some lines of a file are broken."""
    return count >= 0.99 * total


def _doubt(best: int, trials: list[Trial], costs: list[int], others: list[Trial]) -> str | None:
    """Return why the dialect of the best trial is not sure; None if it is."""
    trial, cost = trials[best], costs[best]
    reasons = list(_open_questions(trial, others))
    if 5 * trial.bad > trial.lines and not reasons:
        reasons.append(f"it does not fit {trial.bad:,} of {count(trial.lines, 'line')}")
    for rival, rival_cost in zip(trials, costs, strict=True):
        if rival is not trial and cost > 0 and cost < rival_cost < CLEAR * cost:
            reasons.append(
                f"{count(cost, 'line')} did not fit it, and only {rival_cost:,} did not fit"
                f" {rival.layout.dialect.describe()}"
            )
            break
    return "; ".join(reasons) or None


def _open_questions(trial: Trial, others: list[Trial]) -> Iterator[str]:
    """Yield what the file leaves open: signs that the dialect taken reads as plain characters."""
    dialect = trial.layout.dialect
    for other in others:
        kind = other.layout.dialect
        if other.bad > trial.bad:
            continue
        quotes = dialect.quote is None and kind == replace(dialect, quote='"')
        if quotes and other.wrapped and not other.plain:
            yield f"the quotes around {count(other.wrapped, 'text')} are kept as part of the text"
        escapes = not dialect.escapes and kind == replace(dialect, escapes=True)
        signs = max(other.paired, other.letters, other.escaped_breaks)
        if escapes and signs and not other.other_escapes:
            yield f"the backslashes of {count(signs, 'line')} may be escapes and are kept"
    usual = trial.widths.most_common(1)
    if usual and usual[0][0] > trial.layout.width and trial.surplus == sum(trial.widths.values()):
        yield "every record has more fields than the header, and the surplus is taken as text"
