"""Load images, split them, feed them to a network."""

from nnlab_helpers.data.idx import DataFileError, read_idx
from nnlab_helpers.data.imageset import ImageSet
from nnlab_helpers.data.loader import Normalize, TensorLoader
from nnlab_helpers.data.sets import data_directory, load_images

__all__ = [
    "DataFileError",
    "ImageSet",
    "Normalize",
    "TensorLoader",
    "data_directory",
    "load_images",
    "read_idx",
]
