"""The networks the lessons build, one file per family, and ways to look at their size."""

from nnlab_helpers.models.inception import InceptionBlock
from nnlab_helpers.models.lenet import LeNet
from nnlab_helpers.models.mlp import MLP
from nnlab_helpers.models.recurrent import RowReader
from nnlab_helpers.models.resnet import ResidualBlock, ResNet
from nnlab_helpers.models.size import count_parameters, parameter_table, width_for_budget
from nnlab_helpers.models.starting import initialize, layer_statistics
from nnlab_helpers.models.transformer import SelfAttention, TransformerBlock, VisionTransformer
from nnlab_helpers.models.unet import UNet

__all__ = [
    "MLP",
    "InceptionBlock",
    "LeNet",
    "ResNet",
    "ResidualBlock",
    "RowReader",
    "SelfAttention",
    "TransformerBlock",
    "UNet",
    "VisionTransformer",
    "count_parameters",
    "initialize",
    "layer_statistics",
    "parameter_table",
    "width_for_budget",
]
