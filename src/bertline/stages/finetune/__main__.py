"""Run the stage as dvc.yaml does: `python -m bertline.stages.finetune`."""

from bertline.core.stage_command import checking, run

if __name__ == "__main__":
    with checking() as params_check:
        from bertline.stages.finetune.stage import finetune

        run(finetune, params_check)
