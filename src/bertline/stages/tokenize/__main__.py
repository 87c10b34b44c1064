"""Run the stage as dvc.yaml does: `python -m bertline.stages.tokenize`."""

from bertline.core.stage_command import checking, run

if __name__ == "__main__":
    with checking() as params_check:
        from bertline.stages.tokenize.stage import tokenize

        run(tokenize, params_check)
