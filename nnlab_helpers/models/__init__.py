"""The networks the lessons build, one file per family, and ways to look at their size."""

from nnlab_helpers.models.lenet import LeNet
from nnlab_helpers.models.mlp import MLP
from nnlab_helpers.models.size import count_parameters, parameter_table, width_for_budget

__all__ = ["MLP", "LeNet", "count_parameters", "parameter_table", "width_for_budget"]
