"""What a full or failing disk looks like."""

from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raise what safetensors and tokenizers say of a full or failing disk as the OSError that it is."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(str(error)) from error
    except Exception as error:
        if type(error) is Exception:  # tokenizers has none of its own
            raise OSError(str(error)) from error
        raise
