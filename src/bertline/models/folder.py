"""How a model folder reads texts and answers: bertline.json, and what config.json says of the classes.

Imports neither torch nor transformers. A folder that an older version wrote has fewer fields.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bertline.core.files import write_json
from bertline.head.out_of_scope import Kind
from bertline.params.tokenize import LongTexts
from bertline.rows.labels import LabelSpace
from bertline.tokens.padding import Padding

SETTINGS = "bertline.json"
SERVED = "onnx/model.onnx"
"""The ONNX file that is served, in float32 or int8; text-embeddings-inference looks for it there."""
FP32, INT8 = "onnx/model_fp32.onnx", "onnx/model_int8.onnx"
"""The names of these files while they are not served."""

Precision = Literal["int8", "fp32", "torch"]


@dataclass(frozen=True, kw_only=True)
class Answering:
    """What `export` decided about a model.

    Attributes:
        precision: of the weights in `SERVED`; `torch` where there is no such file.
        score: which out-of-scope score the model has (`head.out_of_scope`).
        max_out_of_scope: a text with a higher score is refused; null: none is.
        min_probability: an answer with a lower probability is refused; null: none is.
    """

    __pydantic_config__ = ConfigDict(strict=True)

    precision: Precision
    score: Kind
    max_out_of_scope: float | None
    min_probability: float | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model reads texts; `answering` is None until `export` has decided."""

    __pydantic_config__ = ConfigDict(strict=True)

    max_length: int
    long_texts: LongTexts = "head"
    stride: int = 0
    pairs: bool = False
    answering: Answering | None = None

    @property
    def is_exported(self) -> bool:
        """Whether the folder answers with its ONNX file."""
        return self.answering is not None and self.answering.precision != "torch"


@dataclass(frozen=True)
class Config:
    """What config.json says: the classes, by the index of their logit, and how inputs are padded."""

    space: LabelSpace
    padding: Padding


def read_settings(folder: Path) -> Settings:
    """Return the settings in `folder`.

    Raises:
        ValueError: there are none, or they are damaged; the message has the next command.
    """
    path = folder / SETTINGS
    try:
        return TypeAdapter(Settings).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise ValueError(
            f"{path} is damaged ({where}{first['msg']}); fetch or train the model again"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        if (folder / "config.json").is_file():
            raise ValueError(
                f"the model in {folder} has no {SETTINGS}, so the length of its inputs is unknown; "
                "`dvc repro` writes one"
            ) from None
        raise ValueError(f"there is no model in {folder}; `dvc repro` makes models/candidate") from None


def add_answering(folder: Path, answering: Answering) -> None:
    """Write into the settings of `folder` what `export` decided."""
    settings = json.loads((folder / SETTINGS).read_text("utf-8"))
    write_json(folder / SETTINGS, settings | {"answering": asdict(answering)})


def read_config(folder: Path) -> Config:
    """Return what config.json in `folder` says.

    Raises:
        ValueError: it is not that of a classifier.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
        labels = config["id2label"]
        classes = tuple(str(labels[str(i)]) for i in range(len(labels)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(f"{path} is not that of a classifier; fetch or train the model again") from None
    several = config.get("problem_type") == "multi_label_classification"
    return Config(LabelSpace(classes, several), Padding.of(config))
