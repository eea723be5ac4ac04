"""Day 20's own cells, attention and transformer, held against PyTorch and the package."""

import pytest
import torch
from lesson import definitions
from torch import nn
from torch.nn import functional as F

from nnlab_helpers import models

LESSON = "day20_sequences_attention"


def test_the_lstm_by_hand_is_pytorchs():
    step = definitions(LESSON, "lstm_step").lstm_step
    lstm, rows = nn.LSTM(5, 7, batch_first=True), torch.randn(3, 4, 5)
    state = cell = torch.zeros(3, 7)
    for row in rows.unbind(dim=1):
        state, cell = step(row, state, cell, lstm)
    _, (last, memory) = lstm(rows)
    torch.testing.assert_close(state, last[0])
    torch.testing.assert_close(cell, memory[0])


def test_the_open_gate_is_a_bias_of_three():
    lesson = definitions(LESSON, "RowReader", "OpenLSTM", "lstm_step")
    solved = definitions(LESSON, "open_forget_gate", folder="solutions")
    opened = lesson.OpenLSTM(nn.LSTM, 6)
    by_bias = lesson.RowReader(nn.LSTM, 6)
    by_bias.load_state_dict(opened.state_dict())
    bias = by_bias.rnn.bias_ih_l0.detach() + by_bias.rnn.bias_hh_l0.detach()
    solved.open_forget_gate(by_bias.rnn, 0.0)
    by_bias.rnn.bias_ih_l0.data[6:12] = bias[6:12] + 3
    x = torch.randn(2, 1, 5, 16)
    torch.testing.assert_close(opened.states(x), by_bias.states(x))


@pytest.mark.parametrize(("cell", "layer"), [("rnn", nn.RNN), ("gru", nn.GRU), ("lstm", nn.LSTM)])
def test_the_row_reader_is_the_packages(cell, layer):
    ours = definitions(LESSON, "RowReader").RowReader(layer, 9)
    theirs = models.RowReader(cell, columns=16, hidden=9)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 1, 16, 16)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.after_each_row(x), theirs.after_each_row(x))


def test_attention_is_pytorchs():
    attention = definitions(LESSON, "attention").attention
    q, k, v = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 6, 4), torch.randn(2, 3, 6, 7)
    answers, shares = attention(q, k, v)
    torch.testing.assert_close(answers, F.scaled_dot_product_attention(q, k, v))
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones(2, 3, 5))


def test_the_causal_attention_of_the_lesson_is_broken_and_that_of_the_solution_is_pytorchs():
    q, k, v = torch.randn(3, 2, 5, 4).unbind()
    want = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    broken = definitions(LESSON, "causal_attention").causal_attention
    assert not torch.allclose(broken(q, k, v), want, atol=1e-2)
    mended = definitions(LESSON, "causal_attention", folder="solutions").causal_attention
    torch.testing.assert_close(mended(q, k, v), want)


@pytest.mark.parametrize("positions", [0.02, 1.0, None])
@pytest.mark.parametrize("depth", [1, 2])
def test_the_transformer_is_the_packages(positions, depth):
    lesson = definitions(LESSON, "attention", "SelfAttention", "Block", "patches", "TinyViT")
    ours = lesson.TinyViT(dim=12, depth=depth, heads=3, positions=positions)
    theirs = models.VisionTransformer(16, 4, dim=12, depth=depth, heads=3, position_std=positions)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(5, 1, 16, 16)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.blocks[0].attention.shares(ours.blocks[0].norm1(ours.tokens(x))),
                               theirs.attention_maps(x)[0])  # fmt: skip


def test_patches_and_back():
    patches = definitions(LESSON, "patches").patches
    assembled = definitions(LESSON, "assembled", folder="solutions").assembled
    images = torch.rand(2, 3, 8, 12)
    words = patches(images, 4)
    assert words.shape == (2, 6, 48)
    assert torch.equal(words[0, 4].view(3, 4, 4), images[0, :, 4:8, 4:8])
    torch.testing.assert_close(words, F.unfold(images, 4, stride=4).mT)
    assert torch.equal(assembled(words, 8, 12), images)


def test_jumbled_moves_patches_only():
    lesson = definitions(LESSON, "patches", "jumbled")
    x, places = torch.rand(3, 1, 16, 16), torch.randperm(16)
    assert torch.equal(lesson.patches(lesson.jumbled(x, places)), lesson.patches(x)[:, places])
    assert torch.equal(lesson.jumbled(x, torch.arange(16)), x)
