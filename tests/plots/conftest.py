"""Every figure in the lessons' look, and none left open."""

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from nnlab_helpers.plots import use_style


@pytest.fixture(autouse=True)
def _look() -> Iterator[None]:
    with mpl.rc_context():
        use_style()
        yield
    plt.close("all")
