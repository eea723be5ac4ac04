'''How exercises are declared and answers checked: what the files of the days need.

An exercise in four steps
-------------------------
1. **The lesson** asks and gives a stub. What is still to be written is a bare `...`:

       def leaky_relu_grad(z, slope=0.01):
           """Derivative of LeakyReLU at `z`, the same shape as `z`."""
           ...  # your code here

       check("day03.leaky_relu_grad", leaky_relu_grad)

   The answer may be a function, a class, a module or a value (`prediction = ...`). *Not attempted* is one rule: a
   `...` still waits, as a statement or as the whole right side of `name = ...` or `return ...`. A stub that is
   nothing else is never run. One with given code around the `...` is run; if it does not pass, it counts as not
   attempted, and the learner is told that a `...` still stands in it. It never refuses a right answer.

2. **The declaration** in `days/dayNN.py`: a reference, cases (the smallest first: the learner sees the first that
   fails; then random ones of odd, different sizes, and the edges: 0, NaN, huge, far below zero), and mistakes, each
   with the message that names it. See `declare.exercise` and `formula.Formula`; day 3 has examples of all sizes.

       exercise("day03.leaky_relu_grad", title=..., stars=1, hints=(...), learned=...,
                right=leaky_relu_grad, cases=lambda t: [torch.tensor([3.0]), case(t.randn(4, 3), slope=0.2)],
                mistakes={"The two sides have changed places.": lambda z, slope=0.01: ...})

   Where this does not fit, `@exercise(...)` stands above a checker `name(answer, trial)`, which calls all that is the
   learner's through `Trial.call` and judges it with `Trial.expect` and `Trial.fail`; whatever it does not refuse is
   right. Messages speak to the learner, in full sentences, say only what is true, and do not give the solution away.
   What is handed over lies on the CPU, and a check takes well under a second, in one thread.

3. **The answers** that the tests use stand in `tests/exercises/dayNN.py`: another right answer at least, and three
   wrong ones that are no formula. The reference is what the solution in `notebooks/solutions/py/` hands to its `check`.

4. **Try it**: `pytest tests/exercises -k leaky_relu_grad`. The tests run every mistake, change the reference in small
   ways, and make from it answers of all the kinds that go wrong (see `tests/exercises/test_kinds.py`).
'''

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
