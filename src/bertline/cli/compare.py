"""`bertline compare`: two models side by side, as one page."""

import json
from pathlib import Path
from typing import Annotated

import typer


def compare(
    a: Annotated[
        str | None,
        typer.Argument(help="A version, an experiment or a model folder. Default: the champion."),
    ] = None,
    b: Annotated[
        str | None,
        typer.Argument(help="What it is compared with, in the same words. Default: the candidate."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The HTML file to write. Default: one in reports/comparison.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Compare two models on today's test rows: what breaks, what is repaired, and what made the difference.

    The page lists the rows whose answer became wrong, then those that became right, the differences by class,
    slice and behavioural test, and what changed in data, params and code. Nothing is promoted.
    """
    from bertline.comparison.compare import compare as compare_sides
    from bertline.comparison.compare import write_comparison
    from bertline.comparison.conclusion import lines_of
    from bertline.comparison.sides import find_sides

    if output and output.suffix != ".html":
        raise ValueError(f"--output is {str(output)!r}; allowed: a file that ends in .html")
    root = Path.cwd()
    document = compare_sides(root, *find_sides(root, a, b))
    path = write_comparison(root, document, output)
    if as_json:
        print(json.dumps(document, ensure_ascii=False))
        return
    for line in lines_of(document):
        print(line)
    print(f"page: {path}")
