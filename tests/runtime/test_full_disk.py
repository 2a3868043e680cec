import errno
import os

import pytest

from advjax.runtime.atomic import new_file, new_folder
from advjax.runtime.full_disk import tell_full_disk


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.npy"),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        OSError(errno.EFBIG, os.strerror(errno.EFBIG)),
        ValueError('RESOURCE_EXHAUSTED: "x/ocdbt" write: No space left on device [x]'),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk_is_one_line_however_it_is_raised(tmp_path, error, wrapped):
    def write():
        try:
            raise error
        except Exception as cause:
            if wrapped:
                raise RuntimeError("Failed to finalize\nwriting of split") from cause
            raise

    with pytest.raises(OSError) as caught, tell_full_disk("the\nplace"):
        write()
    assert str(caught.value).startswith(
        r"no room on the disk to write the\nplace: make"
    )
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="make room"), new_folder(tmp_path / "folder"):
        write()
    with pytest.raises(OSError, match="make room"), new_file(tmp_path / "file"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_other_errors_pass_as_they_are():
    for error in (OSError(errno.EACCES, "no"), ValueError("a"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, tell_full_disk("place"):
            raise error
        assert caught.value is error
