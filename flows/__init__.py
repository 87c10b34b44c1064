"""The only code that imports Prefect: the bridge to DVC, and the flow around the pipeline."""

import os

# Both are read once, at the import of Prefect, and have no place in prefect.toml, where all else is.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # looking for plugins costs 0.3 s; there are none
