"""How often the search for weak slices is right: found where one is planted, silent where none is.

10,000 texts of the packaged samples (TREC and SMS) get random errors: 10 % of the answers are wrong, and in a
planted slice of about 8 % of the rows 20 %. The slice is a word, a property of the text, or a rule of two
conditions, another one for each seed; or two words, each a slice. Where nothing is planted, every slice that
is reported is a false one. Where errors become more frequent with the length, slices of long texts are true
ones, and none is planted.

- found: a reported rule has the planted rows, by a Jaccard similarity of at least .5 over all rows; of two
  slices, both;
- touched: a reported rule holds the planted rows at least twice as often as chance would.

Prints the same for what one would use instead, SliceLine and a decision tree, alone and with our
confirmation. For SliceLine: python -m pip install --no-deps --target .venv/sliceline sliceline==0.3.0.
Without it, its lines are left out; it is slow, so it has two seeds.

The second table plants a slice that is as much worse as `detectable` says, and prints in how many seeds it is
found.

    python -m benchmarks.weak_slices [SEEDS]
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bertline.evaluation.slices import Slice
from bertline.metrics.significance import q_values
from bertline.rows.text_key import content_id
from bertline.stages.evaluate.row_properties import Bools, Property, describe_rows
from bertline.stages.evaluate.weak_slices import (
    PROPOSALS,
    Proposal,
    confirm,
    find_weak_slices,
    halves,
    min_support,
    propose,
)
from bertline.stages.ingest.samples import read_sample

ROWS, SHARE, WRONG, DROP = 10_000, 0.08, 0.1, 0.1
CONFIDENCE = 0.95
KINDS = ("nothing", "word", "property", "combination", "two words", "length")
SLICELINE = Path(sys.prefix, "sliceline")


class World(NamedTuple):
    """The rows: which of them propose, and what is said of them."""

    texts: list[str]
    proposing: Bools
    properties: list[Property]


class Plan(NamedTuple):
    """The rows of each planted slice, and how often the answer to each row is wrong."""

    weak: list[Bools]
    chance: np.ndarray


def make_world(rows: int = ROWS) -> World:
    """Return `rows` texts of both samples, in a random order, with their sources as slices."""
    found = [(text, name) for name in ("trec", "sms-spam") for text in read_sample(f"sample:{name}").texts]
    found = list(dict(found).items())
    order = np.random.default_rng(0).permutation(len(found))[:rows]
    texts = [found[place][0] for place in order]
    of_trec = np.array([found[place][1] == "trec" for place in order])
    slices = [
        Slice(group="source", name=name, rows=np.flatnonzero(of_trec == (name == "trec")))
        for name in ("trec", "sms-spam")
    ]
    proposing = halves([content_id(text) or "0" for text in texts])
    return World(texts, proposing, describe_rows(texts, slices, proposing, min_support(proposing)))


def plant(kind: str, world: World, draw: np.random.Generator, wrong: float, drop: float) -> Plan:
    """Return a plan of one of `KINDS`."""
    rows = len(world.texts)
    if kind == "length":
        lengths = np.array([len(text) for text in world.texts])
        return Plan([], wrong + drop * lengths.argsort().argsort() / rows)
    kinds = {"nothing": [], "two words": ["word", "word"]}.get(kind, [kind])
    weak: list[Bools] = []
    for each in kinds:
        weak.append(draw_slice(each, world, draw, other_than=weak))
    planted = np.any(weak, axis=0) if weak else np.zeros(rows, np.bool_)
    return Plan(weak, np.where(planted, wrong + drop, wrong))


def draw_slice(kind: str, world: World, draw: np.random.Generator, other_than: list[Bools]) -> Bools:
    """Return the rows of a slice of about `SHARE` of all rows, and none of `other_than`."""
    singles = [
        (name, meets)
        for name, meets in world.properties
        if abs(meets.mean() - SHARE) < 0.012
        and not any((meets & each).sum() > 0.2 * each.sum() for each in other_than)
    ]
    if kind in ("word", "property"):
        fitting = [meets for name, meets in singles if ("the word" in name) == (kind == "word")]
        return fitting[draw.integers(len(fitting))]
    bits = np.stack([meets for _, meets in world.properties], axis=1).astype(np.float32)
    both = bits.T @ bits / len(bits)
    wide = np.diag(both) > 1.5 * SHARE  # so that neither condition is the slice
    first, second = np.nonzero(np.triu((abs(both - SHARE) < 0.01) & wide & wide[:, None], 1))
    place = draw.integers(len(first))
    return world.properties[first[place]][1] & world.properties[second[place]][1]


Search = Callable[[World, Bools], list[Bools]]
"""The rows of each slice that is reported, by the rows and which answers are wrong."""


def ours(world: World, wrong: Bools) -> list[Bools]:
    by_name = dict(world.properties)
    found = find_weak_slices(world.properties, wrong, world.proposing, CONFIDENCE)["slices"]
    return [np.logical_and.reduce([by_name[name] for name in each["rule"].split(" and ")]) for each in found]


def search_alone(world: World, wrong: Bools) -> list[Bools]:
    """Search and test on the same rows, which is what a search without a second half can do."""
    proposals = propose(world.properties, wrong, min_support(np.ones_like(wrong)))
    significant = np.array(q_values(confirm(proposals, wrong))) <= 1 - CONFIDENCE
    return [each.rows for each, found in zip(proposals, significant, strict=True) if found]


def sliceline_rules(properties: list[Property], wrong: Bools) -> list[list[int]]:
    """Return the conditions of SliceLine's best slices: places among `properties`."""
    from sliceline.slicefinder import Slicefinder

    meets = np.stack([meets for _, meets in properties], axis=1).astype(int)
    finder = Slicefinder(
        alpha=0.95, k=PROPOSALS, max_l=2, min_sup=min_support(np.ones_like(wrong)), verbose=False
    )
    finder.fit(meets, wrong.astype(float))
    return [
        [place if value else -1 - place for place, value in enumerate(rule) if value is not None]
        for rule in finder.top_slices_[:PROPOSALS]
    ]


def tree_rules(properties: list[Property], wrong: Bools) -> list[list[int]]:
    """Return the conditions of the leaves of a decision tree that are wrong more often than all rows."""
    from sklearn.tree import DecisionTreeClassifier

    meets = np.stack([meets for _, meets in properties], axis=1)
    support = min_support(np.ones_like(wrong))
    tree = (
        DecisionTreeClassifier(max_depth=2, min_samples_leaf=support, criterion="entropy", random_state=0)
        .fit(meets, wrong)
        .tree_
    )

    def leaves(node: int, path: list[int]) -> Iterator[tuple[float, list[int]]]:
        if tree.children_left[node] < 0:
            yield float(tree.value[node][0][-1]), path
            return
        place = int(tree.feature[node])
        yield from leaves(tree.children_left[node], [*path, -1 - place])
        yield from leaves(tree.children_right[node], [*path, place])

    return [path for share, path in sorted(leaves(0, []), reverse=True) if share > wrong.mean() and path]


Rules = Callable[[list[Property], Bools], list[list[int]]]


def alone(rules: Rules) -> Search:
    """Report what a search on all rows finds."""
    return lambda world, wrong: [rows_of(world, rule) for rule in rules(world.properties, wrong)]


def confirmed(rules: Rules) -> Search:
    """Let another search propose on one half, and confirm on the other as the product does."""

    def search(world: World, wrong: Bools) -> list[Bools]:
        half = world.proposing
        found = rules([(name, meets[half]) for name, meets in world.properties], wrong[half])
        rows = [rows_of(world, rule) for rule in found]
        proposals = [Proposal((("rule", meets[~half]),), 0.0) for meets in rows]
        significant = np.array(q_values(confirm(proposals, wrong[~half]))) <= 1 - CONFIDENCE
        return [meets for meets, yes in zip(rows, significant, strict=True) if yes]

    return search


def rows_of(world: World, rule: list[int]) -> Bools:
    """Return which rows meet all conditions; -1 - i is the opposite of condition i."""
    parts = [world.properties[i][1] if i >= 0 else ~world.properties[-1 - i][1] for i in rule]
    return np.logical_and.reduce(parts)


def measure(
    search: Search, kind: str, world: World, seeds: int, wrong: float = WRONG, drop: float = DROP
) -> list[float]:
    """Return in how many of `seeds` plans of `kind` there is a report, a find, a touch; slices, seconds."""
    reported = found = touched = slices = 0
    start = time.perf_counter()
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        plan = plant(kind, world, draw, wrong, drop)
        rows = search(world, draw.random(len(world.texts)) < plan.chance)
        reported += bool(rows)
        slices += len(rows)
        found += bool(plan.weak) and all(
            any((each & weak).sum() >= 0.5 * (each | weak).sum() for each in rows) for weak in plan.weak
        )
        touched += bool(plan.weak) and all(
            any(weak[each].mean() >= 2 * weak.mean() for each in rows) for weak in plan.weak
        )
    seconds = (time.perf_counter() - start) / seeds
    return [reported, found, touched, slices / seeds, seconds]


def compare_searches(world: World, seeds: int) -> None:
    """Print the first table."""
    searches: dict[str, Search] = {"ours": ours, "our search alone": search_alone}
    libraries: dict[str, Rules] = {"tree": tree_rules}
    if SLICELINE.is_dir():
        sys.path.append(str(SLICELINE))
        libraries["sliceline"] = sliceline_rules
    for name, rules in libraries.items():
        searches |= {f"{name} alone": alone(rules), f"{name}, confirmed": confirmed(rules)}
    print(
        f"{'search':22}{'planted':12}{'seeds':>6}{'reported':>9}{'found':>6}{'touched':>8}{'slices':>7}{'s':>6}"
    )
    for name, search in searches.items():
        slow = name.startswith("sliceline")
        for kind in ("nothing", "word") if slow else KINDS:
            tries = min(seeds, 2) if slow else seeds
            reported, found, touched, slices, seconds = measure(search, kind, world, tries)
            print(
                f"{name:22}{kind:12}{tries:6}{reported:9}{found:6}{touched:8}{slices:7.1f}{seconds:6.2f}",
                flush=True,
            )


def check_detectable(seeds: int) -> None:
    """Print the second table."""
    print(f"{'rows':>7}{'wrong':>7}{'detectable':>12}{'found':>7}{'touched':>9}")
    for rows, share in ((1_000, WRONG), (3_000, WRONG), (ROWS, WRONG), (ROWS, 0.3)):
        world = make_world(rows)
        wrong = np.random.default_rng(0).random(rows) < share
        document = find_weak_slices(world.properties, wrong, world.proposing, CONFIDENCE)
        points = document["detectable"]["points"]
        _, found, touched, *_ = measure(ours, "property", world, seeds, share, points / 100)
        print(f"{rows:7,}{share:7.0%}{points:12}{found:7}{touched:9}", flush=True)


def main(seeds: int = 100) -> None:
    world = make_world()
    print(f"{ROWS:,} rows, {len(world.properties)} conditions")
    compare_searches(world, seeds)
    check_detectable(seeds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
