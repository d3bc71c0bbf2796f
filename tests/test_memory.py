import os

import pytest

from rbm_tf.shared import memory


def test_the_limit_of_a_container_counts_where_it_is_smaller(tmp_path, monkeypatch):
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(memory, "_CONTAINER", tmp_path / "memory.max")
    assert memory.memory() == machine
    for text, expected in (("max\n", machine), ("1048576\n", 2**20), (f"{2**62}\n", machine)):
        (tmp_path / "memory.max").write_text(text)
        assert memory.memory() == expected


def test_what_does_not_fit_is_refused_with_both_sizes_and_the_remedy(monkeypatch):
    monkeypatch.setattr(memory, "memory", lambda: 4 * 2**30)
    memory.check_memory(4 * 2**30, "this", "take less")
    expected = "this needs about 1,024 GiB of memory, and there are 4 GiB: take less"
    with pytest.raises(ValueError, match=expected):
        memory.check_memory(2**40, "this", "take less")
