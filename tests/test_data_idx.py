"""IDX files that are well-formed and hold something else than bytes."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from nnlab_helpers.data import DataFileError, read_idx

TYPES = {0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8", 0x00: "u1", 0x07: "u1"}


def idx(element_type, array):
    header = bytes((0, 0, element_type, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    return header + array.tobytes()


@pytest.mark.parametrize("element_type", TYPES)
def test_another_element_type_is_refused(tmp_path, element_type):
    """Signed bytes are as many as unsigned ones: only the type tells that 200 stands for -56."""
    path = tmp_path / "labels"
    path.write_bytes(idx(element_type, np.arange(4).astype(TYPES[element_type])))
    with pytest.raises(
        DataFileError, match=f"not an IDX file of 1-dimensional bytes: starts with 00 00 {element_type:02x} 01"
    ):
        read_idx(path, ndim=1)


def test_bytes_are_read(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(idx(0x08, np.array([0, 200, 255], "u1")))
    assert read_idx(path, ndim=1).tolist() == [0, 200, 255]


@pytest.mark.parametrize(("name", "packed"), [("labels", True), ("labels.gz", False)])
def test_what_is_packed_is_told_by_its_first_bytes(tmp_path, name, packed):
    """A browser unpacks in passing and keeps the name; others drop the ".gz" of what is still packed."""
    content = idx(0x08, np.array([1, 2], "u1"))
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    assert read_idx(tmp_path / name, ndim=1).tolist() == [1, 2]
