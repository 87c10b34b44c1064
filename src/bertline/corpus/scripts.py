"""Scripts written without spaces between words: a letter counts as a word there, as in BERT's tokenizer."""

UNSPACED = (
    r"\u0e00-\u109f"  # Thai, Lao, Tibetan, Myanmar
    r"\u1780-\u17ff"  # Khmer
    r"\u3005-\u3007\u3040-\u30ff\uff66-\uff9f"  # Japanese
    r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese
)
"""Their characters, as they may stand in the brackets of a regular expression."""
