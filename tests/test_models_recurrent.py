"""RowReader: states and logits against PyTorch's layers, any height, errors that speak."""

import pytest
import torch
from torch import nn

from nnlab_helpers.models import RowReader, count_parameters

LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_reads_rows_from_top_to_bottom(cell, num_layers):
    model = RowReader(cell, columns=6, hidden=5, num_classes=3, num_layers=num_layers)
    layer = LAYERS[cell](6, 5, num_layers, batch_first=True)
    layer.load_state_dict(model.rnn.state_dict())
    x = torch.randn(4, 1, 9, 6)
    states, _ = layer(x[:, 0])
    torch.testing.assert_close(model.states(x), states)
    torch.testing.assert_close(model(x), model.head(states[:, -1]))
    assert model(x).shape == (4, 3)


@pytest.mark.parametrize("cell", LAYERS)
def test_after_each_row_is_what_it_says_of_a_cut_image(cell):
    model, x = RowReader(cell, columns=6, hidden=5), torch.randn(2, 1, 7, 6)
    said = model.after_each_row(x)
    assert said.shape == (2, 7, 10)
    for rows in (1, 4, 7):
        torch.testing.assert_close(said[:, rows - 1], model(x[:, :, :rows]))


def test_channels_of_a_row_are_read_together():
    model, x = RowReader("rnn", columns=4, hidden=3, in_channels=2), torch.randn(5, 2, 6, 4)
    rows = torch.cat([x[:, 0], x[:, 1]], dim=2)  # [5, 6, 8]
    torch.testing.assert_close(model.states(x), model.rnn(rows)[0])


@pytest.mark.parametrize(("cell", "blocks"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_size(cell, blocks):
    assert count_parameters(RowReader(cell, 28, 20)) == blocks * 20 * (28 + 20 + 2) + 21 * 10


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: RowReader("elman"), "unknown cell 'elman'.*'rnn', 'gru', 'lstm'"),
        (lambda: RowReader(hidden=0), "hidden must be 1 or more, got 0"),
        (lambda: RowReader(num_layers=0), "num_layers must be 1 or more"),
        (lambda: RowReader()(torch.zeros(2, 1, 28, 27)), r"\[N, 1, H, 28\].*got shape \[2, 1, 28, 27\]"),
        (lambda: RowReader()(torch.zeros(2, 3, 28, 28)), r"\[N, 1, H, 28\]"),
        (lambda: RowReader()(torch.zeros(28, 28)), r"got shape \[28, 28\]"),
        (lambda: RowReader()(torch.zeros(2, 1, 0, 28)), "at least one row"),
    ],
)
def test_mistakes_speak(call, says):
    with pytest.raises(ValueError, match=says):
        call()
