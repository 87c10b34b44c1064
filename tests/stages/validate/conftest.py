"""Every test here works in a folder of its own."""

import pytest


@pytest.fixture(autouse=True)
def _own_folder(own_folder):
    pass
