"""`bertline fetch`: bring new data into data/incoming/."""

import os
from pathlib import Path


def fetch() -> None:
    """Bring new rows from fetch.source in params.yaml into data/incoming/; `make run` does this first."""
    from bertline.core.params_loading import load_params
    from bertline.fetching.fetch import fetch as bring
    from bertline.params.fetch import Params
    from bertline.project.run_lock import only_run

    params = load_params(Params)
    if params.source is None:
        print("fetch.source in params.yaml is null: nothing to fetch")
        return
    with only_run(Path.cwd()):
        landed = bring(params, os.environ.get)
    for each in landed:
        print(each)
    if not landed:
        print("no new rows")
