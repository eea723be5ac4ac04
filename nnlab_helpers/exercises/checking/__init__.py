"""How exercises are declared and answers checked: what the files of the days need."""

from nnlab_helpers.exercises.checking.cases import FLOAT64, NOT_CONTIGUOUS, VARIANTS, ZERO_DIM, Case, case
from nnlab_helpers.exercises.checking.declare import exercise
from nnlab_helpers.exercises.checking.example_models import Example, example_models
from nnlab_helpers.exercises.checking.formula import Formula
from nnlab_helpers.exercises.checking.tracing import AUTOGRAD, CONVOLUTIONS, LAYERS, called
from nnlab_helpers.exercises.checking.trial import Trial, any_of

__all__ = [
    "AUTOGRAD", "CONVOLUTIONS", "FLOAT64", "LAYERS", "NOT_CONTIGUOUS", "VARIANTS", "ZERO_DIM", "Case", "Example",
    "Formula", "Trial", "any_of", "called", "case", "example_models", "exercise",
]  # fmt: skip
