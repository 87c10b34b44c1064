"""Run the stage as dvc.yaml does: `python -m bertline.stages.split`."""

from bertline.core.stage_command import checking, run

if __name__ == "__main__":
    with checking() as params_check:
        from bertline.stages.split.stage import split

        run(split, params_check)
