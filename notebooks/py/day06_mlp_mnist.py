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
# # Day 6: how does a network learn to read digits?
#
# *Reading: about 35 minutes. Running: under 30 seconds on two CPU cores. Builds on [day 4](day04_layers_modules.ipynb)
# and [day 5](day05_data.ipynb).*
#
# At the end of the 1990s a neural network read over a tenth of all cheques in the United States. Today you build its
# simpler cousin: a network that has no idea that an image has rows and columns, and reads handwriting all the same.
# Everything is made in the open here: the loss, the optimizer's step, the training loop. From tomorrow on you may
# import them, because by then you will know what is inside.
#
# **By the end you can**
#
# - derive cross-entropy from "be less surprised by the truth", and tell a healthy first loss from a sick one;
# - write Adam's update from its equations, and a complete training loop with validation;
# - read curves, a confusion matrix and the worst mistakes, and know what each of them is good for;
# - recognise overfitting, stop in time, and save a model so that it comes back the same.
#
# [← Day 5: what should a network see, and what must it never see?](day05_data.ipynb) ·
# [Day 7: why look at an image through a small window? →](day07_lenet.ipynb)

# %%
import copy
import math
import pickle
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.data import Normalize, TensorLoader, load_images, make_splits
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.plots import label_lines, plot_band, plot_confusion
from nnlab_helpers.plots import plot_history, show_images, use_style

seed_everything(0)
device = pick_device()
use_style()

# %% [markdown]
# ## Look first
#
# The test digits stay in their drawer until this network is finished. From the 60,000 others we set 5,000 aside for
# validation: those are the ones we may look at after every epoch.

# %%
digits = load_images("mnist", "train")
test_digits = load_images("mnist", "test")
splits = make_splits(digits, val=5_000, test=0, seed=0)
print(f"{len(splits.train):,} to train on, {len(splits.val):,} to validate,"
      f" {len(test_digits):,} to test once")
assert set(splits.train.tolist()).isdisjoint(splits.val.tolist())

# %%
first = digits.take(splits.train[:20])
show_images(first.images, first.labels.tolist(), title="No two hands write alike")
plt.show()

# %% [markdown]
# The loaders are those of yesterday: the whole set lies in memory as one tensor, a batch is a slice of it, and the
# statistics for normalising come from the training images alone.

# %%
normalize = Normalize.from_images(digits, splits.train)
common = {"normalize": normalize, "device": device}
train_loader = TensorLoader(
    digits, splits.train, batch_size=256, shuffle=True, **common
)
val_loader = TensorLoader(digits, splits.val, batch_size=1_000, **common)
images, labels = next(iter(val_loader))
print("one batch:", list(images.shape), list(labels.shape))


# %% [markdown]
# ## The network
#
# 784 brightnesses go in, ten scores come out, one per digit. The scores are called **logits**: any real number, higher
# means "rather this one". Between them lie two hidden layers of 256 units, each with the bend of day 3.

# %%
def make_mlp(hidden=256):
    """784 -> hidden -> hidden -> 10 logits; takes images [B, 1, 28, 28]."""
    return nn.Sequential(
        nn.Flatten(),  # [B, 784]: here the network forgets what is above what
        nn.Linear(784, hidden), nn.ReLU(),
        nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, 10),
    )


seed_everything(0)
model = make_mlp().to(device)
logits = model(images)  # [1000, 10]
count = sum(p.numel() for p in model.parameters())
print("logits:", list(logits.shape), " parameters:", count)

# %% [markdown]
# ## How wrong is a guess?
#
# Logits become probabilities through softmax, as on day 2: exponentiate, then divide by the sum. Over the first
# image of the batch the untrained network spreads its belief evenly: each of the ten digits gets its share.

# %%
probabilities = logits.softmax(dim=1)  # [1000, 10]
truth = labels[0].item()
p_truth = probabilities[0, truth].item()
print(f"the truth is {truth}; the network gives it a probability of {p_truth:.3f}")
assert torch.allclose(probabilities.sum(dim=1), torch.ones(1000, device=device))

# %% [markdown]
# How surprised should it be to learn the truth? Being sure and right should cost nothing. Being sure and wrong should
# cost a lot. The logarithm does exactly that: the **surprise** at an event of probability $p$ is $-\log p$. It is zero
# at $p = 1$ and grows without bound towards $p = 0$. With the natural logarithm its unit is called the *nat*.

# %%
p = torch.linspace(0.005, 1, 200)
fig, ax = plt.subplots(figsize=(7, 3))
ax.plot(p, -p.log())
ax.plot([0.1], [-math.log(0.1)], "o", color="black")
ax.text(0.12, -math.log(0.1), "ten equal guesses")
ax.set(xlabel="probability given to the truth", ylabel="surprise $-\\log p$ (nats)")
ax.set_title("Certainty in the wrong place is what costs")
plt.show()

# %% [markdown]
# **Cross-entropy** is the mean surprise over a batch. For logits $z$ and the true class $y$,
#
# $$-\log p_y \;=\; -\log \frac{e^{z_y}}{\sum_j e^{z_j}} \;=\; \log \sum_j e^{z_j} - z_y .$$
#
# The right-hand side is the one to compute: `logsumexp` takes out the largest logit first, as you did by hand on day 2,
# so that nothing overflows.
#
# > **Predict.** The network is untrained and knows nothing. What is its loss, roughly? The curve above has the answer.

# %%
surprise = logits.logsumexp(dim=1) - logits[torch.arange(1000), labels]  # [1000]
loss = surprise.mean()
print(f"mean surprise before training: {loss:.2f}   log(10) = {math.log(10):.2f}")
assert torch.allclose(loss, F.cross_entropy(logits, labels), atol=1e-6)  # as PyTorch
assert abs(loss.item() - math.log(10)) < 0.2, "an untrained network should guess evenly"


# %% [markdown]
# **What happened.** Ten even guesses give $\log 10$, and the network starts next to it. That is worth a look whenever
# you start a training run: a first loss far above $\log C$ for $C$ classes means that the network is sure of something
# before it has seen anything, and a first loss far below means that the answer has leaked into the question.

# %% [markdown]
# ### Exercise: cross-entropy from logits ★★☆
#
# `cross_entropy(logits, labels)` gets logits `[B, C]` and true classes `[B]` (whole numbers) and returns the mean
# surprise as a tensor with a single number. For logits `[[0., 0.]]` and label `[1]` that is $\log 2 \approx 0.69$. Do
# not use `F.cross_entropy` or `F.nll_loss`. Make it survive logits as large as 1,000.

# %%
def cross_entropy(logits, labels):
    """Mean cross-entropy of `logits` [B, C] for the classes `labels` [B]."""
    ...  # your code here


check("day06.cross_entropy", cross_entropy)

# %% [markdown]
# Stuck? `hint("day06.cross_entropy")` gives a first nudge, and a stronger one each time you call it.

# %% [markdown]
# ## Adam, from its equations
#
# Plain gradient descent moves every weight by rate times gradient. But gradients differ in size from weight to weight,
# and far more from layer to layer, so no single rate suits them all. Adam (Kingma and Ba, 2015) gives each weight a
# step of its own. It keeps two running averages per weight, of the gradient $g$ and of its square:
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2$$
#
# Both start at zero, so the first averages are too small. At step $t = 1, 2, \dots$ they are enlarged to make up for
# it, and then the weight moves:
#
# $$\hat m = \frac{m}{1 - \beta_1^t}, \qquad \hat v = \frac{v}{1 - \beta_2^t}, \qquad
# w \leftarrow w - \eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon}$$
#
# The usual values are $\beta_1 = 0.9$, $\beta_2 = 0.999$, $\epsilon = 10^{-8}$. Numerator and denominator are both of
# the gradient's size, so the step is at most about $\eta$ long, whatever the gradient. (Only one large gradient after a
# long silence makes a longer one, of about $3\eta$.)
#
# > **Predict.** Two weights, gradients 100 and 0.001, learning rate 0.01. How far does each move in the very first
# > step?

# %%
g = torch.tensor([100.0, 0.001])
m, v = 0.1 * g, 0.001 * g**2  # the averages after one step from zero
m_hat, v_hat = m / (1 - 0.9), v / (1 - 0.999)
step = 0.01 * m_hat / (v_hat.sqrt() + 1e-8)
print("first steps:", [round(s, 4) for s in step.tolist()])
assert torch.allclose(step, torch.full((2,), 0.01), rtol=1e-3)


# %% [markdown]
# **What happened.** Both move by the learning rate, although one gradient is a hundred thousand times the other. In the
# first step Adam follows only the gradient's *sign*. Later on the averages tell weights whose gradients agree from step
# to step (they keep moving at full speed) from weights whose gradients contradict each other (they slow down).
#
# ### Exercise: one step of Adam ★★★
#
# `adam_step(w, g, m, v, t, learning_rate)` gets the weight `w`, its gradient `g`, the averages `m` and `v` from before,
# all of one shape, the step number `t` (1 for the first) and the rate. Return the new `(w, m, v)` as new tensors, with
# the usual betas and epsilon. With `w = 1`, `g = 100`, `m = v = 0`, `t = 1` and a rate of 0.01, the new `w` is 0.99.

# %%
def adam_step(w, g, m, v, t, learning_rate):
    """One step of Adam: the new (w, m, v), each of the shape of `w`."""
    ...  # your code here


check("day06.adam_step", adam_step)


# %% [markdown]
# ## The loop
#
# Five lines carry almost everything that follows in this course. For each batch: forget the last gradients, predict,
# measure, go backward, step. The three sums beside them are for us to watch. They weigh each batch by its size, because
# the last batch is smaller than the others.

# %%
def train_one_epoch(model, loader, optimizer):
    """One pass over `loader`; the mean loss and the accuracy seen on the way."""
    model.train()
    total_loss, right, count = 0.0, 0, 0
    for x, y in loader:
        optimizer.zero_grad()
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        total_loss += loss.detach() * len(y)
        right += (logits.argmax(dim=1) == y).sum()
        count += len(y)
    return (total_loss / count).item(), (right / count).item()


# %% [markdown]
# Validation is the same without the learning: evaluation mode, no graph, no step.

# %%
@torch.no_grad()
def evaluate(model, loader):
    """Mean loss and accuracy of `model` over `loader`; changes nothing."""
    model.eval()
    total_loss, right, count = 0.0, 0, 0
    for x, y in loader:
        logits = model(x)
        total_loss += F.cross_entropy(logits, y, reduction="sum")
        right += (logits.argmax(dim=1) == y).sum()
        count += len(y)
    return (total_loss / count).item(), (right / count).item()


# %% [markdown]
# > **Predict.** After one epoch, which is one pass over 55,000 digits, how many in a hundred unseen ones will it read
# > correctly? And after five?

# %% tolerance={"rtol": 0.12}
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
history = []
print("epoch   loss train / validation   accuracy train / validation")
for epoch in range(1, 6):
    train_loss, train_accuracy = train_one_epoch(model, train_loader, optimizer)
    val_loss, val_accuracy = evaluate(model, val_loader)
    history.append({"epoch": epoch, "train_loss": train_loss, "val_loss": val_loss,
                    "train_accuracy": train_accuracy, "val_accuracy": val_accuracy})
    print(f"{epoch:5}   {train_loss:10.3f} / {val_loss:.3f}"
          f"   {train_accuracy:16.1%} / {val_accuracy:.1%}")
assert history[0]["val_accuracy"] > 0.91
assert history[-1]["val_accuracy"] > 0.96

# %%
plot_history(history, title="Most of it is learned in the first epoch")
gained = [row["val_accuracy"] - 0.1 for row in history]  # guessing gives 0.1
assert gained[0] > 0.8 * gained[-1], "the title no longer holds"
assert history[0]["train_loss"] > history[0]["val_loss"]
assert history[-1]["train_loss"] < history[-1]["val_loss"]
plt.show()

# %% [markdown]
# **What happened.** One pass takes the network from guessing to the first line of the table; the other four bring only
# the last few points. Look at the gap too. In the first epoch the training loss is the *higher* of the two, because it
# is an average over a network that was still learning, while validation looks at the finished one. By the fifth epoch
# the order has turned round: the network now knows its training digits better than new ones. Keep an eye on that gap.
#
# ### The package does the same
#
# `nnlab_helpers.train.fit` is this loop with a progress bar and a few more options. Same seed, same batches: it has to
# come out the same. Five thousand digits are enough to see it.

# %%
from nnlab_helpers.train import fit

losses = {}
for who in ("our own loop", "fit"):
    seed_everything(0)
    twin = make_mlp().to(device)
    adam = torch.optim.Adam(twin.parameters(), lr=1e-3, fused=True)
    part = TensorLoader(
        digits, splits.train[:5_000], batch_size=256, shuffle=True, **common
    )
    if who == "fit":
        run = fit(twin, part, epochs=1, optimizer=adam, device=device)
        losses[who] = run["train_loss"][0]
    else:
        losses[who], _ = train_one_epoch(twin, part, adam)
gap = abs(losses["fit"] - losses["our own loop"])
print("the same loss as our own loop:", gap < 1e-5)
assert gap < 1e-5


# %% [markdown]
# ### Exercise: accuracy, batch by batch ★★☆
#
# After every epoch we want one honest number. `validation_accuracy(model, batches)` gets a model and a list of batches
# `(x, y)`, which need not be of equal size. It returns the share of right predictions over all *samples*, as a float
# from 0 to 1. It leaves the model in the mode in which it found it (`model.training` tells), and builds no graph. Three
# right of 4 in one batch and none of 1 in the next make 0.6.

# %%
def validation_accuracy(model, batches):
    """Share of right predictions over all samples of `batches`, from 0 to 1."""
    ...  # your code here


check("day06.validation_accuracy", validation_accuracy)


# %% [markdown]
# ### Exercise: find the bugs in this loop ★★☆
#
# A colleague's network learns slowly and then not at all. The loop below has **two** bugs. Repair it. Then take out the
# line with the `...`, which tells the check that you are done. `x` is `[N, D]`, `y` is `[N]`, and the function returns
# the model's mean loss over each epoch, weighted by samples.

# %%
def repaired_loop(model, x, y, epochs=3, batch_size=4, learning_rate=0.1):
    """Train `model` with plain SGD; returns the mean loss of each epoch."""
    ...  # take this line out when you have repaired the rest
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for start in range(0, len(x), batch_size):
            batch, target = x[start : start + batch_size], y[start : start + batch_size]
            logits = model(batch).softmax(dim=1)
            loss = F.cross_entropy(logits, target)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(target)
        losses.append(total / len(x))
    return losses


check("day06.repaired_loop", repaired_loop)

# %% [markdown]
# ## Open the drawer, once
#
# Five epochs, one architecture, no tuning: the test set has influenced nothing. Now it may speak. A share measured on
# 10,000 digits is itself uncertain: if the true accuracy is $a$, its standard error is $\sqrt{a(1-a)/10000}$,
# and of a hundred such shares about 95 lie within two standard errors of the truth.

# %% tolerance={"rtol": 0.03}
test_loader = TensorLoader(test_digits, batch_size=1_000, **common)
test_loss, test_accuracy = evaluate(model, test_loader)
error = math.sqrt(test_accuracy * (1 - test_accuracy) / len(test_digits))
print(f"test accuracy {test_accuracy:.1%} ± {2 * error:.1%} (two standard errors)")
assert test_accuracy > 0.96


# %% [markdown]
# Remember the second number whenever someone's model is "0.1 points better" on these digits.
#
# ### Which digits does it mix up?
#
# Rows are the truth, columns what the network said. The diagonal is left pale, so that the mistakes show.

# %%
@torch.no_grad()
def predict(model, images):
    """Probabilities [N, 10] for float images [N, 1, 28, 28]."""
    model.eval()
    return model(images).softmax(dim=1)


test_images = torch.cat([x for x, _ in test_loader])  # [10000, 1, 28, 28]
test_probabilities = predict(model, test_images).cpu()  # [10000, 10]
confidence, guess = test_probabilities.max(dim=1)  # both [10000]

# %%
matrix = torch.zeros(10, 10, dtype=torch.int64)
matrix.index_put_((test_digits.labels, guess), torch.tensor(1), accumulate=True)
assert matrix.sum() == len(test_digits)
assert matrix.diagonal().sum() == (guess == test_digits.labels).sum()
plot_confusion(matrix, title="Few pairs hold most of the mistakes")
plt.show()

# %% tolerance={"rtol": 0.15}
mistakes = matrix.clone().fill_diagonal_(0)
share = mistakes.flatten().sort(descending=True).values[:18].sum() / mistakes.sum()
scattered = torch.bincount(torch.randint(90, (int(mistakes.sum()),)), minlength=90)
by_chance = scattered.sort(descending=True).values[:18].sum() / scattered.sum()
print(f"the 18 fullest of 90 pairs hold {share:.1%} of the mistakes;"
      f" scattered at random they would hold {by_chance:.1%}")
assert share > max(0.5, by_chance + 0.05), "the title no longer holds"

# %% [markdown]
# ### The mistakes themselves
#
# A count says how often, a picture says why. Here are ten mistakes as they come, and the ten of which the network was
# *most certain*; "4 as 9" is a 4 that it took for a 9.

# %%
wrong = (guess != test_digits.labels).nonzero().flatten()
surest_first = wrong[confidence[wrong].argsort(descending=True)]
tens = {"Wrong": wrong[:10], "Wrong, and sure of it": surest_first[:10]}
for title, some in tens.items():
    captions = [f"{test_digits.labels[i]} as {guess[i]}" for i in some.tolist()]
    show_images(test_digits.images[some], captions, columns=10, title=title)
    plt.show()

# %% tolerance={"rtol": 0.3} why="one network makes some 250 mistakes, and their share moves with a few of them"
sure = (confidence[wrong] > 0.9).float().mean().item()
print(f"made with over 90 % confidence: {sure:.1%} of its mistakes")
assert sure > 0.1, "the claim below no longer holds"
assert history[-1]["train_accuracy"] > 0.975

# %% [markdown]
# **What happened.** Some of these are beyond anybody. Others you read at a glance, and the network was sure of the
# wrong answer. Confident mistakes are no rare accident: training rewards certainty, and on its own training digits the
# network is almost always right, so it had little reason to learn doubt. Day 12 measures this properly.

# %% [markdown]
# ## One image, please
#
# In use there is rarely a batch. The network still wants one: `[1, 1, 28, 28]`, a batch of a single image. And it must
# be normalised as in training.

# %%
one = test_digits.images[int(surest_first[0])]  # uint8, [1, 28, 28]
x = normalize(one.float().div(255).unsqueeze(0)).to(device)  # [1, 1, 28, 28]
belief = predict(model, x)[0].cpu()  # [10]

fig, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6), width_ratios=[1, 2.4])
left.imshow(one[0])
left.axis("off")
right.bar(range(10), belief)
right.set(xlabel="digit", ylabel="probability", xticks=range(10), ylim=(0, 1.05))
right.set_title("A probability is not a promise")
plt.show()

# %% [markdown]
# ## Save it, and get the same one back
#
# A network is its shape plus its numbers. The shape is in your code; the numbers are in `state_dict()`. Save those.

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "mlp.pt"
    torch.save(model.state_dict(), path)
    restored = make_mlp().to(device)
    restored.load_state_dict(torch.load(path, weights_only=True, map_location=device))
assert torch.equal(predict(restored, x), predict(model, x))
print("restored, bit for bit:", list(model.state_dict())[:2], "...")


# %% [markdown]
# Why `weights_only=True`? Python's pickle, which lies under `torch.save`, can hold an instruction to *run something*
# when it is opened. Here is a file that pretends to be a network. Ours only prints; a stranger's may not.

# %%
class Trojan:
    def __reduce__(self):
        return print, ("this ran while the file was being opened",)


pickle.loads(pickle.dumps(Trojan()))

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "trojan.pt"
    torch.save({"weights": Trojan()}, path)
    try:
        torch.load(path, weights_only=True)
    except pickle.UnpicklingError as error:
        print("refused:", str(error).splitlines()[0][:60], "...")
    else:
        raise AssertionError("weights_only let a program through")

# %% [markdown]
# **What happened.** The plain pickle ran our code as it was opened. With `weights_only=True` nothing but tensors and
# plain containers is let in.

# %% [markdown]
# ## Break it on purpose: a rate a hundred times too high
#
# > **Predict.** Adam's first steps are as long as the learning rate, whatever the gradient. The weights of the first
# > layer start within about ±0.04. What will a rate of 0.1 do to them?

# %% tolerance={"rtol": 0.15}
seed_everything(0)
hasty = make_mlp().to(device)
first_weights = hasty[1].weight.detach()
before = first_weights.abs().max().item()
fifty_batches = TensorLoader(digits, splits.train[: 50 * 128], batch_size=128, **common)
hasty_optimizer = torch.optim.Adam(hasty.parameters(), lr=0.1, fused=True)
hasty_loss, _ = train_one_epoch(hasty, fifty_batches, hasty_optimizer)
after = first_weights.abs().max().item()
print(f"largest weight: {before:.2f} before, {after:.1f} after 50 steps")
print(f"mean loss on the way: {hasty_loss:.1f} (even guesses: {math.log(10):.1f})")
hidden = hasty[:3](images)  # [1000, units], after the first ReLU
dead = (hidden == 0).all(dim=0).float().mean().item()
print(f"first-layer units that never answer: {dead:.1%}")
assert after > 10 * before
assert hasty_loss > math.log(10)
assert dead > 0.5


# %% [markdown]
# **What happened.** The first steps were longer than the weights themselves. The careful spread of the starting weights
# was overwritten by the first few batches (`detach()` shares the memory, so `first_weights` showed it), the loss went
# above that of a network which guesses, and most of the first layer died, as with the raw bytes of day 5. When the mean
# loss of a first epoch is above $\log C$, divide the rate by ten before you look for anything cleverer.
#
# ### Exercise: a rate that decays ★☆☆
#
# Large steps first, small ones to finish: many recipes multiply the rate by a factor every few epochs. Write
# `decayed_rate(epoch, initial, factor, every)`, the rate to use in epoch number `epoch`, counted from **0**. With
# `initial = 0.1`, `factor = 0.5`, `every = 3` the epochs 0 to 6 use 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025.

# %%
def decayed_rate(epoch, initial, factor, every):
    """The rate in epoch `epoch`, which falls by `factor` every `every` epochs."""
    ...  # your code here


check("day06.decayed_rate", decayed_rate)

# %% [markdown]
# ## Overfitting, seen
#
# A network **overfits** when it learns the training examples themselves and no longer what they have in common: it gets
# better on them, and worse on new ones. Give the same network only 1,000 digits, and time. It has 270,000 parameters
# for them: enough to learn every one by heart. To look often costs time too, so 2,000 of the validation digits have to
# do here.
#
# > **Predict.** Sketch three curves over 20 epochs: the loss on the 1,000, and loss and accuracy on the 2,000 that it
# > never sees. Do loss and accuracy on new digits turn at the same epoch?

# %%
unseen = TensorLoader(digits, splits.val[:2_000], batch_size=1_000, **common)


def start_on_few(seed, count=1_000):
    """A fresh network, its optimizer, and a loader of only `count` digits."""
    seed_everything(seed)
    model = make_mlp().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
    few = TensorLoader(
        digits, splits.train[:count], batch_size=100, shuffle=True, seed=seed, **common
    )
    return model, optimizer, few


def train_on_few(seed, epochs=20):
    """[training loss, validation loss, validation accuracy] of each epoch."""
    model, optimizer, few = start_on_few(seed)
    rows = []
    for _ in range(epochs):
        train_loss, _ = train_one_epoch(model, few, optimizer)
        rows.append((train_loss, *evaluate(model, unseen)))
    return rows


runs = torch.tensor([train_on_few(seed) for seed in range(3)])  # [seeds, epochs, 3]

# %%
fig, (ax_loss, ax_accuracy) = plt.subplots(1, 2, figsize=(7, 3.2))
epochs = range(1, 21)
plot_band(ax_loss, epochs, runs[:, :, 0], "training")
plot_band(ax_loss, epochs, runs[:, :, 1], "validation")
ax_loss.set(xlabel="epoch", ylabel="cross-entropy (nats)")
ax_loss.set_title("The loss turns round ...")
plot_band(ax_accuracy, epochs, runs[:, :, 2] * 100, "validation", color="#D55E00")
ax_accuracy.set(xlabel="epoch", ylabel="accuracy (%)", title="... accuracy does not")
label_lines(ax_loss)
plt.show()

# %% tolerance={"rtol": 0.08}
lowest, best_epoch = runs[:, :, 1].min(dim=1)  # per seed
last = runs[:, -1, 1]
for seed in range(3):
    print(f"seed {seed}: validation loss {lowest[seed]:.2f} at its best,"
          f" {last[seed]:.2f} at the end; training loss {runs[seed, -1, 0]:.3f}")
then = runs[range(3), best_epoch, 2]  # the accuracies where the loss was lowest
print("accuracy there and at the end:",
      ", ".join(f"{a:.1%} / {b:.1%}" for a, b in zip(then, runs[:, -1, 2])))
assert (last > 1.1 * lowest).all(), "the loss on new digits rises again, in every seed"
assert (runs[:, -1, 0] < 0.02).all(), "the training digits are known by heart"
peak = runs[:, :, 2].max(dim=1).values  # the best accuracy of each seed
assert (runs[:, -1, 2] > peak - 0.02).all(), "accuracy does not turn with the loss"
assert (runs[:, -1, 2] > then - 0.005).all(), "and it has lost nothing since"

# %% [markdown]
# **What happened.** The training loss goes to nothing. The validation loss falls, turns, and climbs again in every
# seed, while validation accuracy keeps what it has reached, and may even gain a little. The two do not contradict each
# other: the network makes no *more* mistakes, but it makes them with growing certainty, and the logarithm charges for
# certainty. If you use its probabilities, it has become worse; if you use its answers alone, it has not.

# %% [markdown]
# ## Stop in time
#
# **Early stopping** watches the validation loss, keeps a copy of the best weights, and gives up when nothing has
# improved for a number of epochs, its *patience*.

# %%
careful, optimizer, few = start_on_few(seed=0)  # as the first of the three above
best_loss, best_weights, patience, waited, ran = math.inf, None, 5, 0, 0
while waited < patience:
    train_one_epoch(careful, few, optimizer)
    val_loss, _ = evaluate(careful, unseen)
    ran += 1
    waited += 1
    if val_loss < best_loss:
        best_loss, waited = val_loss, 0
        best_weights = copy.deepcopy(careful.state_dict())
_ = careful.load_state_dict(best_weights)

# %% tolerance={"rtol": 0.03}
final_loss, _ = evaluate(careful, unseen)
print(f"validation loss {final_loss:.2f} with the best weights back,"
      f" {last[0]:.2f} after all 20 epochs")
assert ran < 16, "it stopped well before epoch 20"
assert abs(final_loss - best_loss) < 1e-6, "these are not the best epoch's weights"
assert final_loss < last[0]


# %% [markdown]
# **What happened.** It stopped well before epoch 20, and the weights we kept are those of the best epoch and not of the
# last. Two things go wrong here most often: keeping `state_dict()` without a copy (it points at the live weights, which
# go on changing), and forgetting to put the best weights back. And stop on the number that you care about: judged by
# answers alone, the network of epoch 20 above was no worse.
#
# ### Exercise: when to stop ★★☆
#
# `early_stop(losses, patience)` gets the validation losses of a whole run, one per epoch, counted from 0. Return the
# pair `(best, stopped)`: the epoch whose weights are kept, and the epoch after which training ends because `patience`
# epochs in a row have brought nothing *lower than the best so far*. If that never happens, `stopped` is the last epoch.
# With losses `[3, 2, 2.5, 2.4, 1]` and patience 2 the answer is `(1, 3)`: the lower loss at epoch 4 is never seen.

# %%
def early_stop(losses, patience):
    """(best epoch seen, epoch after which training stops), both counted from 0."""
    ...  # your code here


check("day06.early_stop", early_stop)

# %% [markdown]
# ## Recap
#
# - **The loss** is mean surprise, $-\log p$ of the truth, computed from logits. An untrained network starts at $\log
#   C$; start every project by checking that.
# - **Adam** moves each weight by at most about the learning rate, in a direction smoothed over steps. **The loop** is
#   zero, predict, measure, backward, step; validation is the same loop with the learning taken out.
# - **Curves** tell whether it learns, the **confusion matrix** what it mixes up, the **worst mistakes** why. A test
#   accuracy has an error bar.
# - **Overfitting** shows in the validation loss first, in the accuracy late or never. Keep the best weights, and save
#   them as a `state_dict` that is loaded with `weights_only=True`.
#
# ## What to try next
#
# - How few digits are enough for 90 %? Halve `count` in `start_on_few` until it falls below.
# - Move every test digit three pixels to the right (`torch.roll`) and test again. Where the result comes from is the
#   subject of [day 7](day07_lenet.ipynb).
#
# ## References
#
# - LeCun, Bottou, Bengio, Haffner (1998), *Gradient-based learning applied to document recognition*: the digits, the
#   networks that read cheques, and the error rates that everyone has compared with since.
# - Kingma, Ba (2015), *Adam: a method for stochastic optimization*: the two averages and their correction.
# - Guo, Pleiss, Sun, Weinberger (2017), *On calibration of modern neural networks*: accurate networks are far too sure
#   of themselves, and loss overfits before accuracy does.
# - Prechelt (1998), *Early stopping, but when?*: compares stopping rules; slower ones gain little and cost much time.
