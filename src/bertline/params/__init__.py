"""The settings of params.yaml: one module, and one frozen dataclass `Params`, per section.

The dataclasses need nothing but the standard library, so every package can take one as an argument.
"""
