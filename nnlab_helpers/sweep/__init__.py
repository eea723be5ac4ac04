"""Ablations: a grid of runs, cached, resumable, parallel, and what each choice did."""

from nnlab_helpers.sweep.effects import effects
from nnlab_helpers.sweep.fingerprint import code_version
from nnlab_helpers.sweep.records import cache_folder
from nnlab_helpers.sweep.running import sweep
from nnlab_helpers.sweep.screening import interactions, main_effects, pareto_front, screening_design

__all__ = [
    "cache_folder",
    "code_version",
    "effects",
    "interactions",
    "main_effects",
    "pareto_front",
    "screening_design",
    "sweep",
]
