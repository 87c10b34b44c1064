"""A child process that brings stages up to date as `dvc repro` does, and writes what became of each as JSON.

`dvc repro` tells that in sentences for people. `bertline.project.dvc.reproducing` starts this program and
reads the JSON. Output hashes, `dvc.lock` and the run cache end with the same bytes as after `dvc repro`.
"""

import argparse
import json
import logging
import os
import sys
from contextlib import closing
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.logger import setup
from dvc.repo import Repo
from dvc.stage.exceptions import MissingDataSource, StageCmdFailedError

from bertline.core.stage_command import ERROR_FILE
from bertline.project.dvc import Outcome, explain, missing_data
from bertline.project.remote import SharedCache

INTERRUPTED = 130


def main() -> int:
    """Reproduce the stages that the arguments name, in the current folder; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bertline.project.reproduce", description=__doc__)
    parser.add_argument("--single-item", action="store_true", help="leave the stages before them alone")
    parser.add_argument("--force", action="store_true", help="run them even if they are up to date")
    parser.add_argument("--offline", action="store_true", help="do without DVC's default remote")
    parser.add_argument("--outcome", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("stages", nargs="+")
    arguments = parser.parse_args()
    stage_error = arguments.outcome.with_name("stage_error.json")
    os.environ[ERROR_FILE] = str(stage_error)  # the stages inherit it
    setup(logging.WARNING)  # so that the output has the stages' own lines only
    outcome = Outcome()
    try:
        with closing(Repo(_wait_for_lock=True)) as repo:
            repo.scm_context.quiet = True  # no advice about git: a retraining never commits
            repo.stage_cache = cache = SharedCache(repo, offline=arguments.offline)
            try:
                for name in arguments.stages:
                    for stage in repo.stage.collect(name):
                        cache.restore_data(stage)
                changed = repo.reproduce(
                    arguments.stages, single_item=arguments.single_item, force=arguments.force
                )
                outcome.ran = [
                    stage.addressing for stage in changed if stage.addressing not in cache.restored
                ]
            finally:
                outcome.restored, outcome.unreachable = cache.restored, cache.unreachable
    except KeyboardInterrupt:
        return INTERRUPTED
    except DvcException as error:
        cause = error.__cause__ or error  # DVC wraps what a stage met with
        if stage_error.exists():
            failed = json.loads(stage_error.read_text("utf-8"))
            outcome.stage, outcome.message = failed["stage"], failed["message"]
        elif isinstance(cause, MissingDataSource):
            outcome.message = missing_data(cause)
        elif not isinstance(cause, StageCmdFailedError):  # such a stage crashed, and has printed why
            outcome.message = explain(cause)
        print(explain(cause), file=sys.stderr)
        return 1
    finally:
        outcome.write(arguments.outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main())
