"""Answers to the exercises of day 20: other right ones, and wrong ones that are really given."""

import torch
from answers import Answers
from torch import nn
from torch.nn import functional as F


def parameters_by_pytorch(inputs, hidden, layers=1):
    return sum(p.numel() for p in nn.LSTM(inputs, hidden, num_layers=layers).parameters())


def parameters(inputs, hidden, layers, gates=4, biases=2, later=None):
    first = gates * hidden * (inputs + hidden + biases)
    return first + (layers - 1) * gates * hidden * ((later or hidden) + hidden + biases)


def parameters_with_one_bias(inputs, hidden, layers=1):
    return parameters(inputs, hidden, layers, biases=1)


def parameters_without_bias(inputs, hidden, layers=1):
    return parameters(inputs, hidden, layers, biases=0)


def parameters_of_rnn(inputs, hidden, layers=1):
    return parameters(inputs, hidden, layers, gates=1)


def parameters_of_gru(inputs, hidden, layers=1):
    return parameters(inputs, hidden, layers, gates=3)


def parameters_of_equal_layers(inputs, hidden, layers=1):
    return layers * parameters(inputs, hidden, 1)


def parameters_of_one_layer(inputs, hidden, layers=1):
    return parameters(inputs, hidden, 1)


def parameters_without_state(inputs, hidden, layers=1):
    return 4 * hidden * (inputs + 2) + (layers - 1) * 4 * hidden * (hidden + 2)


def gru_by_pytorch(x, h, w_ih, w_hh, b_ih, b_hh):
    cell = nn.GRUCell(x.shape[1], h.shape[1])
    cell.load_state_dict({"weight_ih": w_ih, "weight_hh": w_hh, "bias_ih": b_ih, "bias_hh": b_hh})
    return cell(x, h)


def gru_by_slices(x, h, w_ih, w_hh, b_ih, b_hh):
    size = h.shape[1]
    first, second, third = slice(0, size), slice(size, 2 * size), slice(2 * size, None)
    r = torch.sigmoid(F.linear(x, w_ih[first], b_ih[first]) + F.linear(h, w_hh[first], b_hh[first]))
    z = torch.sigmoid(F.linear(x, w_ih[second], b_ih[second]) + F.linear(h, w_hh[second], b_hh[second]))
    n = torch.tanh(F.linear(x, w_ih[third], b_ih[third]) + r * F.linear(h, w_hh[third], b_hh[third]))
    return n + z * (h - n)


def gru_parts(x, h, w_ih, w_hh, b_ih, b_hh):
    a, b = (x @ w_ih.T + b_ih).chunk(3, dim=1), (h @ w_hh.T + b_hh).chunk(3, dim=1)
    return (a[0] + b[0]).sigmoid(), (a[1] + b[1]).sigmoid(), a[2], b[2]


def gru_swapped(*case):
    r, z, a, b = gru_parts(*case)
    return z * torch.tanh(a + r * b) + (1 - z) * case[1]


def gru_in_another_order(*case):
    z, r, a, b = gru_parts(*case)
    return (1 - z) * torch.tanh(a + r * b) + z * case[1]


def gru_reset_first(x, h, w_ih, w_hh, b_ih, b_hh):
    r, z, a, _ = gru_parts(x, h, w_ih, w_hh, b_ih, b_hh)
    n = torch.tanh(a + (r * h) @ w_hh.chunk(3)[2].T + b_hh.chunk(3)[2])
    return (1 - z) * n + z * h


def gru_bias_outside(x, h, w_ih, w_hh, b_ih, b_hh):
    r, z, a, _ = gru_parts(x, h, w_ih, w_hh, b_ih, b_hh)
    n = torch.tanh(a + r * (h @ w_hh.chunk(3)[2].T) + b_hh.chunk(3)[2])
    return (1 - z) * n + z * h


def gru_without_reset(*case):
    _, z, a, b = gru_parts(*case)
    return (1 - z) * torch.tanh(a + b) + z * case[1]


def gru_resetting_all(*case):
    r, z, a, b = gru_parts(*case)
    return (1 - z) * torch.tanh(r * (a + b)) + z * case[1]


def gru_without_tanh(*case):
    r, z, a, b = gru_parts(*case)
    return (1 - z) * (a + r * b) + z * case[1]


def opened(lstm, value, *, block=1, add=False, both=False, other=True, layers=None, whole=False):
    size = lstm.hidden_size
    gate = slice(None) if whole else slice(block * size, (block + 1) * size)
    with torch.no_grad():
        for layer in range(lstm.num_layers if layers is None else layers):
            one, two = getattr(lstm, f"bias_ih_l{layer}"), getattr(lstm, f"bias_hh_l{layer}")
            one[gate] = one[gate] + value if add else value
            if both:
                two[gate] = value
            elif other and not add:
                two[gate] = 0.0


def open_by_halves(lstm, value=1.0):
    size = lstm.hidden_size
    for name, p in lstm.named_parameters():
        if name.startswith("bias"):
            p.data[size : 2 * size].fill_(value / 2)


def open_by_difference(lstm, value=1.0):
    for layer in range(lstm.num_layers):
        one, two = getattr(lstm, f"bias_ih_l{layer}").data, getattr(lstm, f"bias_hh_l{layer}").data
        one.chunk(4)[1].copy_(value - two.chunk(4)[1])


def open_twice(lstm, value=1.0):
    opened(lstm, value, both=True)


def open_one_of_two(lstm, value=1.0):
    opened(lstm, value, other=False)


def open_first_layer(lstm, value=1.0):
    opened(lstm, value, layers=1)


def open_input_gate(lstm, value=1.0):
    opened(lstm, value, block=0)


def open_output_gate(lstm, value=1.0):
    opened(lstm, value, block=3)


def open_by_adding(lstm, value=1.0):
    opened(lstm, value, add=True)


def open_everything(lstm, value=1.0):
    opened(lstm, value, whole=True)


def open_clearing_the_other(lstm, value=1.0):
    with torch.no_grad():
        for layer in range(lstm.num_layers):
            one, two = getattr(lstm, f"bias_ih_l{layer}"), getattr(lstm, f"bias_hh_l{layer}")
            one += two
            two.zero_()
            one[lstm.hidden_size : 2 * lstm.hidden_size] = value


def open_with_weights(lstm, value=1.0):
    opened(lstm, value)
    with torch.no_grad():
        lstm.weight_hh_l0[lstm.hidden_size : 2 * lstm.hidden_size] = 0.0


def open_with_new_parameters(lstm, value=1.0):
    size = lstm.hidden_size
    for layer in range(lstm.num_layers):
        one, two = getattr(lstm, f"bias_ih_l{layer}").detach(), getattr(lstm, f"bias_hh_l{layer}").detach()
        one[size : 2 * size], two[size : 2 * size] = value, 0.0
        getattr(lstm, f"bias_ih_l{layer}").requires_grad_(False)


def causal_by_pytorch(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def causal_by_loop(q, k, v):
    rows = []
    for t in range(q.shape[-2]):
        scores = q[..., t : t + 1, :] @ k[..., : t + 1, :].mT / q.shape[-1] ** 0.5
        rows.append(scores.softmax(-1) @ v[..., : t + 1, :])
    return torch.cat(rows, dim=-2)


def causal_by_dividing(q, k, v):
    shares = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1).tril()
    return (shares / shares.sum(-1, keepdim=True)) @ v


def causal_with_both_bugs(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1).triu() @ v


def causal_masked_late(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1).tril() @ v


def hidden(q, k, v, visible, fill=-torch.inf, root=True):
    scores = q @ k.mT / (q.shape[-1] ** 0.5 if root else 1.0)
    return scores.masked_fill(~visible, fill).softmax(-1) @ v


def lower(q, diagonal=0):
    return torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).tril(diagonal)


def causal_of_the_future(q, k, v):
    return hidden(q, k, v, lower(q).mT)


def causal_with_zeros(q, k, v):
    return hidden(q, k, v, lower(q), fill=0.0)


def causal_strict(q, k, v):
    return hidden(q, k, v, lower(q, -1))


def causal_seeing_all(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


def causal_without_root(q, k, v):
    return hidden(q, k, v, lower(q), root=False)


def assembled_by_fold(words, height, width, size=4):
    return F.fold(words.mT, (height, width), kernel_size=size, stride=size)


def assembled_by_loop(words, height, width, size=4):
    images = words.new_zeros(len(words), words.shape[2] // size**2, height, width)
    for j in range(words.shape[1]):
        top, left = j // (width // size) * size, j % (width // size) * size
        images[:, :, top : top + size, left : left + size] = words[:, j].view(len(words), -1, size, size)
    return images


def assembled_by_reshape(words, height, width, size=4):
    return words.reshape(len(words), -1, height, width)


def woven(words, height, width, size, *, columns_first=False, channel_last=False, turned=False):
    rows, columns = height // size, width // size
    if columns_first:
        grid = words.reshape(len(words), columns, rows, -1, size, size).transpose(1, 2)
    elif channel_last:
        grid = words.reshape(len(words), rows, columns, size, size, -1).permute(0, 1, 2, 5, 3, 4)
    else:
        grid = words.reshape(len(words), rows, columns, -1, size, size)
    if turned:
        grid = grid.mT
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(len(words), -1, height, width)


def assembled_by_columns(words, height, width, size=4):
    return woven(words, height, width, size, columns_first=True)


def assembled_channel_last(words, height, width, size=4):
    return woven(words, height, width, size, channel_last=True)


def assembled_turned(words, height, width, size=4):
    return woven(words, height, width, size, turned=True)


ANSWERS = {
    "day20.lstm_parameters": Answers(
        right=[parameters_by_pytorch],
        wrong=[
            (parameters_with_one_bias, "One bias is missing"),
            (parameters_without_bias, "The biases are missing"),
            (parameters_of_rnn, "plain RNN"),
            (parameters_of_gru, "That is a GRU"),
            (parameters_of_equal_layers, "not `inputs`"),
            (parameters_of_one_layer, "the first layer alone"),
            (parameters_without_state, "The state has a matrix too"),
        ],
    ),
    "day20.gru_step": Answers(
        right=[gru_by_pytorch, gru_by_slices],
        wrong=[
            (gru_swapped, "swapped"),
            (gru_in_another_order, "in the order r, z, n"),
            (gru_reset_first, "not the state before it"),
            (gru_bias_outside, "inside the brackets"),
            (gru_without_reset, "The reset gate is missing"),
            (gru_resetting_all, "not the row's"),
            (gru_without_tanh, "The proposal is a tanh"),
        ],
    ),
    "day20.open_forget_gate": Answers(
        right=[open_by_halves, open_by_difference],
        wrong=[
            (open_twice, "twice as much"),
            (open_one_of_two, "still has its old numbers"),
            (open_first_layer, "each layer has biases of its own"),
            (open_input_gate, "That is the input gate"),
            (open_output_gate, "That is the output gate"),
            (open_by_adding, "the sum should *be*"),
            (open_everything, "Every block was changed"),
            (open_clearing_the_other, "in each of the two biases"),
            (open_with_weights, "Only biases"),
            (open_with_new_parameters, "in place, under torch.no_grad()"),
        ],
    ),
    "day20.causal_attention": Answers(
        right=[causal_by_pytorch, causal_by_loop, causal_by_dividing],
        wrong=[
            (causal_with_both_bugs, "Both bugs"),
            (causal_masked_late, "after the softmax"),
            (causal_of_the_future, "at *later* ones"),
            (causal_with_zeros, "exp(0) is 1"),
            (causal_strict, "may each position look at itself"),
            (causal_seeing_all, "Nothing is hidden"),
            (causal_without_root, "The root of d"),
        ],
    ),
    "day20.assembled": Answers(
        right=[assembled_by_fold, assembled_by_loop],
        wrong=[
            (assembled_by_reshape, "A reshape alone"),
            (assembled_by_columns, "column by column"),
            (assembled_channel_last, "the channel comes first"),
            (assembled_turned, "Each patch is turned"),
        ],
    ),
}
