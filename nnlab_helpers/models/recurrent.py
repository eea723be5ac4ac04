"""Networks that read an image row by row, as one reads a page."""

from __future__ import annotations

from torch import Tensor, nn

CELLS: dict[str, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class RowReader(nn.Module):
    """Reads an image as a sequence of its rows, top to bottom; a linear layer turns the last state into logits.

    Takes `[N, in_channels, H, columns]` for any height H and returns logits `[N, num_classes]`. The cell is Elman's
    (1990), the LSTM (Hochreiter and Schmidhuber, 1997; with the forget gate of Gers, Schmidhuber and Cummins, 2000) or
    the GRU (Cho et al., 2014).

    Args:
        cell: "rnn", "gru" or "lstm".
        columns: pixels in a row.
        hidden: numbers in the state.
        num_classes: logits per sample.
        in_channels: 1 for gray images; the channels of a row are read together.
        num_layers: cells on top of each other, each reading the states of the one below.

    Raises:
        ValueError: an unknown cell, a size below 1, or, when called, a batch of another shape.

    Example:
        >>> RowReader("gru", hidden=32)(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        cell: str = "lstm",
        columns: int = 28,
        hidden: int = 64,
        num_classes: int = 10,
        *,
        in_channels: int = 1,
        num_layers: int = 1,
    ) -> None:
        """Check the sizes and lay out cell and linear layer."""
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"unknown cell {cell!r}: choose one of {', '.join(map(repr, CELLS))}")
        sizes = {
            "columns": columns,
            "hidden": hidden,
            "num_classes": num_classes,
            "in_channels": in_channels,
            "num_layers": num_layers,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be 1 or more, got {size}")
        self.row_shape = (in_channels, columns)
        self.rnn = CELLS[cell](in_channels * columns, hidden, num_layers, batch_first=True)
        self.head = nn.Linear(hidden, num_classes)

    def states(self, x: Tensor) -> Tensor:
        """State after each row: `[N, H, hidden]` for images `[N, in_channels, H, columns]`."""
        channels, columns = self.row_shape
        if x.ndim != 4 or (x.shape[1], x.shape[3]) != self.row_shape or x.shape[2] < 1:
            raise ValueError(
                f"expected images [N, {channels}, H, {columns}] with at least one row, got shape {list(x.shape)}: "
                "build RowReader with the in_channels and columns of your data"
            )
        return self.rnn(x.transpose(1, 2).flatten(2))[0]

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[N, num_classes]` after the last row."""
        return self.head(self.states(x)[:, -1])

    def after_each_row(self, x: Tensor) -> Tensor:
        """Logits `[N, H, num_classes]`: what it would say if the image ended after each row."""
        return self.head(self.states(x))
