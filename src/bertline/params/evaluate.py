"""The `evaluate` section of params.yaml; the comments there explain each setting."""

from dataclasses import dataclass

from bertline.params.scoring import Scoring


@dataclass(frozen=True, kw_only=True)
class Params(Scoring):
    """How the candidate and the baseline are scored."""
