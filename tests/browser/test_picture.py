"""The README's picture shows the lesson as it is. No browser is needed to tell."""

from __future__ import annotations

from picture import KEY, TARGET, digest
from PIL import Image


def test_the_picture_shows_the_lesson_as_it_is():
    with Image.open(TARGET) as picture:
        assert picture.info.get(KEY) == digest(), "the lesson has changed since: make picture"
