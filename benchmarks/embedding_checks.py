"""How often the checks in the space of the states find something where there is nothing, and where there is.

States are drawn around the centres of six classes, as those of a fine-tuned encoder lie. Cases:

- order: rows in random order, and rows whose centres drift over time;
- under-performing groups: errors anywhere, and one class, 17 % of the rows, that is answered 10 points
  worse.

Prints in how many of the seeds each check finds something.
"""

import argparse

import numpy as np

from bertline.stages.evaluate.embedding_checks import Embedded, find_order, find_underperforming_groups

CLASSES, WIDTH = 6, 64
ERROR = 0.06
DRIFT = 1.0  # of a centre over all rows, in standard deviations of a coordinate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--rows", type=int, default=800)
    options = parser.parse_args()
    counts = np.zeros(4, int)
    for seed in range(options.seeds):
        random = np.random.default_rng(seed)
        classes = random.integers(CLASSES, size=options.rows)
        states = random.normal(4 * np.eye(WIDTH)[classes], 1).astype(np.float32)
        drifting = states + DRIFT * np.linspace(0, 1, len(states), dtype=np.float32)[:, None]
        rows = Embedded(ids=[str(row) for row in range(len(states))], texts=[""] * len(states), states=states)
        right = random.random(len(states)) >= ERROR
        worse = random.random(len(states)) >= ERROR + 0.1 * (classes == 0)
        counts += [
            find_order(states, "time")["found"] > 0,
            find_order(drifting, "time")["found"] > 0,
            find_underperforming_groups(rows, right, 0.05, seed)["found"] > 0,
            find_underperforming_groups(rows, worse, 0.05, seed)["found"] > 0,
        ]
    print(f"{options.rows:,} rows, {options.seeds} seeds")
    for case, count in zip(
        ("order, random", "order, drift", "groups, errors anywhere", "groups, one class 10 points worse"),
        counts,
        strict=True,
    ):
        print(f"{case:34} found in {count}")


if __name__ == "__main__":
    main()
