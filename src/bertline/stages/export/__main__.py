"""Run the stage as dvc.yaml does: `python -m bertline.stages.export`."""

from bertline.core.stage_command import checking, run

if __name__ == "__main__":
    with checking() as params_check:
        from bertline.stages.export.stage import export

        run(export, params_check)
