"""The training loop, what it remembers, when it stops, and how it goes on another day."""

from nnlab_helpers.train.checkpoint import load_checkpoint, save_checkpoint
from nnlab_helpers.train.history import History
from nnlab_helpers.train.hooks import Event
from nnlab_helpers.train.loop import evaluate, fit
from nnlab_helpers.train.steps import supervised
from nnlab_helpers.train.stopping import EarlyStopping

__all__ = [
    "EarlyStopping",
    "Event",
    "History",
    "evaluate",
    "fit",
    "load_checkpoint",
    "save_checkpoint",
    "supervised",
]
