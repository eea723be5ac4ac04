"""Checks of day 13, in two files: importing them declares their exercises, in the order of the lesson."""

from nnlab_helpers.exercises.days.day13 import training  # isort: split

from nnlab_helpers.exercises.days.day13 import data

__all__ = ["data", "training"]
