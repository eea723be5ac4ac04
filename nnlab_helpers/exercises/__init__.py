"""Exercises that answer back: `check`, `hint` and `progress`."""
