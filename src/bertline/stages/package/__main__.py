"""Run the stage as dvc.yaml does: `python -m bertline.stages.package`."""

from bertline.core.stage_command import checking, run

if __name__ == "__main__":
    with checking() as params_check:
        from bertline.stages.package.stage import package

        run(package, params_check)
