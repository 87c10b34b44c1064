"""Print what the transformers of this environment makes of a model folder, as JSON.

A program, so that an older transformers can run it too: `python read_with_transformers.py FOLDER`.
"""

import json
import sys

import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

TEXTS = ["the cat is blue", "Where is MY dog", "naïve 今天 [MASK] words", "the horse " * 40]

if __name__ == "__main__":
    transformers.utils.logging.set_verbosity_error()
    folder = sys.argv[1]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model, found = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    inputs = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    pairs = tokenizer(TEXTS[:2], TEXTS[1:3], padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        logits = [model.eval()(**each).logits.tolist() for each in (inputs, pairs)]
    classify = pipeline("text-classification", model=folder, device="cpu", top_k=None)
    answer = {
        "version": transformers.__version__,
        "missing": sorted(found["missing_keys"]),
        "ids": [inputs["input_ids"].tolist(), pairs["input_ids"].tolist()],
        "names": sorted(inputs),
        "special": {
            name: getattr(tokenizer, f"{name}_token") for name in ("pad", "unk", "cls", "sep", "mask")
        },
        "sides": [tokenizer.padding_side, tokenizer.model_max_length],
        "dtype": str(model.dtype),
        "logits": logits,
        "labels": {each["label"]: each["score"] for each in classify(TEXTS[:1])[0]},
    }
    sys.stdout.write(json.dumps(answer))
