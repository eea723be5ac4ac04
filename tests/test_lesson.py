"""`lesson.definitions` runs definitions and nothing else."""

import pytest
from lesson import definitions

SCRIPT = '''\
# %%
import math
from dataclasses import dataclass

# %%
SCALE = 2 * 3
LIMITS = (-8, 8)
halve = lambda x: x / 2
print("must not run")
data = load_everything()
raise RuntimeError("must not run either")

# %%
def area(r):
    return SCALE * math.pi * r**2

def once(x=data):
    return x

# %%
@dataclass
class Point:
    x: int = 1

    def doubled(self):
        return area(self.x)

def area(r):
    return math.pi * r**2

table = {"area": area}
'''


@pytest.fixture
def root(tmp_path):
    (tmp_path / "py").mkdir()
    (tmp_path / "py" / "day99_test.py").write_text(SCRIPT)
    return tmp_path


def test_definitions_come_without_the_run(root, capsys):
    found = definitions("day99_test", "Point", "area", "SCALE", "halve", "table", root=root)
    assert found.Point().doubled() == pytest.approx(3.14159, abs=1e-4), "the last definition counts"
    assert definitions("day99_test", "area", root=root).area(1) == pytest.approx(3.14159, abs=1e-4), "alone too"
    assert found.SCALE == 6
    assert found.halve(3) == 1.5
    assert found.table["area"] is found.area
    assert capsys.readouterr().out == ""


def test_what_is_missing_is_named(root):
    with pytest.raises(LookupError, match="does not define swish"):
        definitions("day99_test", "swish", root=root)
    with pytest.raises(NameError, match="data"):
        definitions("day99_test", "once", root=root)
    with pytest.raises(FileNotFoundError, match="day98"):
        definitions("day98_test", "swish", root=root)
