"""Checks of day 6: cross-entropy, Adam, the loop and its validation, decay, early stopping."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab_helpers.exercises.checking import Trial, exercise


@exercise(
    "day06.cross_entropy",
    title="Cross-entropy from logits",
    stars=2,
    hints=(
        "The formula above has two parts: log-sum-exp of a row, minus the logit of the row's true class.",
        "Advanced indexing picks one entry from each row: logits[torch.arange(len(labels)), labels].",
        "(logits.logsumexp(dim=1) - picked).mean()",
    ),
    learned="Its gradient with respect to the logits is (softmax - one-hot) / B: bounded, however wrong you are.",
)
def cross_entropy(answer: Callable[..., Any], t: Trial) -> None:
    """Hold a mean cross-entropy against PyTorch's, on plain and on enormous logits."""
    cases = [
        (torch.tensor([[0.0, 0.0]]), torch.tensor([1])),
        (torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([0])),
        (torch.tensor([[1.0, 3.0], [0.5, -0.5]]), torch.tensor([0, 1])),
        (3 * t.randn(5, 4), t.randint(0, 4, (5,))),
        (3 * t.randn(7, 10), t.randint(0, 10, (7,))),
        (torch.tensor([[1000.0, 0.0], [0.0, 990.0]]), torch.tensor([1, 1])),
    ]
    for logits, labels in cases:
        got = t.call(answer, logits, labels)
        want = F.cross_entropy(logits, labels)
        given = f"logits {logits.tolist()} and labels {labels.tolist()}" if len(labels) < 3 else "random logits"
        if isinstance(got, Tensor) and got.numel() == 1 and not torch.isfinite(got):
            t.fail(
                f"for {given} the result is {got.item()}: e to the power of 1000 is beyond a float. "
                "Let logsumexp take the largest logit out first."
            )
        p_truth = logits.softmax(1)[torch.arange(len(labels)), labels]
        t.expect(
            got,
            want,
            given=given,
            known={
                "That is the sum over the batch; the mean is asked for.": want * len(labels),
                "The sign is turned round: surprise is minus the log of a probability.": -want,
                "That is one minus the probability of the truth: where is the logarithm?": (1 - p_truth).mean(),
                "That is the probability of the truth: where is the logarithm?": p_truth.mean(),
                "Softmax was applied twice: logsumexp wants the logits themselves.": F.cross_entropy(
                    logits.softmax(1), labels
                ),
                "That is divided by the number of entries, B times C; divide by the number of rows, B.": want
                / logits.shape[1],
                "That takes those columns of *every* row; take one logit from each: logits[torch.arange(B), labels].": (
                    logits.logsumexp(1, keepdim=True) - logits[:, labels]
                ).mean(),
                "That is a logarithm to base 2: use the natural one.": want / math.log(2),
                "That is logsumexp alone: subtract the logit of the true class.": logits.logsumexp(1).mean(),
            },
        )


@exercise(
    "day06.adam_step",
    title="One step of Adam",
    stars=3,
    hints=(
        "Work from the top: first the two averages, then their corrected versions, then the weight.",
        "m_hat = m / (1 - 0.9**t) uses the *new* m. Return the averages without the correction.",
        "w - learning_rate * m_hat / (v_hat.sqrt() + 1e-8), with m and v returned as they were before the correction.",
    ),
    learned="Two extra numbers beside each weight and its gradient: Adam needs about twice the memory for them.",
)
def adam_step(answer: Callable[..., Any], t: Trial) -> None:
    """Hold one step, and then five in a row, against the equations."""
    one, zero = torch.tensor([1.0]), torch.tensor([0.0])
    cases = [
        (one, torch.tensor([100.0]), zero, zero, 1, 0.01),
        (one, torch.tensor([-0.5]), torch.tensor([0.2]), torch.tensor([0.04]), 3, 0.1),
        (t.randn(3, 2), t.randn(3, 2), t.randn(3, 2), t.rand(3, 2), 2, 0.05),
        (t.randn(4), t.randn(4), t.randn(4), t.rand(4), 200, 0.001),
        (t.randn(4), 1e-8 * t.randn(4), torch.zeros(4), torch.zeros(4), 1, 0.1),  # here epsilon's place shows
    ]
    for w, g, m, v, step, rate in cases:
        got = t.call(answer, w, g, m, v, step, rate)
        t.require(
            isinstance(got, tuple | list) and len(got) == 3,
            f"three things are to be returned, (w, m, v); got {type(got).__name__}",
        )
        new_m, new_v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        m_hat, v_hat = new_m / (1 - 0.9**step), new_v / (1 - 0.999**step)
        given = f"w = {w.tolist()}, g = {g.tolist()}, m = {m.tolist()}, v = {v.tolist()}, t = {step}"
        given = given if w.numel() == 1 else f"random tensors at t = {step}"
        t.expect(
            got[1],
            new_m,
            given=f"{given}, the new m",
            known={
                "Return m without the correction: the next step corrects it anew.": m_hat,
                "The two betas of m are exchanged: old average times 0.9, gradient times 0.1.": 0.1 * m + 0.9 * g,
                "The average was not updated.": m,
            },
        )
        t.expect(
            got[2],
            new_v,
            given=f"{given}, the new v",
            known={
                "v averages the *square* of the gradient.": 0.999 * v + 0.001 * g,
                "Return v without the correction: the next step corrects it anew.": v_hat,
                "v decays by 0.999, not by 0.9.": 0.9 * v + 0.1 * g**2,
                "The average was not updated.": v,
            },
        )
        late = step + 1
        as_first = w - rate * (new_m / 0.1) / ((new_v / 0.001).sqrt() + 1e-8)
        m_late, v_late = new_m / (1 - 0.9**late), new_v / (1 - 0.999**late)
        t.expect(
            got[0],
            w - rate * m_hat / (v_hat.sqrt() + 1e-8),
            given=f"{given}, the new w",
            known={
                "The averages are not corrected: divide them by 1 - beta**t.": w - rate * new_m / (new_v.sqrt() + 1e-8),
                "Downhill is against the gradient: the sign is turned round.": w + rate * m_hat / (v_hat.sqrt() + 1e-8),
                "The correction is that of step 1: raise beta to the power of t.": as_first,
                "The square root is missing.": w - rate * m_hat / (v_hat + 1e-8),
                "t counts from 1 and is the step at hand: it was raised once too often.": w
                - rate * m_late / (v_late.sqrt() + 1e-8),
                "The gradient itself was used in place of its running average.": w - rate * g / (v_hat.sqrt() + 1e-8),
                "Epsilon stands outside the root: sqrt(v) + eps, not sqrt(v + eps).": w
                - rate * m_hat / (v_hat + 1e-8).sqrt(),
            },
            rtol=1e-4,
        )


class _Probe(nn.Module):
    """Gives its input back as logits, and notes in which mode it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.in_training = self.with_graph = False

    def forward(self, x: Tensor) -> Tensor:
        self.in_training |= self.training
        self.with_graph |= torch.is_grad_enabled()
        return x * self.scale


@exercise(
    "day06.validation_accuracy",
    title="Accuracy, batch by batch",
    stars=2,
    hints=(
        "Keep two counts, right ones and all of them, and divide once, after the last batch.",
        "Note model.training before you change it, call model.eval(), and put the mode back with model.train(noted).",
        "right += (model(x).argmax(dim=1) == y).sum().item(); count += len(y), all under torch.no_grad().",
    ),
    learned="A mean of batch accuracies gives the samples of a small last batch more weight than the others.",
)
def validation_accuracy(answer: Callable[..., Any], t: Trial) -> None:
    """Check the number, the modes and the graph with a model that takes notes."""
    uneven = [
        (torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]]), torch.tensor([0, 0, 1, 0])),
        (torch.tensor([[1.0, 0]]), torch.tensor([1])),
    ]
    scores, truths = t.randn(23, 5), t.randint(0, 5, (23,))
    random = list(zip(scores.split(10), truths.split(10), strict=True))
    for batches, given in ((uneven[:1], "one batch, three of four right"), (uneven, "3 of 4 right, then 0 of 1"),
                           (random, "23 random samples in batches of 10, 10 and 3")):
        for training in (True, False):
            model = _Probe().train(training)
            got = t.call(answer, model, batches)
            each = [(x.argmax(1) == y).float().mean().item() for x, y in batches]
            right, count = sum(int((x.argmax(1) == y).sum()) for x, y in batches), sum(len(y) for _, y in batches)
            t.expect(
                got,
                right / count,
                given=given,
                known={
                    "That is the mean of the batches' accuracies: a small last batch counts too much.": sum(each)
                    / len(each),
                    "That is in percent; a share from 0 to 1 is asked for.": 100 * right / count,
                    "That is the number of right predictions; divide by how many samples there were.": float(right),
                    "That is the share of *wrong* predictions.": 1 - right / count,
                    "That is the last batch alone: add up over all of them.": each[-1],
                    "The right ones are divided by the number of batches, not of samples.": right / len(batches),
                },
            )
            t.require(
                not model.in_training,
                "the model was still in training mode while it predicted: with dropout the number would be too low. "
                "Call model.eval() first.",
            )
            t.require(not model.with_graph, "a graph was built for every batch: predict under torch.no_grad().")
            t.require(
                model.training == training,
                f"the model came in with model.training = {training} and was left with {model.training}: "
                "note the mode at the start and put it back.",
            )


def _train(
    model: nn.Module, x: Tensor, y: Tensor, rate: float, *, epochs: int, batch: int, bug: str = ""
) -> list[float]:
    """Run the repaired loop, or one with a known bug left in: `"no zero_grad"`, `"softmax"` or `"batch mean"`."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    losses = []
    for _ in range(epochs):
        sums = []
        for inputs, target in zip(x.split(batch), y.split(batch), strict=True):
            logits = model(inputs)
            loss = F.cross_entropy(logits.softmax(1) if "softmax" in bug else logits, target)
            if "no zero_grad" not in bug:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sums.append((loss.item(), len(target)))
        if "batch mean" in bug:
            losses.append(sum(loss for loss, _ in sums) / len(sums))
        else:
            losses.append(sum(loss * n for loss, n in sums) / len(x))
    return losses


@exercise(
    "day06.repaired_loop",
    title="Find the bugs in this loop",
    stars=2,
    hints=(
        "Compare it line by line with train_one_epoch above. One thing is missing, one is there that should not be.",
        "What does F.cross_entropy expect: logits or probabilities?",
        "Delete .softmax(dim=1), and call optimizer.zero_grad() before loss.backward().",
    ),
    learned="Neither bug raises an error. You find them by reading, or by knowing how the curve should look.",
)
def repaired_loop(answer: Callable[..., Any], t: Trial) -> None:
    """Compare losses and final weights with a repaired loop and with every half-repaired one."""
    x, y = t.randn(10, 3), t.randint(0, 3, (10,))
    start = nn.Linear(3, 3)
    with torch.no_grad():
        start.weight.copy_(t.randn(3, 3))
        start.bias.zero_()
    epochs, rate, untrained = 3, 0.5, F.cross_entropy(start(x), y).item()
    for batch in (10, 4):
        runs = {
            bug: _train(copy.deepcopy(start), x, y, rate, epochs=epochs, batch=batch, bug=bug)
            for bug in ("no zero_grad, softmax", "softmax", "no zero_grad", "batch mean")
        }
        expected_model, model = copy.deepcopy(start), copy.deepcopy(start)
        want = _train(expected_model, x, y, rate, epochs=epochs, batch=batch)
        got = t.call(answer, model, x, y, epochs, batch, rate)
        given = f"10 samples in batches of {batch}, {epochs} epochs"
        t.expect(
            got,
            want,
            given=given,
            known={
                "The model was not trained: is optimizer.step() still there?": [untrained] * epochs,
                "Both bugs are still in it.": runs["no zero_grad, softmax"],
                "One bug is left: softmax is applied before a loss that applies it again.": runs["softmax"],
                "One bug is left: the gradients of earlier batches are never cleared.": runs["no zero_grad"],
                "The loss is now averaged over batches; the last one is smaller, so weigh by samples.": runs[
                    "batch mean"
                ],
            },
            rtol=1e-3,
        )
        t.expect(model.weight.detach(), expected_model.weight.detach(), what="the weights after training", rtol=1e-3)


@exercise(
    "day06.decayed_rate",
    title="A rate that decays",
    stars=1,
    hints=(
        "How many times has the rate dropped before this epoch? Epoch 0 has none, epoch `every` has one.",
        "Whole-number division: epoch // every.",
    ),
    learned="PyTorch has this as torch.optim.lr_scheduler.StepLR; day 10 compares it with smoother ones.",
)
def decayed_rate(answer: Callable[..., Any], t: Trial) -> None:
    """Walk through the epochs of several recipes."""
    recipes = [(0.1, 0.5, 3), (1.0, 0.1, 1), (0.3, 0.9, 4)]
    for initial, factor, every in recipes:
        for epoch in (*range(8), int(t.randint(9, 30, (1,)))):
            got = t.call(answer, epoch, initial, factor, every)
            drops = epoch // every
            t.expect(
                got,
                initial * factor**drops,
                given=f"epoch {epoch}, initial {initial}, factor {factor}, every {every}",
                known={
                    "That falls a little in every epoch; it should fall only once every `every` epochs.": initial
                    * factor ** (epoch / every),
                    "That drops an epoch too early: epochs count from 0.": initial * factor ** ((epoch + 1) // every),
                    "The factor was applied once; after two drops it applies twice.": initial * factor ** min(drops, 1),
                    "Epochs are counted from 0: that gives epoch 0 a rate above the initial one.": initial
                    * factor ** ((epoch - 1) // every),
                    "That drops an epoch too late.": initial * factor ** (max(epoch - 1, 0) // every),
                    "The factor is multiplied by the number of drops; each drop multiplies again.": initial
                    * factor
                    * drops,
                    "That multiplies in every epoch: `every` is not used.": initial * factor**epoch,
                },
                rtol=1e-5,
            )


def _stop(losses: list[float], patience: int, bug: str = "") -> tuple[int, int]:
    """The right answer, or that of a known mistake: `"no reset"`, `"late"` or `"ties"`."""
    best, waited = 0, 0
    for epoch in range(1, len(losses)):
        better = losses[epoch] <= losses[best] if bug == "ties" else losses[epoch] < losses[best]
        if better:
            best = epoch
            waited = waited if bug == "no reset" else 0
        else:
            waited += 1
        if waited >= patience + (bug == "late"):
            return best, epoch
    return best, len(losses) - 1


@exercise(
    "day06.early_stop",
    title="When to stop",
    stars=2,
    hints=(
        "Walk through the losses and remember the epoch of the lowest one so far.",
        "Stop as soon as the current epoch is `patience` epochs away from the best one.",
        "if loss < losses[best]: best = epoch; then if epoch - best >= patience: return best, epoch.",
    ),
    learned="Patience guards against noise: with 1, the first unlucky epoch ends the run.",
)
def early_stop(answer: Callable[..., Any], t: Trial) -> None:
    """Try improving, flat, rising and noisy runs."""
    cases: list[tuple[list[float], int]] = [
        ([3.0, 2.0, 1.0], 2),
        ([1.0, 2.0], 1),
        ([3.0, 2.0, 2.5, 2.4, 1.0], 2),
        ([3.0, 3.5, 2.0, 2.5, 1.0, 1.5, 1.4], 2),
        ([1.0, 1.0, 1.0, 1.0], 2),
        ([0.5], 3),
        ([3.0, 1.0, 2.0], 3),  # the run ends while it still waits
    ]
    cases += [(t.rand(12).tolist(), patience) for patience in (1, 2, 3, 5)]
    for losses, patience in cases:
        got = t.call(answer, losses, patience)
        want = _stop(losses, patience)
        t.expect(
            got,
            want,
            given=f"losses {[round(loss, 2) for loss in losses]} and patience {patience}",
            known={
                "Once a lower loss comes, the waiting starts again from zero.": _stop(losses, patience, "no reset"),
                "That goes on too long: `patience` epochs without a lower one are it.": _stop(losses, patience, "late"),
                "Equal is not lower: a plateau counts as waiting.": _stop(losses, patience, "ties"),
                "The best epoch is the one with the lowest loss, not the last one.": (want[1], want[1]),
                "Losses after the stop are never seen: the best epoch cannot lie there.": (
                    min(range(len(losses)), key=losses.__getitem__),
                    want[1],
                ),
                "Epochs are counted from 0.": (want[0] + 1, want[1] + 1),
                "The order is (best, stopped).": (want[1], want[0]),
            },
        )
