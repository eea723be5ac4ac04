"""Lessons and their pairs: the notebook learners open and the script maintainers edit.

`notebooks/py/dayNN_topic.py` (jupytext, py:percent) and `notebooks/dayNN_topic.ipynb` say the same thing; the notebook
also holds the outputs. `build` goes from the script to the notebook, and to the finished sweeps that the course ships;
saving in JupyterLab writes both.
"""

from nnlab_helpers.pairs.building import (
    BuildError,
    Side,
    build,
    build_all,
    kernel_environment,
    reference_environment,
    sweeps_beside,
    write_atomically,
)
from nnlab_helpers.pairs.scratch import TEMPORARY, home_is_usable, scratch_folder
from nnlab_helpers.pairs.step import (
    COURSE,
    differences,
    in_step,
    lessons_folder,
    notebook_of,
    regenerate,
    script_of,
    scripts,
)

__all__ = [
    "COURSE",
    "TEMPORARY",
    "BuildError",
    "Side",
    "build",
    "build_all",
    "differences",
    "home_is_usable",
    "in_step",
    "kernel_environment",
    "lessons_folder",
    "notebook_of",
    "reference_environment",
    "regenerate",
    "scratch_folder",
    "script_of",
    "scripts",
    "sweeps_beside",
    "write_atomically",
]
