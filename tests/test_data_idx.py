"""IDX files that are well-formed and hold something else than bytes."""

from __future__ import annotations

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
