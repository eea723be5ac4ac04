"""The README's picture shows the lesson as it is. No browser is needed to tell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from picture import KEY, TARGET, digest
from PIL import Image


def test_the_picture_shows_the_lesson_as_it_is():
    with Image.open(TARGET) as picture:
        assert picture.info.get(KEY) == digest(), "the lesson has changed since: make picture"


def test_the_command_finds_what_it_needs():
    command = [sys.executable, str(Path(__file__).with_name("picture.py"))]
    run = subprocess.run(command, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert run.stderr.startswith("This needs Chromium")
