"""The only code that imports Prefect: one task per stage of DVC's map, and the flow around the pipeline."""

import gc

from flows.environment import prepare, require_settings

prepare()  # before any module here imports Prefect, which reads the environment only once
gc.disable()  # Prefect's import makes 100,000 objects that stay; to search them takes 0.5 s in all
require_settings()
gc.freeze()
gc.enable()
