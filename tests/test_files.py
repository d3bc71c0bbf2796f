import os
import stat

import pytest

from rbm_tf.shared import files


@pytest.fixture
def usual_mask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_file_keeps_its_mode_and_a_new_one_gets_the_usual(tmp_path, usual_mask):
    path = tmp_path / "numbers.txt"
    files.write_text(path, "1")
    assert mode(path) == 0o644
    for other in (0o600, 0o640, 0o444):
        path.chmod(other)
        files.write_text(path, "2")
        assert mode(path) == other
    assert path.read_text() == "2"


def test_link_goes_on_pointing_to_its_file(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    files.write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_device_is_written_to_and_not_replaced(tmp_path):
    files.write_text("/dev/null", "nothing")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_two_writers_at_once_leave_one_whole_file(tmp_path):
    path = tmp_path / "numbers.txt"
    with files.written_whole(path) as first, files.written_whole(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    with pytest.raises(FileExistsError, match="overwrite=True"):  # noqa: SIM117
        with files.written_whole(tmp_path / "new", overwrite=False) as slow:
            slow.write_text("slow")
            files.write_text(tmp_path / "new", "fast")
    assert (tmp_path / "new").read_text() == "fast"
    assert len(list(tmp_path.iterdir())) == 2


def test_process_that_ends_at_once_takes_its_half_written_files_with_it(tmp_path):
    with pytest.raises(OSError, match="untouched"), files.written_whole(tmp_path / "a") as partial:
        partial.write_text("half")
        files.discard_partials()
        assert not list(tmp_path.iterdir())
