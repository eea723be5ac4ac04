"""Load images, split them, feed them to a network."""

from nnlab_helpers.data.errors import DataFileError
from nnlab_helpers.data.folder import load_folder
from nnlab_helpers.data.idx import read_idx
from nnlab_helpers.data.imageset import ImageSet
from nnlab_helpers.data.loader import Normalize, TensorLoader
from nnlab_helpers.data.sets import data_directory, load_images
from nnlab_helpers.data.splits import Splits, make_splits

__all__ = [
    "DataFileError",
    "ImageSet",
    "Normalize",
    "Splits",
    "TensorLoader",
    "data_directory",
    "load_folder",
    "load_images",
    "make_splits",
    "read_idx",
]
