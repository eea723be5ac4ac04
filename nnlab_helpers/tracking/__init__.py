"""Watching runs in TensorBoard: a hook that writes, a sweep's table, servers that do not outlive who started them."""

from nnlab_helpers.tracking.logger import TensorBoardLogger
from nnlab_helpers.tracking.servers import close_dashboards, dashboards, guard_dashboards
from nnlab_helpers.tracking.sweeps import log_sweep

__all__ = ["TensorBoardLogger", "close_dashboards", "dashboards", "guard_dashboards", "log_sweep"]
