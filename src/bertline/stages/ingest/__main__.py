"""Run the stage as dvc.yaml does: `python -m bertline.stages.ingest`."""

from bertline.core.stage_command import checking, run

if __name__ == "__main__":
    with checking() as params_check:
        from bertline.stages.ingest.stage import ingest

        run(ingest, params_check)
