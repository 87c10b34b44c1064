"""Run the stage as dvc.yaml does: `python -m bertline.stages.validate`."""

from bertline.core.stage_command import checking, run

if __name__ == "__main__":
    with checking() as params_check:
        from bertline.stages.validate.stage import validate

        run(validate, params_check)
