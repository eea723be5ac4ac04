"""Watching a run in TensorBoard: a hook that writes, and servers that do not outlive the one who started them."""

from nnlab_helpers.tracking.logger import TensorBoardLogger
from nnlab_helpers.tracking.servers import close_dashboards, dashboards, guard_dashboards

__all__ = ["TensorBoardLogger", "close_dashboards", "dashboards", "guard_dashboards"]
