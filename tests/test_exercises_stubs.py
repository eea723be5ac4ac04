"""What counts as not attempted, and what as an attempt."""

from __future__ import annotations

import functools
import linecache

import pytest
import torch
from torch import nn

from nnlab_helpers.exercises.checking.stubs import marked, untouched


def dots(z):
    """A docstring."""
    ...  # your code here


def passes(z):
    pass


def returns_none(z):
    return None


def not_implemented(z):
    raise NotImplementedError("your turn")


class Empty:
    """Nothing yet."""


class Stub(nn.Module):
    """A module to be written."""

    def __init__(self):
        super().__init__()
        ...

    def forward(self, x): ...


class OnlyInit(nn.Module):
    def __init__(self):
        super().__init__()


def setup_given(z):
    doubled = 2 * z
    result = ...  # your code here
    return doubled, result


def find_the_bug(x):
    ...  # take this line away when it is mended
    return x + 1


class HalfWritten(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x): ...


def written(z):
    z = z[..., 0]
    z[...] = 1
    return z


class Settings:
    rate = 0.1


class InheritsAll(nn.BatchNorm1d):
    """All of it is the parent's."""


class OnlyOtherDefaults(torch.optim.Adam):
    """A constructor, and nothing else."""

    def __init__(self, params):
        super().__init__(params, lr=0.1)


class WithoutForward(nn.Module):
    pass


class Attributes(dict):
    __getattr__ = dict.__getitem__


class Delegate:
    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.mark.parametrize(
    "answer",
    [None, ..., [...], (None, None), {"a": ..., "b": None}, dots, passes, returns_none, not_implemented, Empty, Stub,
     lambda z: None, lambda z: ..., functools.partial(dots, 1)],
)  # fmt: skip
def test_untouched(answer) -> None:
    assert untouched(answer)


@pytest.mark.parametrize(
    "answer",
    [0, "", [], {}, False, [1, ...], torch.zeros(2), setup_given, find_the_bug, written, Settings, HalfWritten,
     lambda z: z, torch.sigmoid, nn.Linear, nn.Linear(1, 1), nn.Sequential(), max, type, object(), OnlyInit, OnlyInit(),
     InheritsAll, OnlyOtherDefaults, WithoutForward],
)  # fmt: skip
def test_attempted(answer) -> None:
    assert not untouched(answer)


def test_what_raises_when_it_is_asked_for_an_attribute_is_an_attempt() -> None:
    for answer in (Attributes(a=1), Delegate()):
        assert not untouched(answer)
        assert not marked(answer)


@pytest.mark.parametrize("answer", [setup_given, find_the_bug, HalfWritten, HalfWritten(), dots, Stub])
def test_something_still_waits(answer) -> None:
    assert marked(answer)


@pytest.mark.parametrize("answer", [written, 3, None, nn.Linear, nn.Linear(1, 1), torch.sigmoid, Settings, max, [1]])
def test_nothing_waits(answer) -> None:
    assert not marked(answer)


def test_without_source() -> None:
    """Typed at a prompt or built by exec: the compiled code has to do."""
    scope: dict = {}
    exec("def stub(z):\n    '''Doc.'''\n    ...\n\ndef done(z):\n    return z", scope)
    assert untouched(scope["stub"])
    assert not untouched(scope["done"])
    assert not marked(scope["done"])


def test_classes_in_a_notebook() -> None:
    """There a class has no file: its methods' sources are found, each by itself."""
    source = "class Net:\n    def forward(self, x): ...\n\nclass Done:\n    def forward(self, x):\n        return x\n"
    name = "/tmp/ipykernel_1/2.py"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    scope: dict = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), scope)
    assert untouched(scope["Net"])
    assert not untouched(scope["Done"])
    assert marked(scope["Net"])
