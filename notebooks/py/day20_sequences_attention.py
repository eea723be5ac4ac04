# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Day 20: can a network read an image like a sentence?
#
# *Reading: about 40 minutes. Running: under 30 seconds on two CPU cores. Builds on
# [day 4](day04_layers_modules.ipynb), [day 7](day07_lenet.ipynb) and [day 15](day15_depth_width.ipynb).*
#
# A convolution is told something about images before it sees one: that neighbours belong together. Networks for
# language know nothing of the kind. They get a sequence, one item after the other, and still the same design, the
# transformer, now reads both books and photographs. Today you read digits that way: row by row with a memory, then all
# parts at once with attention. In the end both meet a convolution and an MLP of the same size, and you find out what
# the convolution's advance knowledge is worth.
#
# **By the end you can**
#
# - read an image row by row with a recurrent cell that you built, and say what its gates do;
# - measure how much of the first row is left in the last state, and change it with one number;
# - build attention from queries, keys and values, and say why it needs a root and why it needs positions;
# - compare designs at equal size, and tell what each of them assumes about its input.
#
# [← Day 19: why let the signal skip a layer?](day19_skip_multibranch.ipynb) ·
# [Day 21: which choice mattered most? →](day21_ablation_study.ipynb)

# %%
from functools import cache

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.data import Normalize, TensorLoader, load_images
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.models import MLP, count_parameters
from nnlab_helpers.plots import PALETTE, label_lines, plot_band, show_images, use_style
from nnlab_helpers.sweep import cache_folder, effects, sweep
from nnlab_helpers.train import fit

seed_everything(0)
device = pick_device()
use_style()

# %% [markdown]
# ## Look first: a digit that arrives line by line
#
# 1,200 digits to train on and 2,000 others to validate, each shrunk to 14 x 14 pixels with a border of one pixel: 16
# rows of 16. To us each digit is a picture. To a network that reads, it is a **sequence**: 16 items, each a row of 16
# numbers, and they come one after the other.

# %%
digits = load_images("mnist", "train")
order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
train_set = digits.take(order[:1_200]).resize(14).pad(1)
val_set = digits.take(order[10_000:12_000]).resize(14).pad(1)
normalize = Normalize.from_images(train_set)


def whole(images):
    """All of an image set as one batch: [N, 1, 16, 16] and labels [N]."""
    loader = TensorLoader(images, batch_size=len(images), normalize=normalize,
                          device=device)
    return next(iter(loader))


train_x, train_y = whole(train_set)
val_x, val_y = whole(val_set)
print("training:", list(train_x.shape), " validation:", list(val_x.shape))

# %%
example = 1_798  # one of the validation digits, chosen because it takes its time
partly = []
for read in (3, 6, 9, 12, 16):
    seen = val_set.images[example].float().clone()
    seen[:, read:] = 110  # grey: not read yet
    partly.append(seen)
show_images(torch.stack(partly), [f"{read} rows" for read in (3, 6, 9, 12, 16)],
            size=1.2, title="When do you know which digit it is?", value_range=(0, 255))
plt.show()

# %% [markdown]
# ## A cell that reads
#
# The recurrent layer of [day 4](day04_layers_modules.ipynb) keeps a **state**: a few numbers that it rewrites at each
# row, from the row and the old state. The simplest cell (Elman, 1990) is a linear layer and a tanh:
#
# $$h_t = \tanh(W x_t + b + U h_{t-1} + c) .$$
#
# The same $W$ and $U$ serve every row, so the number of parameters does not depend on how long the sequence is. By
# hand, for a batch of digits, held against PyTorch:

# %%
rnn = nn.RNN(16, 24, batch_first=True).to(device)
rows = val_x[:5, 0]  # [5, 16 rows, 16 pixels]
with torch.no_grad():
    state = torch.zeros(5, 24, device=device)
    for row in rows.unbind(dim=1):  # row: [5, 16]
        state = torch.tanh(row @ rnn.weight_ih_l0.T + rnn.bias_ih_l0
                           + state @ rnn.weight_hh_l0.T + rnn.bias_hh_l0)
    outputs, last = rnn(rows)  # the state after every row, and after the last
torch.testing.assert_close(state, last[0])
print("after every row:", list(outputs.shape), "  after the last:", list(state.shape))


# %% [markdown]
# What a state should hold is a matter of choice at each row: keep this number, replace that one. A **gate** is such a
# choice, made soft: a sigmoid for each number of the state, between 0 (no) and 1 (yes), computed from the row and the
# old state. The **LSTM** (Hochreiter and Schmidhuber, 1997) has three gates and a second state, the *cell* $c$, that
# passes through no matrix and no tanh on its way from row to row:
#
# $$c_t = f \odot c_{t-1} + i \odot g , \qquad h_t = o \odot \tanh(c_t) .$$
#
# In words: the **forget gate** $f$ says what to keep of the cell, the **input gate** $i$ what to write of the proposal
# $g$ (a tanh), and the **output gate** $o$ what to show. $\odot$ multiplies number by number. PyTorch keeps the
# weights of all four in one matrix, in the order $i, f, g, o$.

# %%
def lstm_step(row, state, cell, lstm, extra=0.0):
    """State and cell [N, H] after a row [N, D]; `extra` opens the forget gate."""
    mixed = (row @ lstm.weight_ih_l0.T + lstm.bias_ih_l0
             + state @ lstm.weight_hh_l0.T + lstm.bias_hh_l0)  # [N, 4 H]
    i, f, g, o = mixed.chunk(4, dim=1)
    cell = (f + extra).sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


lstm = nn.LSTM(16, 24, batch_first=True).to(device)
with torch.no_grad():
    state = cell = torch.zeros(5, 24, device=device)
    for row in rows.unbind(dim=1):
        state, cell = lstm_step(row, state, cell, lstm)
    torch.testing.assert_close(state, lstm(rows)[0][:, -1])
print("sixteen steps by hand are nn.LSTM")


# %% [markdown]
# ### Exercise: how many numbers are in an LSTM? ★☆☆
#
# `lstm_parameters(inputs, hidden, layers)` returns the number of parameters of
# `nn.LSTM(inputs, hidden, num_layers=layers)`, an int, from arithmetic alone. In a stack of layers, each layer after
# the first reads the states of the one below. Look at the by-hand version for what one layer owns: how many
# matrices and how many biases, and how many rows each has. `lstm_parameters(2, 3, 1)` is 84, and
# `lstm_parameters(2, 3, 2)` is 180. Stuck? `hint("day20.lstm_parameters")` gives a nudge, and a stronger one each time.

# %%
def lstm_parameters(inputs, hidden, layers=1):
    """The number of parameters of nn.LSTM(inputs, hidden, num_layers=layers)."""
    ...  # your code here


check("day20.lstm_parameters", lstm_parameters)


# %% [markdown]
# The **GRU** (Cho and others, 2014) does with one state and two gates. The **reset gate** $r$ says how much of the old
# state the proposal $n$ gets to see; the **update gate** $z$ says how much of the old state stays:
#
# $$n = \tanh\big(W_n x + b_n + r \odot (U_n h + c_n)\big), \qquad h_{\text{new}} = (1 - z) \odot n + z \odot h .$$
#
# ### Exercise: one step of a GRU ★★★
#
# `gru_step(x, h, w_ih, w_hh, b_ih, b_hh)` returns the new state `[N, H]` for a row `x` `[N, D]` and the old state `h`
# `[N, H]`. The weights are as in `nn.GRU`: `w_ih` `[3 H, D]` and `b_ih` `[3 H]` act on `x`, `w_hh` `[3 H, H]` and
# `b_hh` `[3 H]` act on `h`, each in three blocks of H rows in the order $r, z, n$. Both gates are sigmoids of the sum
# of their two parts, and the formulas above are PyTorch's own. Change no input. With all weights and biases 0, both
# gates are one half and the proposal is 0, so that `h = [[2.0, 4.0]]` gives `[[1.0, 2.0]]`.

# %%
def gru_step(x, h, w_ih, w_hh, b_ih, b_hh):
    """The state [N, H] of a GRU after one more row x [N, D]."""
    ...  # your code here


check("day20.gru_step", gru_step)


# %% [markdown]
# ## A reader for digits
#
# A reader is a recurrent layer and a linear layer: the last state becomes ten logits. To compare the three cells
# fairly, each gets a state of such a size that all readers have about 12,200 parameters.

# %%
class RowReader(nn.Module):
    """Reads [N, 1, H, 16] row by row; logits [N, 10] come from the last state."""

    def __init__(self, layer, hidden):
        super().__init__()
        self.rnn = layer(16, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 10)

    def states(self, x):  # [N, H, hidden]
        return self.rnn(x[:, 0])[0]

    def forward(self, x):
        return self.head(self.states(x)[:, -1])

    def after_each_row(self, x):  # [N, H, 10]
        return self.head(self.states(x))


MODELS = {
    "RNN": lambda: RowReader(nn.RNN, 98),
    "GRU": lambda: RowReader(nn.GRU, 54),
    "LSTM": lambda: RowReader(nn.LSTM, 46),
}
for name, make in MODELS.items():
    print(f"{name:5} state of {make().rnn.hidden_size:2}: {count_parameters(make()):,}")


# %% [markdown]
# All training of today is this one function: four passes over 1,200 digits with Adam, 48 steps. That is very short, and
# you should know that rate and number of steps were chosen so that today's effects show: longer training makes other
# gaps. `@cache` keeps each trained network, so that a later section gets it back instead of training it again.

# %%
def last_row(model, batch):
    """The usual loss: cross-entropy of the answer after the last row."""
    x, y = batch
    return F.cross_entropy(model(x), y)


@cache
def trained(name, seed=0, step=last_row, change=None):
    """A trained network; `change` is applied to all images first."""
    seed_everything(seed)
    model = MODELS[name]().to(device)
    x = train_x if change is None else change(train_x)
    loader = TensorLoader((x, train_y), batch_size=100, shuffle=True, seed=seed,
                          device=device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.012, fused=True)
    fit(model, loader, epochs=4, optimizer=optimizer, step=step, progress=False,
        device=device)
    return model.eval()


# %% [markdown]
# ## How soon does it know?
#
# The reader has a state after every row, and the linear layer can be asked about any of them. So we can watch it make
# up its mind.
#
# > **Predict.** The LSTM has been trained as usual, with the loss taken after row 16. Draw its accuracy after each of
# > the 16 rows. Where does it reach 50 %? Then: a second LSTM is trained with the loss after *every* row. What changes?

# %%
def every_row(model, batch):
    """Cross-entropy of the answers after each row: the mean over rows and digits."""
    x, y = batch
    logits = model.after_each_row(x)  # [N, 16, 10]
    return F.cross_entropy(logits.flatten(0, 1), y.repeat_interleave(logits.shape[1]))


@torch.no_grad()
def knows(model):
    """Accuracy on the validation digits after each row, in percent: [16]."""
    right = model.after_each_row(val_x).argmax(dim=2) == val_y[:, None]
    return 100 * right.float().mean(dim=0).cpu()


seeds = range(3)
once = torch.stack([knows(trained("LSTM", seed)) for seed in seeds])  # [3, 16]
always = torch.stack([knows(trained("LSTM", seed, step=every_row)) for seed in seeds])

# %% tolerance={"atol": 0.5, "rtol": 0.03}
asked_last, asked_always = once.mean(dim=0), always.mean(dim=0)
for read in (4, 8, 12, 16):
    gain = (always - once)[:, read - 1]
    reach = 4.303 * gain.std() / 3**0.5  # 95 % with three seeds (day 15)
    print(f"after {read:2} rows: asked once {asked_last[read - 1]:4.1f} %, every row"
          f" {asked_always[read - 1]:4.1f} %: {gain.mean():+5.1f} +- {reach:.1f}")
    assert read not in (8, 12) or gain.mean() > reach
assert asked_last[7] < 30 < 50 < asked_always[7] and asked_always[3] < 50
assert asked_always[11] > asked_last[11] + 15
assert min(asked_last[15], asked_always[15]) > 60

# %%
fig, ax = plt.subplots(figsize=(7, 3.2))
read = range(1, 17)
plot_band(ax, read, once, "asked once", marker="o", markersize=4)
plot_band(ax, read, always, "asked every row", marker="o", markersize=4)
ax.axhline(10, color="gray", linestyle=":")
ax.text(16, 5, "guessing", color="gray", ha="right", va="center")
ax.set(xlabel="rows read", ylabel="accuracy (%)", xticks=range(2, 17, 2), ylim=(0, 100))
ax.set_title("A network answers when it was taught to answer")
label_lines(ax)
plt.show()

# %% [markdown]
# **What happened.** Half-way down, the usual LSTM reads little better than a guess, and yet its state must hold what it
# needs later. It has not *put it into words*: the linear layer was only ever taught to read the last state. The second
# LSTM was asked after every row, and half-way down it reads more than half of the digits. So what you read off a hidden
# layer depends on what was trained to read it. (With three seeds, the gap half-way down is several times its interval.
# Look at the last line of the table, too: what does it cost at the end to be asked all the time?)
#
# Now one digit, with the second LSTM: the probability of each class as the rows come in.

# %%
with torch.no_grad():
    reader = trained("LSTM", 0, step=every_row)
    logits = reader.after_each_row(val_x[example:example + 1])
belief = logits[0].softmax(dim=1).cpu()  # [16 rows, 10 classes]
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.4), width_ratios=[1, 1.3])
left.imshow(val_set.images[example, 0], cmap="gray")
right.imshow(belief, cmap="Blues", vmin=0, vmax=1, aspect="auto")
for ax in (left, right):
    ax.set_yticks(range(1, 16, 2), range(2, 17, 2))
    ax.grid(False)
left.set(ylabel="rows read", xticks=[], title="The digit")
right.set(xlabel="class", xticks=range(10), title="What it takes it for (dark: sure)")
assert belief[6].argmax() == 1 and belief[-1].argmax() == 6
plt.show()


# %% [markdown]
# As long as there is only the upright stroke, it takes the digit for a 1, and is rather sure of it. Then the belly
# decides.
#
# ## How much of the first row is left?
#
# A state that is rewritten 16 times may have lost the beginning. To measure it, take a number computed from the last
# state (its product with a random direction) and ask autograd how strongly it reacts to each row: the length of its
# gradient with respect to the pixels of that row. We divide by the value of the last row, so that the last row has 1.
#
# > **Predict.** The networks are fresh, not trained. How strongly does the last state react to the *first* row, in RNN,
# > GRU and LSTM: half as strongly as to the last, a tenth, a thousandth? Which of the three remembers best?

# %%
def memory(make, seeds=range(5)):
    """Reaction of the last state to each row, relative to the last row: [16]."""
    reaction = 0
    for seed in seeds:
        seed_everything(seed)
        model = make().to(device)
        x = train_x[:50].clone().requires_grad_()
        last = model.states(x)[:, -1]
        (last * torch.randn_like(last)).sum().backward()
        reaction = reaction + x.grad[:, 0].norm(dim=2).mean(dim=0).cpu()  # [16]
    return reaction / reaction[-1]


# %% tolerance={"rtol": 0.03}
fresh = {name: memory(make) for name, make in MODELS.items()}
for name, reaction in fresh.items():
    print(f"{name:5} row 1: {reaction[0]:.1e}   row 8: {reaction[7]:.1e}")
assert all(reaction[0] < 5e-3 for reaction in fresh.values())
assert min(fresh["GRU"][0], fresh["LSTM"][0]) > 2 * fresh["RNN"][0]
print(f"a gate that is half open, 15 times: {0.5 ** 15:.1e}")


# %% [markdown]
# **What happened.** The gated cells keep more than the plain one, and still next to nothing: less than a two-hundredth.
# The RNN multiplies by a matrix with small weights and by the slope of a tanh at each row, as on day 3. But the LSTM's
# cell was to pass *undisturbed*? It passes through the forget gate, and the gate of a fresh LSTM is half open: weights
# near zero give a sigmoid of one half, and 15 halves make the last number above. (What was measured is more, as some
# gets through by way of the state and the matrix $U$.) A gate remembers only if it is open.
#
# So open it. The gate is a sigmoid of a sum that contains a bias: with a bias of 3 it starts at 0.95. (Gers and others,
# 2000, start it open; Jozefowicz and others, 2015, recommend a bias of 1.) The biases of the gates stand in the order
# $i, f, g, o$.
#
# ### Exercise: open the forget gate ★★☆
#
# `open_forget_gate(lstm, value)` changes an `nn.LSTM` (any sizes, any number of layers, one direction) in place, under
# `torch.no_grad()`, so that the forget gate of *every* layer starts with the bias `value`. PyTorch adds two biases,
# `bias_ih_l0` and `bias_hh_l0` (and `..._l1` and so on for further layers): their *sum* must be `value` for the forget
# gate. All other numbers stay exactly as they are. It returns nothing. For `hidden_size` 2, the sum of the two biases
# of a layer would read `[?, ?, value, value, ?, ?, ?, ?]`.

# %%
def open_forget_gate(lstm, value=1.0):
    """Give the forget gate of each layer of an nn.LSTM the bias `value`, in place."""
    ...  # your code here


check("day20.open_forget_gate", open_forget_gate)


# %% [markdown]
# Our `lstm_step` has a door for the same thing: `extra` is added to the sum inside the forget gate.

# %%
class OpenLSTM(RowReader):
    """An LSTM reader whose forget gate gets 3 added to its sum."""

    def states(self, x):
        state = cell = torch.zeros(len(x), self.rnn.hidden_size, device=x.device)
        after = []
        for row in x[:, 0].unbind(dim=1):
            state, cell = lstm_step(row, state, cell, self.rnn, extra=3.0)
            after.append(state)
        return torch.stack(after, dim=1)


fresh["LSTM, open gate"] = memory(lambda: OpenLSTM(nn.LSTM, 46))

# %% tolerance={"rtol": 0.03}
gain = fresh["LSTM, open gate"][0] / fresh["LSTM"][0]
print(f"row 1 with an open gate: {fresh['LSTM, open gate'][0]:.2f}")
assert fresh["LSTM, open gate"][0] > 0.25 and gain > 100
fig, ax = plt.subplots(figsize=(7, 3.4))
for name, reaction in fresh.items():
    ax.plot(range(1, 17), reaction, label=name)
ax.set(yscale="log", xlabel="row", ylabel="reaction of the last state\n(last row = 1)")
ax.set(xticks=range(2, 17, 2), xlim=(1, 16))
ax.set_title("A gate remembers only if it is open")
ax.legend(loc="lower right")
plt.show()


# %% [markdown]
# One number, and the first row acts about as strongly as the others. Whether a task needs that is another question: 16
# rows are few, and training moves the gates. Which cell reads our digits best, after the same 48 steps and at the same
# size?
#
# > **Predict.** RNN, GRU, LSTM: rank them by accuracy. By how many points do first and last differ?

# %%
@torch.no_grad()
def accuracy(model, x=val_x):
    """Validation accuracy in percent."""
    return 100 * (model(x).argmax(dim=1) == val_y).float().mean().item()


def read_digits(config, seed):
    """One run of the sweep."""
    return {"accuracy": accuracy(trained(config["model"], seed))}


cells = sweep(read_digits, {"model": ["RNN", "GRU", "LSTM"]}, seeds=range(3), n_jobs=1,
              cache=cache_folder("day20_cells"))
of_cells = effects(cells, "accuracy", baseline={"model": "RNN"})


def tell(frame, table, column):
    """Print means and effects; returns the means by level."""
    means = frame.groupby(column, sort=False)["accuracy"].mean()
    print("  ".join(f"{name} {mean:.1f} %" for name, mean in means.items()))
    for row in table.itertuples():
        print(f"{row.level}: {row.difference:+.1f} points"
              f" (95 %: {row.low:+.1f} to {row.high:+.1f})")
    return means


# %% tolerance={"atol": 0.8, "rtol": 0.03}
means = tell(cells, of_cells, "model")
assert means.between(60, 90).all() and (of_cells["high"] - of_cells["low"]).max() > 4
assert 1 / 3 < fresh["GRU"][0] / fresh["LSTM"][0] < 3


# %% [markdown]
# **What happened.** The means differ, but look at the intervals, Student's over three seeds: they are wide, and where
# one holds zero, these runs do not decide whether that cell's gates help. It would take ten seeds or more. One thing
# can be said: the fresh GRU had forgotten the first row about as much as the fresh LSTM, so memory at the start is not
# what sets those two apart.
#
# ## Attention: look it up
#
# A recurrent reader has to carry everything in one state. The other idea is to keep all rows and *look up* what is
# needed. A lookup has three parts. Each item has a **key** (what can be found there) and a **value** (what you get),
# and somebody asks a **query**. The fit of query and key is their product; a softmax turns the fits into shares; the
# answer is the mixture of the values in these shares:
#
# $$\text{attention}(Q, K, V) = \text{softmax}\!\left(\frac{Q K^\top}{\sqrt{d}}\right) V .$$
#
# > **Predict.** Three items with keys (1, 0), (0, 1), (−1, 0) and values 10, 20, 30. What is the answer to the query
# > (8, 0)? To (0, 0)? To (0, −8)?

# %%
def attention(q, k, v):
    """Answers [..., queries, values] and shares [..., queries, keys]."""
    scores = q @ k.mT / q.shape[-1] ** 0.5
    shares = scores.softmax(dim=-1)
    return shares @ v, shares


keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
values = torch.tensor([[10.0], [20.0], [30.0]])
queries = torch.tensor([[8.0, 0.0], [0.0, 0.0], [0.0, -8.0]])
answers, shares = attention(queries, keys, values)
for query, answer, share in zip(queries, answers, shares, strict=True):
    rounded = [round(s, 3) for s in share.tolist()]
    print(f"query {query.tolist()}: shares {rounded}, answer {answer.item():.2f}")
assert abs(answers[0] - 10) < 0.2 and abs(answers[1] - 20) < 0.01
assert abs(answers[2] - 20) < 0.1 and shares[2, 1] < 0.01 < 0.49 < shares[2, 0]

# %% [markdown]
# **What happened.** A long query in the direction of a key finds its value. A query of zeros asks for nothing and gets
# the mean. The last one says only what it does *not* want, and gets the mean of the other two. It is a dictionary with
# soft keys, and every step of it has a gradient. PyTorch has the same function, faster:

# %%
q, k, v = torch.randn(3, 2, 4, 16, 8).unbind()  # each [2, 4, 16 items, 8 numbers]
answers, _ = attention(q, k, v)
torch.testing.assert_close(answers, F.scaled_dot_product_attention(q, k, v))
print("ours is F.scaled_dot_product_attention:", list(answers.shape))


# %% [markdown]
# ### Exercise: mend the causal attention ★★☆
#
# A language model predicts the next word, so word $t$ may look at the words $1 \ldots t$ (itself included) and not at
# later ones. The function below was to do that, for `q`, `k`, `v` of shape `[..., T, D]` each, and return the answers
# `[..., T, D]`. It has **two** bugs; mend them, then take out the line with the `...`. Right answers: with all
# queries and keys 1 and values `[[2.0], [4.0], [9.0]]` you get `[[2.0], [3.0], [5.0]]`, means of what has come so far.

# %%
def causal_attention(q, k, v):
    """Attention in which no position looks at a later one; [..., T, D]."""
    ...  # take this line out when you have mended the rest
    steps = q.shape[-2]
    may_look = torch.ones(steps, steps, dtype=torch.bool, device=q.device).triu()
    scores = q @ k.mT / q.shape[-1] ** 0.5
    shares = scores.softmax(dim=-1) * may_look
    return shares @ v


check("day20.causal_attention", causal_attention)

# %% [markdown]
# ## Why the root?
#
# Query and key are multiplied number by number and summed up. If the numbers are independent with variance 1, each
# product has variance 1, and the sum of $d$ of them has variance $d$.
#
# > **Predict.** 16 random keys, and queries and keys of 256 numbers each. Without the root: how large is the largest
# > of the 16 shares, on average? And with it?

# %% tolerance={"rtol": 0.03}
generator = torch.Generator().manual_seed(0)
sizes = [1, 4, 16, 64, 256]
largest = {"without the root": [], "with the root": []}
for d in sizes:
    q = torch.randn(500, 1, d, generator=generator)
    k = torch.randn(500, 16, d, generator=generator)
    fit_of = q @ k.mT  # [500, 1, 16]
    spread = fit_of.std().item()
    print(f"d = {d:3}, root {d ** 0.5:4.1f}: scores spread by {spread:5.2f}", end="")
    for name, scores in zip(largest, (fit_of, fit_of / d**0.5), strict=True):
        shares = scores.softmax(dim=-1)
        slope = (shares * (1 - shares)).mean()  # of a share with respect to its score
        largest[name].append(shares.max(dim=-1).values.mean().item())
        print(f"; {name} slope {slope:.3f}", end="")
    print()
    assert 0.9 < fit_of.std() / d**0.5 < 1.1
assert largest["without the root"][-1] > 0.85 and largest["with the root"][-1] < 0.4

# %%
fig, ax = plt.subplots(figsize=(7, 3))
for name, share in largest.items():
    ax.plot(sizes, share, "o-", label=name)
ax.axhline(1 / 16, color="gray", linestyle=":")
ax.text(1, 1 / 16 - 0.02, "equal shares", color="gray", va="top")
ax.set(xscale="log", xticks=sizes, ylim=(-0.06, 1.02))
ax.set_xticks(sizes, sizes)
ax.set(xlabel="numbers in a query (log scale)", ylabel="largest of 16 shares")
ax.set_title("Without the root, one item takes nearly all")
label_lines(ax)
plt.show()


# %% [markdown]
# **What happened.** Scores that spread by 16 leave one winner and fifteen shares of nearly nothing. Look at the slopes:
# a softmax that has decided hardly reacts to its scores any more, so queries and keys would stop learning, like the
# sigmoid of day 3 far from zero. With the root, it makes no difference how many numbers a query has.
#
# ## A layer of attention
#
# In **self-attention** the items ask each other. Every item, now called a **token**, makes its own query, key and
# value, with three linear layers (one matrix, cut in three). And it asks several questions at once: the numbers are
# divided among **heads**, each a lookup of its own. A last linear layer mixes what the heads found.

# %%
class SelfAttention(nn.Module):
    """Tokens [N, T, dim] -> [N, T, dim], each mixed from all."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def split(self, x):  # -> q, k, v, each [N, heads, T, dim / heads]
        return self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def forward(self, x):
        answers, _ = attention(*self.split(x))
        return self.out(answers.transpose(1, 2).flatten(2))  # heads side by side

    def shares(self, x):  # [N, heads, T queries, T keys]
        return attention(*self.split(x))[1]


# %%
ours, theirs = SelfAttention(32, 4), nn.MultiheadAttention(32, 4, batch_first=True)
theirs.load_state_dict({
    "in_proj_weight": ours.qkv.weight, "in_proj_bias": ours.qkv.bias,
    "out_proj.weight": ours.out.weight, "out_proj.bias": ours.out.bias})
tokens = torch.randn(5, 16, 32)
found, shares = theirs(tokens, tokens, tokens, average_attn_weights=False)
torch.testing.assert_close(ours(tokens), found)
torch.testing.assert_close(ours.shares(tokens), shares)
print("ours is nn.MultiheadAttention; shares:", list(shares.shape))

# %% [markdown]
# Note what is *not* there: no window, no neighbours, no row before or after. In one layer every token reaches every
# other.
#
# > **Predict.** The 16 tokens are put into another order. What happens to the 16 outputs: do they all change, do some,
# > does none?

# %%
mixed_up = torch.randperm(16, generator=generator)
before, after = ours(tokens), ours(tokens[:, mixed_up])
print("same output at the same place:", torch.allclose(before, after, atol=1e-5))
print("same output for the same token:",
      torch.allclose(before[:, mixed_up], after, atol=1e-5))
torch.testing.assert_close(before[:, mixed_up], after)
assert not torch.allclose(before, after, atol=1e-2)
torch.testing.assert_close(before.mean(dim=1), after.mean(dim=1))


# %% [markdown]
# **What happened.** The outputs are put into the same new order, and nothing else changes: a sum over all tokens does
# not ask where a token stands. The mean over the tokens does not change at all. To attention, "dog bites man" and "man
# bites dog" are the same bag of words. If places matter, they must be told: a row of numbers for each place, learned
# like any weight, is added to the token there. These are its **positions**.
#
# ## An image as sixteen words
#
# Dosovitskiy and others (2021) cut an image into patches and treated them as words. Our digits give 16 patches of 4 x 4
# pixels.

# %%
def patches(x, size=4):
    """Images [N, C, H, W] -> patches [N, T, C * size * size], row by row."""
    cut = x.unfold(2, size, size).unfold(3, size, size)  # [N, C, rows, columns, s, s]
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)


words = patches(val_set.images[example:example + 1])  # [1, 16, 16]
torch.testing.assert_close(words[0, 1], val_set.images[example, 0, :4, 4:8].flatten())
apart = F.pad(words[0].view(16, 4, 4), (0, 1), value=110)  # a grey line after each
show_images(apart.movedim(0, 1).reshape(1, 4, 80), size=7, columns=1)
plt.gcf().set_size_inches(7, 0.9)
plt.gcf().suptitle("The same 6 as a sentence of sixteen words", fontweight="bold",
                   x=0.01, ha="left")
plt.show()


# %% [markdown]
# ### Exercise: put the patches back together ★★☆
#
# `assembled(words, height, width, size)` is the inverse of `patches`: it gets `words` `[N, T, C * size * size]` and
# returns the images `[N, C, height, width]`. Both sides are multiples of `size` but need not be equal;
# T is (height / size) x (width / size), with the patches row by row. C follows from the shapes. Within a patch the
# channel comes first, then its rows. With `height=2, width=4, size=2` and one image with the words `[[1, 2, 3, 4],
# [5, 6, 7, 8]]` the image is `[[1, 2, 5, 6], [3, 4, 7, 8]]`.

# %%
def assembled(words, height, width, size=4):
    """Images [N, C, height, width] from their patches [N, T, C * size * size]."""
    ...  # your code here


check("day20.assembled", assembled)


# %% [markdown]
# The rest of a **vision transformer** is old friends. A linear layer turns each patch into a token, positions are
# added. Then come blocks: attention, which moves information *between* tokens, and a small MLP, which works *within*
# each of them, both with a LayerNorm in front (day 16) and a skip around (day 19). In the end the mean of all tokens
# gives the logits. (The paper adds an extra *class token* and reads the answer there.)

# %%
class Block(nn.Module):
    """Attention between tokens, then an MLP within each; [N, T, dim] both ways."""

    def __init__(self, dim, heads, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, heads)
        self.mlp = nn.Sequential(
            nn.Linear(dim, width), nn.GELU(), nn.Linear(width, dim))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


# %%
class TinyViT(nn.Module):
    """[N, 1, 16, 16] -> logits [N, 10]; `positions` is their spread at the start."""

    def __init__(self, dim=36, depth=1, heads=3, positions=0.02):
        super().__init__()
        self.embed = nn.Linear(16, dim)
        self.positions = 0.0
        if positions is not None:
            self.positions = nn.Parameter(positions * torch.randn(1, 16, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads, 2 * dim) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 10)

    def tokens(self, x):  # [N, 16, dim]
        return self.embed(patches(x)) + self.positions

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.tokens(x))).mean(dim=1))


print(list(TinyViT()(val_x[:5].cpu()).shape))


# %% [markdown]
# ## Break it on purpose: a transformer without positions
#
# > **Predict.** `TinyViT(positions=None)` gets a digit, and then the same digit with its patches thrown together in
# > any order. By how much do the logits differ?

# %%
def jumbled(x, places, within=slice(None)):
    """The images [N, 1, 16, 16] with patch places[j] put where patch j was.

    The pixels of each patch are moved by `within` in the same way.
    """
    words = patches(x)[:, places][:, :, within]  # [N, 16, 16]
    grid = words.view(-1, 4, 4, 4, 4)  # [N, patch row, patch column, row, column]
    return grid.transpose(2, 3).reshape(-1, 1, 16, 16)


with torch.no_grad():
    for positions in (1.0, None):
        seed_everything(0)
        vit = TinyViT(positions=positions).to(device)
        change = (vit(jumbled(val_x[:50], mixed_up)) - vit(val_x[:50])).abs().max()
        print(f"positions {positions}: logits differ by over 0.01: {change > 0.01}")
        assert change > 0.01 if positions else change < 1e-4


# %% [markdown]
# **What happened.** They do not differ at all, apart from rounding, and they could not: the mean of all tokens has no
# order. No training can teach this network the difference between a 6 and its patches in a heap. It may still read some
# digits by the strokes they are made of; everything else is up to the positions.

# %% [markdown]
# ## Four designs, one size
#
# Now the contest: a small convolutional network, a plain MLP, the LSTM and the vision transformer, about 12,300
# parameters each, on the same 1,200 digits in the same 48 steps.

# %%
def small_cnn():
    layers = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),  # [N, 8, 8, 8]
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),  # [N, 16, 4, 4]
        nn.Flatten(), nn.Linear(256, 41), nn.ReLU(), nn.Linear(41, 10))
    return layers.to(memory_format=torch.channels_last)  # the same, only faster


MODELS |= {"CNN": small_cnn, "MLP": lambda: MLP(256, (46,)), "transformer": TinyViT}
counts = {name: count_parameters(make()) for name, make in MODELS.items()}
print(counts)
assert max(counts.values()) < 1.02 * min(counts.values())

# %% [markdown]
# > **Predict.** Rank the four. Which knows most about images before it has seen one? By how many points is the
# > transformer behind or ahead of the MLP, which knows nothing about neighbours?

# %%
designs = sweep(read_digits, {"model": ["CNN", "MLP", "LSTM", "transformer"]},
                seeds=range(3), n_jobs=1, cache=cache_folder("day20_designs"))
of_designs = effects(designs, "accuracy", baseline={"model": "CNN"})

# %% tolerance={"atol": 0.5, "rtol": 0.05}
means = tell(designs, of_designs, "model")
transformer = of_designs.set_index("level").loc["transformer"]
assert transformer["high"] < 0 and transformer["difference"] < -12
assert min(means["CNN"], means["MLP"]) > means["LSTM"] > means["transformer"] + 3

# %%
fig, ax = plt.subplots(figsize=(7, 2.5))
for row, name in enumerate(means.index):
    runs = designs.loc[designs["model"] == name, "accuracy"]
    ax.plot(runs, [row] * len(runs), "o", color=PALETTE[row], alpha=0.7)
ax.set_yticks(range(len(means)), means.index)
ax.set(xlabel="validation accuracy (%), a dot for each seed", ylim=(3.5, -0.5))
ax.set_title("At equal size and equal steps, the transformer trails")
plt.show()

# %% [markdown]
# **What happened.** The convolution knows two things in advance, that neighbours belong together and that a stroke
# means the same everywhere. It is ahead of the LSTM, which knows an order, top to bottom, and must carry all it saw in
# 46 numbers. Whether it is ahead of the MLP, three seeds do not decide as long as the MLP's interval holds zero. The
# transformer comes last by far, behind even the MLP. "It knows least about images" is the usual explanation. But the
# MLP knows nothing about neighbours either. What else is wrong?
#
# ## What the transformer was not told
#
# Look at the start of `TinyViT`. Its positions begin with a spread of 0.02, as is usual. Beside a token they are a
# whisper, so in the first steps the network is nearly the one that you just broke: a bag of patches.
#
# > **Predict.** The same transformer, the same digits and steps; its positions start with a spread of 1 instead. What
# > does that bring: nothing, a few points, or enough to pass the LSTM?

# %%
MODELS["loud positions"] = lambda: TinyViT(positions=1.0)
with torch.no_grad():
    patch_part = TinyViT(positions=None).to(device).tokens(val_x).std().item()
print(f"spread of a token without its position: {patch_part:.1f}")
assert 0.2 < patch_part < 2

places = sweep(read_digits, {"model": ["transformer", "loud positions"]},
               seeds=range(3), n_jobs=1, cache=cache_folder("day20_positions"))
of_places = effects(places, "accuracy", baseline={"model": "transformer"})

# %% tolerance={"atol": 0.25, "rtol": 0.03}
loud = tell(places, of_places, "model")
print(f"CNN {means['CNN']:.1f} %, MLP {means['MLP']:.1f} %, LSTM {means['LSTM']:.1f} %")
assert of_places["low"].item() > 0 and of_places["difference"].item() > 8
assert means["LSTM"] - 8 < loud["loud positions"] < means["CNN"] - 3

# %% [markdown]
# **What happened.** One number, and the transformer is about where the LSTM is: what looked like a weakness of
# attention was to a good part a slow start. A long training gives small positions time to grow (try it: the first
# suggestion at the end). In a short one they cost as much as a wrong design.
#
# Keep two lessons. An equal number of parameters is not yet an equal chance. And a comparison at 48 steps and 1,200
# digits says nothing about millions: there Dosovitskiy and others (2021) find the transformer ahead, because what a
# convolution assumes can then be learnt, and more.
#
# ## Break it on purpose: scramble the pixels
#
# What is the knowledge about neighbours worth? Destroy them, and see. Every image gets the same scramble: the 16
# patches change places, and so do the 16 pixels within each patch. To us the result is noise, but no information is
# lost.

# %%
inner = torch.randperm(16, generator=generator)


def scrambled(x):
    """Every image [N, 1, 16, 16] with patches and the pixels within them moved."""
    return jumbled(x, mixed_up, inner)


pair = torch.stack([val_x[:3], scrambled(val_x[:3])], dim=1).flatten(0, 1).cpu()
show_images(pair, [name for y in val_y[:3].tolist() for name in (y, f"also {y}")],
            size=1.1, title="The same scramble for all")
plt.show()


# %% [markdown]
# > **Predict.** Trained *and* judged on scrambled digits: what happens to the CNN, to the MLP and to the transformer?
# > For two of them you can know without a run.

# %%
def read_scrambled(config, seed):
    """Another run: the CNN on digits in order or scrambled."""
    if config["pixels"] == "in order":
        return {"accuracy": accuracy(trained("CNN", seed))}
    model = trained("CNN", seed, change=scrambled)
    return {"accuracy": accuracy(model, scrambled(val_x))}


broken = sweep(read_scrambled, {"pixels": ["in order", "scrambled"]}, seeds=range(3),
               n_jobs=1, cache=cache_folder("day20_scrambled"))
of_broken = effects(broken, "accuracy", baseline={"pixels": "in order"})

# %% tolerance={"atol": 3.0, "rtol": 0.03}
after = tell(broken, of_broken, "pixels")
print(f"the MLP, for comparison: {means['MLP']:.1f} %")
assert of_broken["difference"].item() < -3

# %% [markdown]
# The MLP and the transformer need no run. Move the transformer's positions as the patches were moved, and the columns
# of its first layer as the pixels: then it computes from the scrambled image what it computed from the image in order.
# Not only at the start: its gradients are moved in the same way, so it stays the same network through the training.

# %%
plain, moved = TinyViT(positions=1.0).to(device), TinyViT(positions=1.0).to(device)
moved.load_state_dict(plain.state_dict())
with torch.no_grad():
    moved.positions.copy_(plain.positions[:, mixed_up])
    moved.embed.weight.copy_(plain.embed.weight[:, inner])

for model, x in ((plain, train_x), (moved, scrambled(train_x))):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for rows in torch.arange(1_200).split(100)[:5]:
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), train_y[rows]).backward()
        optimizer.step()
with torch.no_grad():
    one, other = plain(val_x), moved(scrambled(val_x))
torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
print("after 5 steps: the same logits on digits that nobody can read")

# %% [markdown]
# **What happened.** The CNN pays: its windows and its pooling now throw together what does not belong together, and its
# lead over the MLP, if it had one, is gone. The other two do not notice. Whoever assumes nothing about neighbours
# cannot be hurt by moving them. An assumption is a bet: it pays where it is true, and costs where it is not.
#
# ## Where does it look?
#
# The shares can be drawn. We take a trained transformer (with loud positions) and one patch of a digit, framed on the
# left. The darker a patch is tinted, the more of it flows to the framed one, in each head.

# %%
vit = trained("loud positions", 0)
with torch.no_grad():
    tokens = vit.tokens(val_x)
    shares = vit.blocks[0].attention.shares(vit.blocks[0].norm1(tokens)).cpu()
print("digits, heads, queries, keys:", list(shares.shape))
torch.testing.assert_close(shares.sum(dim=-1), torch.ones(2_000, 3, 16))

# %%
asking = 6  # second row, third column
fig, axes = plt.subplots(2, 4, figsize=(7, 3.8))
for row, digit in zip(axes, (3, 0), strict=True):
    number = int((val_y == digit).int().argmax())
    image = val_set.images[number, 0]
    for column, ax in enumerate(row):
        ax.imshow(image, cmap="gray")
        ax.axis("off")
        if column == 0:
            frame = plt.Rectangle((7.5, 3.5), 4, 4, fill=False, edgecolor=PALETTE[1])
            ax.add_patch(frame)
            continue
        share = shares[number, column - 1, asking].view(4, 4)
        ax.imshow(share.repeat_interleave(4, 0).repeat_interleave(4, 1), cmap="Oranges",
                  alpha=0.7, vmin=0, vmax=shares[:, :, asking].amax())
for ax, name in zip(axes[0], ("asks", "head 1", "head 2", "head 3"), strict=True):
    ax.set_title(name, fontsize=10, loc="center", fontweight="normal")
fig.suptitle("One patch asks, three heads look", fontweight="bold", x=0.01, ha="left")
plt.show()

# %% [markdown]
# Pictures of two digits invite stories. Count instead, over all 2,000: of what falls on a patch, in units of
# one equal share (a sixteenth), how much do patches with much ink get, and how much do empty ones?
#
# > **Predict.** Nobody told the heads to look at ink. Do all three prefer it, does one, or do some prefer the empty
# > places around a stroke?

# %% tolerance={"rtol": 0.03}
ink = patches(val_set.images.float()).mean(dim=2)  # [2000, 16]
inky, empty = ink > 80, ink < 5
received = shares.mean(dim=2)  # [2000, 3 heads, 16 keys], a mean over the queries
for head in range(3):
    got = received[:, head]
    print(f"head {head + 1}: {16 * got[inky].mean():.2f} of an equal share for ink,"
          f" {16 * got[empty].mean():.2f} for an empty patch")
    assert got[inky].mean() > 1.15 * got[empty].mean()

# %% [markdown]
# **What happened.** In this network every head gives more to ink than to empty patches, each to its own degree. Be
# careful what you conclude. The shares say where a token took its numbers from, not what the network did with them, and
# Jain and Wallace (2019) built networks with quite other shares that give the same answers. Take such a map as a
# question to the network, and not yet as its explanation.
#
# ## Recap
#
# - A **recurrent cell** rewrites one state at each row with the same weights. Gates are soft choices: what to keep, what
#   to write, what to show.
# - What is left of the **first row** can be measured with a gradient. Fresh cells of all three kinds forget it; a forget
#   gate that starts open keeps it.
# - **Attention** is a lookup with soft keys. The root keeps one item from taking all when queries are long lists of
#   numbers; positions have to be added, because a set has no order.
# - At **equal size** a design is what it assumes, and how soon it can use it: moved pixels cost the convolution points and
#   the others nothing, and much of the transformer's gap went with louder positions.
#
# ## What to try next
#
# - Train for 40 passes instead of four, with the quiet and the loud positions. Does the gap close, and who wins?
# - Scramble the *columns* of all digits, the same way in each row. Which of the designs cannot notice?
# - Start the LSTM of the contest with an open forget gate (your exercise). Does it read better, with three seeds?
#
# ## References
#
# - Elman (1990), *Finding structure in time*: the recurrent network that reads word by word.
# - Hochreiter, Schmidhuber (1997), *Long short-term memory*: the cell that passes through no matrix.
# - Gers, Schmidhuber, Cummins (2000), *Learning to forget*: the forget gate, and why it should start open.
# - Cho and others (2014), *Learning phrase representations using RNN encoder-decoder*: the GRU.
# - Jozefowicz, Zaremba, Sutskever (2015), *An empirical exploration of recurrent network architectures*: of 10,000
#   cells few beat the LSTM, once its forget bias is 1.
# - Vaswani and others (2017), *Attention is all you need*: scaled dot products, heads, the transformer.
# - Jain, Wallace (2019), *Attention is not explanation*: quite other shares can give the same answer.
# - Dosovitskiy and others (2021), *An image is worth 16x16 words*: the vision transformer, and how much data it takes
#   to beat convolutions.
