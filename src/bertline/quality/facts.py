"""Only until stages/validate.py and dvc.yaml name verdict.py instead."""

from bertline.quality.verdict import Fact

__all__ = ["Fact"]
