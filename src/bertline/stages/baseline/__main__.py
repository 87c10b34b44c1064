"""Run the stage as dvc.yaml does: `python -m bertline.stages.baseline`."""

from bertline.core.stage_command import checking, run

if __name__ == "__main__":
    with checking() as params_check:
        from bertline.stages.baseline.stage import baseline

        run(baseline, params_check)
