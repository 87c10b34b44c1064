"""Run the stage as dvc.yaml does: `python -m bertline.stages.evaluate`."""

from bertline.core.stage_command import checking, run

if __name__ == "__main__":
    with checking() as params_check:
        from bertline.stages.evaluate.stage import evaluate

        run(evaluate, params_check)
