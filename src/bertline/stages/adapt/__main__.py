"""Run the stage as dvc.yaml does: `python -m bertline.stages.adapt`."""

from bertline.core.stage_command import checking, run

if __name__ == "__main__":
    with checking() as params_check:
        from bertline.stages.adapt.stage import adapt

        run(adapt, params_check)
