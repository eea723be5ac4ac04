"""A pytest plugin that writes down what each cell of a lesson printed: `-p variants.recorder`, for `make variants`.

`$NNLAB_VARIANT_RECORD` names the folder: a file of JSON lines for each notebook, a line for each cell. With
`$NNLAB_NUDGE` set, each kernel begins by nudging what initializes its networks.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbval_tolerance import IMAGES, TolerantCell
from variants.table import name_of

FOLDER = "NNLAB_VARIANT_RECORD"
NUDGE = "NNLAB_NUDGE"
STARTUP = """import sys
sys.path.insert(0, {place!r})
import nudging
nudging.nudge_initialization({seed})
sys.path.pop(0)
del sys
"""


def pytest_configure(config: pytest.Config) -> None:
    """Where weights are to be nudged, give IPython a profile that does it before a notebook's first cell."""
    if seed := os.environ.get(NUDGE):
        profile = Path(tempfile.mkdtemp(prefix="nnlab-"), "profile_default", "startup")
        profile.mkdir(parents=True)
        (profile / "nudge.py").write_text(STARTUP.format(place=str(Path(__file__).parent), seed=int(seed)))
        os.environ["IPYTHONDIR"] = str(profile.parents[1])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """After a cell, whatever became of it."""
    try:
        return (yield)
    finally:
        if isinstance(item, TolerantCell):
            outputs = item.by_kind(getattr(item, "test_outputs", None) or [])
            kept = {kind: texts for kind, texts in outputs.items() if kind not in IMAGES}
            with Path(os.environ[FOLDER], f"{name_of(item.path).replace('/', '-')}.jsonl").open("a") as file:
                file.write(json.dumps({"cell": item.cell["id"], "outputs": kept}) + "\n")
