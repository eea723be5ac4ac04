"""Checks of day 20: an LSTM's size, a step of a GRU, an open forget gate, causal attention, images from patches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nnlab_helpers.exercises.checking import Trial, any_of, exercise


@exercise(
    "day20.lstm_parameters",
    title="How many numbers are in an LSTM?",
    stars=1,
    draws=True,
    hints=(
        "One layer owns a matrix for the row, a matrix for the state, and how many biases? Look at lstm_step.",
        "Each of them has 4 * hidden rows: three gates and a proposal.",
        "First layer: 4 * hidden * (inputs + hidden + 2). A later one has hidden inputs instead.",
    ),
    learned="The two biases are always added, so one would do. PyTorch keeps both because cuDNN, a GPU library, does.",
)
def lstm_parameters(answer: Callable[..., Any], t: Trial) -> None:
    """Small LSTMs, stacked ones, and one of random sizes."""
    cases = [(2, 3, 1), (2, 3, 2), (5, 7, 3), (16, 46, 1), (*t.randint(4, 30, 2).tolist(), 4)]
    for inputs, hidden, layers in cases:
        got = t.call(answer, inputs, hidden, layers)

        def count(gates: int = 4, biases: int = 2, later: int = hidden) -> int:
            first = gates * hidden * (inputs + hidden + biases)  # noqa: B023
            return first + (layers - 1) * gates * hidden * (later + hidden + biases)  # noqa: B023

        t.expect(
            got,
            count(),
            given=f"inputs = {inputs}, hidden = {hidden}, layers = {layers}",
            known={
                "One bias is missing: PyTorch adds one to the row's part and another to the state's.": count(biases=1),
                "The biases are missing.": count(biases=0),
                "That is a plain RNN: an LSTM has four such blocks, three gates and a proposal.": count(1),
                "That is a GRU: an LSTM has three gates *and* a proposal, four blocks.": count(3),
                "Layers after the first read states, `hidden` numbers, not `inputs`.": count(later=inputs),
                "That is the first layer alone.": 4 * hidden * (inputs + hidden + 2),
                "The state has a matrix too, from `hidden` to each of the four blocks.": 4 * hidden * (inputs + 2)
                + (layers - 1) * 4 * hidden * (hidden + 2),
            },
        )


def _gru(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, bug: str = "") -> Tensor:
    """One step of a GRU, or of one with a known mistake."""
    a, b = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
    ar, az, an = a.chunk(3, dim=1)
    br, bz, bn = b.chunk(3, dim=1)
    if bug == "order":
        ar, az, br, bz = az, ar, bz, br
    r, z = torch.sigmoid(ar + br), torch.sigmoid(az + bz)
    w, c = w_hh.chunk(3)[2], b_hh.chunk(3)[2]
    inside = {
        "reset first": (r * h) @ w.T + c,
        "bias outside": r * (h @ w.T) + c,
        "no reset": bn,
    }.get(bug, r * bn)
    n = an + inside if bug == "no tanh" else torch.tanh(an + inside)
    if bug == "reset all":
        n = torch.tanh(r * (an + bn))
    if bug == "swapped":
        z = 1 - z
    return (1 - z) * n + z * h


@exercise(
    "day20.gru_step",
    title="One step of a GRU",
    stars=3,
    draws=True,
    hints=(
        "Compute x @ w_ih.T + b_ih and h @ w_hh.T + b_hh, both [N, 3 H], and cut each in three along dim 1.",
        "The two gates add their parts; the proposal must not add them before r has multiplied the state's part.",
        "r = (xr + hr).sigmoid(); z = (xz + hz).sigmoid(); n = (xn + r * hn).tanh(); then (1 - z) * n + z * h.",
    ),
    learned="In the paper r multiplies the state *before* the matrix; PyTorch does it after: one product less.",
)
def gru_step(answer: Callable[..., Any], t: Trial) -> None:
    """All zeros, then random weights, held against nn.GRUCell."""
    zeros = [torch.zeros(6, 3), torch.zeros(6, 2), torch.zeros(6), torch.zeros(6)]
    cases: list[list[Tensor]] = [[torch.ones(1, 3), torch.tensor([[2.0, 4.0]]), *zeros]]
    for n, d, hidden in ((1, 1, 2), (3, 5, 4), (5, 4, 7)):
        weights = [t.randn(3 * hidden, d), t.randn(3 * hidden, hidden), t.randn(3 * hidden), t.randn(3 * hidden)]
        cases.append([t.randn(n, d), t.randn(n, hidden), *weights])
    slips = {
        "The gates are mixed up: the blocks stand in the order r, z, n.": "order",
        "z and 1 - z are swapped: z says how much of the *old* state stays.": "swapped",
        "r multiplies the state's part after the matrix and its bias, not the state before it.": "reset first",
        "The bias of the state's part of n stands inside the brackets: r multiplies it too.": "bias outside",
        "The reset gate is missing: r multiplies the state's part of the proposal.": "no reset",
        "r multiplies only the state's part of the proposal, not the row's.": "reset all",
        "The proposal is a tanh.": "no tanh",
    }
    for case in cases:
        x, h, w_ih, w_hh, b_ih, b_hh = case
        cell = nn.GRUCell(x.shape[1], h.shape[1])
        cell.load_state_dict({"weight_ih": w_ih, "weight_hh": w_hh, "bias_ih": b_ih, "bias_hh": b_hh})
        got = t.call(answer, *(value.clone() for value in case))
        t.expect(
            got,
            cell(x, h).detach(),
            given=(
                "h = [[2, 4]] and all weights zero"
                if not w_ih.any()
                else f"x of shape {list(x.shape)}, h of shape {list(h.shape)} and random weights"
            ),
            known={message: partial(_gru, x, h, w_ih, w_hh, b_ih, b_hh, bug) for message, bug in slips.items()},
        )


@exercise(
    "day20.open_forget_gate",
    title="Open the forget gate",
    stars=2,
    hints=(
        "In a bias of length 4 * hidden_size, where does the second of the blocks i, f, g, o begin and end?",
        "for layer in range(lstm.num_layers): getattr(lstm, f'bias_ih_l{layer}') is that layer's bias.",
        "Under torch.no_grad(): set [hidden_size : 2 * hidden_size] of one bias to value, and of the other to 0.",
    ),
    learned="TensorFlow's LSTM starts with a forget bias of 1; PyTorch's does not, so you have to do it yourself.",
)
def open_forget_gate(answer: Callable[..., Any], t: Trial) -> None:
    """One layer, then stacks; the sum of the biases, and everything else untouched."""
    for inputs, hidden, layers, value in ((3, 2, 1, 1.0), (4, 3, 2, 2.0), (2, 5, 3, -0.5)):
        lstm = nn.LSTM(inputs, hidden, num_layers=layers)
        with torch.no_grad():
            for p in lstm.parameters():
                p.copy_(t.randn(*p.shape))
        before = {name: p.detach().clone() for name, p in lstm.named_parameters()}
        t.call(answer, lstm, value, may_change=True)
        given = f"hidden_size {hidden}, {layers} layer{'s' * (layers > 1)}, value {value}"
        names = set(dict(lstm.named_parameters()))
        t.require(
            names == set(before),
            f"for {given}: the parameters {sorted(set(before) - names)} are gone",
            "Change the numbers in the biases and leave them parameters: under torch.no_grad().",
        )
        after = {name: p.detach() for name, p in lstm.named_parameters()}
        for name, p in lstm.named_parameters():
            t.require(
                p.requires_grad and p.shape == before[name].shape,
                f"for {given}: {name} is no longer what it was, a parameter that learns",
                "Change its numbers in place, under torch.no_grad().",
            )
        for layer in range(layers):
            _expect_bias(t, before, after, layer, hidden, value, given)
        for name in before:
            if name.startswith("weight"):
                t.require(
                    torch.equal(before[name], after[name]),
                    f"for {given}: {name} was changed",
                    "Only biases of the forget gate are to change.",
                )


def _expect_bias(
    t: Trial, before: dict[str, Tensor], after: dict[str, Tensor], layer: int, hidden: int, value: float, given: str
) -> None:
    """Hold the sum of one layer's biases against what it should be."""
    two = [f"bias_ih_l{layer}", f"bias_hh_l{layer}"]
    old = before[two[0]] + before[two[1]]
    forget = slice(hidden, 2 * hidden)

    def filled(block: int, number: float) -> Tensor:
        changed = old.clone()
        changed[block * hidden : (block + 1) * hidden] = number
        return changed

    one_of_two = []
    for kept in two:
        changed = old.clone()
        changed[forget] = value + before[kept][forget]
        one_of_two.append(changed)
    names = {0: "input gate", 2: "proposal", 3: "output gate"}
    t.expect(
        after[two[0]] + after[two[1]],
        filled(1, value),
        given=f"for {given}",
        what=f"the sum of the two biases of layer {layer}",
        known={
            f"Layer {layer} was left as it was: each layer has biases of its own.": old,
            "The two biases are added: with `value` in both, the gate gets twice as much.": filled(1, 2 * value),
            "The other of the two biases still has its old numbers, and they are added.": any_of(*one_of_two),
            "`value` was added to the old bias; the sum should *be* `value`.": old + filled(1, value) - filled(1, 0.0),
            "Every block was changed: only the second, f, is the forget gate.": any_of(
                torch.full_like(old, value), torch.full_like(old, 2 * value)
            ),
            **{
                f"That is the {name}: the order is i, f, g, o.": any_of(filled(block, value), filled(block, 2 * value))
                for block, name in names.items()
            },
        },
    )
    for name in two:
        rest = torch.ones(4 * hidden, dtype=torch.bool)
        rest[forget] = False
        t.require(
            torch.equal(before[name][rest], after[name][rest]),
            f"for {given}: {name} was changed outside of the forget gate",
            "All other numbers stay exactly as they are, in each of the two biases.",
        )


def _causal(q: Tensor, k: Tensor, v: Tensor, bug: str = "") -> Tensor:
    """Causal attention, or that of a known mistake."""
    steps = q.shape[-2]
    may_look = torch.ones(steps, steps, dtype=torch.bool).tril()
    if "future" in bug:
        may_look = may_look.mT
    if "strict" in bug:
        may_look = may_look.tril(-1)
    scores = q @ k.mT / (1.0 if "root" in bug else q.shape[-1] ** 0.5)
    if "after" in bug:
        return (scores.softmax(dim=-1) * may_look) @ v
    if "all" in bug:
        return scores.softmax(dim=-1) @ v
    return scores.masked_fill(~may_look, 0.0 if "zero" in bug else -torch.inf).softmax(dim=-1) @ v


@exercise(
    "day20.causal_attention",
    title="Mend the causal attention",
    stars=2,
    hints=(
        "Print may_look for three steps: row t should be True where word t may look. Then print shares.sum(dim=-1).",
        "triu keeps the later ones, tril the earlier ones. And shares must sum to 1, so what is hidden must not take "
        "part in the softmax.",
        "scores.masked_fill(~may_look, -torch.inf) before the softmax: exp(-inf) is 0.",
    ),
    learned="F.scaled_dot_product_attention(q, k, v, is_causal=True) is the same; every GPT is built on it.",
)
def causal_attention(answer: Callable[..., Any], t: Trial) -> None:
    """The means of the task's example, then random queries of two, three and four dimensions."""
    cases = [(torch.ones(3, 1), torch.ones(3, 1), torch.tensor([[2.0], [4.0], [9.0]]))]
    for shape, width in (((1, 4), 4), ((5, 3), 3), ((2, 4, 3), 5), ((2, 3, 7, 4), 4)):
        cases.append((2 * t.randn(*shape), 2 * t.randn(*shape), t.randn(*shape[:-1], width)))
    slips = {
        "Both bugs are still in it.": "future after",
        "One bug is left: the shares of what is hidden are set to 0 after the softmax, so the rest do not sum to 1.": (
            "after"
        ),
        "One bug is left: each position looks at itself and at *later* ones.": "future",
        "A score of 0 is not hidden: exp(0) is 1. Which score has a share of 0?": "zero",
        "Nothing is hidden: every position looks at all.": "all",
        "The root of d got lost.": "root",
    }
    for q, k, v in cases:
        got = t.call(answer, q.clone(), k.clone(), v.clone())
        if isinstance(got, Tensor) and got.shape == v.shape and got.isnan().any():
            t.fail(
                "the answers hold nan",
                "A row in which everything is hidden has no shares: may each position look at itself?",
            )
        t.expect(
            got,
            _causal(q, k, v),
            given="q = k = [[1]] * 3 and v = [[2], [4], [9]]" if (q == 1).all() else f"q of shape {list(q.shape)}",
            known={
                message: partial(_causal, q, k, v, bug) for message, bug in slips.items()
            },
        )


def _images(words: Tensor, height: int, width: int, size: int, bug: str = "") -> Tensor:
    """Patches put back together, or put together in a wrong way."""
    rows, columns = height // size, width // size
    channels = words.shape[2] // size**2
    if bug == "reshape":
        return words.reshape(len(words), channels, height, width)
    if bug == "columns first":
        grid = words.reshape(len(words), columns, rows, channels, size, size).transpose(1, 2)
    elif bug == "channel last":
        grid = words.reshape(len(words), rows, columns, size, size, channels).permute(0, 1, 2, 5, 3, 4)
    else:
        grid = words.reshape(len(words), rows, columns, channels, size, size)
    if bug == "turned":
        grid = grid.transpose(4, 5)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(len(words), channels, height, width)


@exercise(
    "day20.assembled",
    title="Put the patches back together",
    stars=2,
    hints=(
        "First give every axis its own dimension: [N, patch rows, patch columns, C, size, size].",
        "In the image a row of pixels runs through all patch columns. So which axes must stand beside each other "
        "before they are merged?",
        "permute(0, 3, 1, 4, 2, 5): N, C, patch row, row, patch column, column. Then reshape to the image.",
    ),
    learned="F.fold does it too, and adds up where patches overlap. A transformer that *draws* ends in such a step.",
)
def assembled(answer: Callable[..., Any], t: Trial) -> None:
    """Two patches, then images with unequal sides, several channels and other patch sizes."""
    cases: list[tuple[Tensor, int, int, int]] = [(torch.arange(1.0, 9).reshape(1, 2, 4), 2, 4, 2)]
    for n, channels, height, width, size in ((1, 1, 4, 4, 2), (2, 1, 4, 6, 2), (3, 2, 9, 6, 3), (2, 3, 4, 12, 4)):
        tokens = (height // size) * (width // size)
        cases.append((t.randn(n, tokens, channels * size * size), height, width, size))
    slips = {
        "A reshape alone (or rows and columns of patches swapped) lays whole patches in a line; weave them.": "reshape",
        "The patches were laid column by column; they come row by row.": "columns first",
        "Within a patch the channel comes first, then its rows.": "channel last",
        "Each patch is turned: its rows became columns.": "turned",
    }
    for words, height, width, size in cases:
        got = t.call(answer, words.clone(), height, width, size)
        t.expect(
            got,
            _images(words, height, width, size),
            given=f"words of shape {list(words.shape)}, height {height}, width {width}, size {size}",
            known={message: partial(_images, words, height, width, size, bug) for message, bug in slips.items()},
        )
    words = t.randn(1, 4, 16)
    t.expect(
        t.call(answer, words.clone(), 8, 8),
        _images(words, 8, 8, 4),
        given="words of shape [1, 4, 16], height 8, width 8 and no size",
    )
