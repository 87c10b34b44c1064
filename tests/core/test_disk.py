import shutil
from pathlib import Path

import pytest

from bertline.core.disk import require_space


def test_a_disk_with_room_is_no_error(tmp_path: Path) -> None:
    require_space({tmp_path: 1, tmp_path / "not/there/yet": 1}, "a test")


def test_a_disk_that_is_too_full_is_one_line_with_folder_need_and_what_is_free(tmp_path: Path) -> None:
    need = shutil.disk_usage(tmp_path).free + 10**15
    with pytest.raises(
        OSError, match=rf"^the disk of {tmp_path}/not/there is too full: a test needs "
    ) as error:
        require_space({tmp_path / "not/there": need}, "a test")
    assert f"needs {need / 1e6:,.1f} MB there, and " in str(error.value)
    assert str(error.value).endswith(" MB are free; make room, then run the same command again")
