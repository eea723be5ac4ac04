"""Checks of day 13, in two files: importing them declares their exercises, in the order of the lesson."""

from nnlab_helpers.exercises import clinic_training  # isort: split

from nnlab_helpers.exercises import clinic_data

__all__ = ["clinic_data", "clinic_training"]
