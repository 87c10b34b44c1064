"""bertline keeps a BERT text classifier fresh: the packages behind the stages of dvc.yaml."""

import os

# How many rounds a thread waits for the others of a computation before it sleeps: GNU OpenMP (Linux) reads it
# when torch loads. With its own 300,000, a step on a machine that others use too takes nine times as long.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
