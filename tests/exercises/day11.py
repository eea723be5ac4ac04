"""Other right answers to day 11's exercises, and wrong ones that are really given."""

from __future__ import annotations

import torch
from answers import Answers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def events_of(folder, tag, **guidance):
    return EventAccumulator(str(folder), size_guidance={"scalars": 0} | guidance).Reload().Scalars(tag)


def scalars_by_max(folder, tag):
    events = events_of(folder, tag)
    steps = sorted({event.step for event in events})
    return [steps, [max((e.wall_time, e.value) for e in events if e.step == step)[1] for step in steps]]


def scalars_twice(folder, tag):
    events = events_of(folder, tag)
    return [e.step for e in events], [e.value for e in events]


def scalars_first(folder, tag):
    kept = {}
    for event in sorted(events_of(folder, tag), key=lambda e: -e.wall_time):
        kept[event.step] = event.value
    return sorted(kept), [kept[step] for step in sorted(kept)]


def scalars_by_place(folder, tag):
    kept = {event.step: event.value for event in events_of(folder, tag)}
    return sorted(kept), [kept[step] for step in sorted(kept)]


def scalars_swapped(folder, tag):
    return scalars_by_max(folder, tag)[::-1]


def scalars_other_tag(folder, tag):
    return scalars_by_max(folder, "loss/train")


def losses_with_get(writer, event):
    names = {"training": "train_loss", "validation": "val_loss"}
    writer.add_scalars("loss", {n: event.values[v] for n, v in names.items() if v in event.values}, event.epoch)


def losses_one_by_one(writer, event):
    for name, value in (("training", "train_loss"), ("validation", "val_loss")):
        if value in event.values:
            writer.add_scalar(f"loss/{name}", event.values[value], event.epoch)


def losses_in_two_calls(writer, event):
    writer.add_scalars("loss", {"training": event.values["train_loss"]}, event.epoch)
    writer.add_scalars("loss", {"validation": event.values["val_loss"]}, event.epoch)


def losses_always_both(writer, event):
    lines = {"training": event.values["train_loss"], "validation": event.values.get("val_loss", float("nan"))}
    writer.add_scalars("loss", lines, event.epoch)


def losses_by_update(writer, event):
    lines = {"training": event.values["train_loss"]}
    if "val_loss" in event.values:
        lines["validation"] = event.values["val_loss"]
    writer.add_scalars("loss", lines, event.update)


def losses_without_zero(writer, event):
    lines = {"training": event.values["train_loss"]}
    if event.values.get("val_loss"):
        lines["validation"] = event.values["val_loss"]
    writer.add_scalars("loss", lines, event.epoch)


def losses_swapped(writer, event):
    lines = {"training": event.values.get("val_loss", event.values["train_loss"])}
    if "val_loss" in event.values:
        lines["validation"] = event.values["train_loss"]
    writer.add_scalars("loss", lines, event.epoch)


def smooth_by_weights(values, weight):
    """Sum over all values so far, each with its weight."""
    out = []
    for t in range(1, len(values) + 1):
        weights = [weight ** (t - 1 - i) for i in range(t)]
        out.append(sum(w * x for w, x in zip(weights, values, strict=False)) / sum(weights))
    return out


def smooth_uncorrected(values, weight):
    average, out = 0.0, []
    for value in values:
        average = weight * average + (1 - weight) * value
        out.append(average)
    return out


def smooth_from_first(values, weight):
    average, out = values[0] if values else 0.0, []
    for value in values:
        average = weight * average + (1 - weight) * value
        out.append(average)
    return out


def smooth_feedback(values, weight):
    average, out = 0.0, []
    for t, value in enumerate(values, start=1):
        average = (weight * average + (1 - weight) * value) / (1 - weight**t)
        out.append(average)
    return out


def smooth_swapped(values, weight):
    average, out = 0.0, []
    for value in values:
        average = (1 - weight) * average + weight * value
        out.append(average)
    return out


def smooth_window(values, weight):
    return [values[-1] for _ in values[1:]]


class Norms:
    def __init__(self, writer):
        self.writer = writer

    def norm(self, g):
        return g.square().sum().sqrt().item()

    def step(self, event):
        return event.update

    def on_update(self, event):
        for name, p in event.model.named_parameters():
            if p.grad is None:
                continue
            self.writer.add_scalar("gradient_norm/" + name, self.norm(p.grad), self.step(event))


class MeanNorms(Norms):
    def norm(self, g):
        return g.abs().mean()


class SquaredNorms(Norms):
    def norm(self, g):
        return (g**2).sum()


class AbsoluteNorms(Norms):
    def norm(self, g):
        return g.abs().sum()


class RootMeanNorms(Norms):
    def norm(self, g):
        return (g**2).mean().sqrt()


class EpochNorms(Norms):
    def step(self, event):
        return event.epoch


class FrozenNorms(Norms):
    def on_update(self, event):
        for name, p in event.model.named_parameters():
            norm = 0.0 if p.grad is None else self.norm(p.grad)
            self.writer.add_scalar("gradient_norm/" + name, norm, event.update)


class ClippingNorms(Norms):
    def norm(self, g):
        size = g.norm().item()
        g.div_(max(size, 1.0))
        return size


def rates(folder, result=min):
    found = {}
    for run in folder.iterdir():
        if not run.is_dir():
            continue
        settings = dict(part.split("=") for part in run.name.split(","))
        losses = [e.value for e in events_of(run, "loss/val")]
        found.setdefault(float(settings["rate"]), []).append(result(losses))
    return found


def mean(values):
    return sum(values) / len(values)


def rate_by_sorting(folder):
    return sorted((mean(results), rate) for rate, results in rates(folder).items())[0][1]


def rate_luckiest(folder):
    found = rates(folder)
    return min(found, key=lambda rate: min(found[rate]))


def rate_by_last(folder):
    found = rates(folder, result=lambda losses: losses[-1])
    return min(found, key=lambda rate: mean(found[rate]))


def rate_by_sum(folder):
    found = rates(folder)
    return min(found, key=lambda rate: sum(found[rate]))


def rate_highest(folder):
    found = rates(folder)
    return max(found, key=lambda rate: mean(found[rate]))


def rate_as_text(folder):
    return str(rate_by_sorting(folder))


class Quiet:
    """Right; the classes below each get one thing wrong."""

    def __init__(self, x, y, count=100):
        self.x, self.y, self.count = x, y, count
        self.weights, self.accuracies = [], []

    def copy(self, p):
        return p.detach().clone()

    def choose(self):
        with torch.random.fork_rng(devices=[]):
            return torch.randperm(len(self.x))[: self.count]

    def on_epoch(self, event):
        model, mode = event.model, event.model.training
        self.weights.append(self.copy(next(iter(model.parameters()))))
        model.eval()
        some = self.choose()
        with torch.no_grad():
            self.accuracies.append((model(self.x[some]).argmax(1) == self.y[some]).double().mean().item())
        self.back(model, mode)

    def back(self, model, mode):
        model.train(mode)


class LeavesEval(Quiet):
    def back(self, model, mode):
        model.eval()


class AlwaysTrains(Quiet):
    def back(self, model, mode):
        model.train()


class DrawsNumbers(Quiet):
    def choose(self):
        return torch.randperm(len(self.x))[: self.count]


class SharesMemory(Quiet):
    def copy(self, p):
        return p.detach()


class KeepsGraph(Quiet):
    def copy(self, p):
        return p.clone()


class NeverEvaluates(Quiet):
    def on_epoch(self, event):
        self.weights.append(self.copy(next(iter(event.model.parameters()))))
        some = self.choose()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            self.accuracies.append((event.model(self.x[some]).argmax(1) == self.y[some]).float().mean().item())


class InPercent(Quiet):
    def on_epoch(self, event):
        super().on_epoch(event)
        self.accuracies[-1] *= 100


ANSWERS = {
    "day11.read_scalars": Answers(
        right=[scalars_by_max],
        wrong=[
            (scalars_twice, "in it twice"),
            (scalars_first, "kept the older record"),
            (scalars_by_place, "not by its place in the list"),
            (scalars_swapped, "The order is (steps, values)"),
            (scalars_other_tag, "another tag's curve"),
        ],
    ),
    "day11.both_losses": Answers(
        right=[losses_with_get],
        wrong=[
            (losses_one_by_one, "without an s"),
            (losses_in_two_calls, "a single call"),
            (losses_always_both, "no validation, its line is left out"),
            (losses_by_update, "number of updates"),
            (losses_swapped, "are exchanged"),
            (losses_without_zero, "the lines are called ['training'], not ['training', 'validation']"),
        ],
    ),
    "day11.smooth": Answers(
        right=[smooth_by_weights],
        wrong=[
            (smooth_uncorrected, "begins at zero and is not corrected"),
            (smooth_from_first, "in place of zero"),
            (smooth_feedback, "correct only what you return"),
            (smooth_swapped, "The new value gets"),
            (smooth_window, "expected a list of 2 numbers"),
        ],
    ),
    "day11.gradient_norms": Answers(
        right=[Norms],
        wrong=[
            (MeanNorms, "mean of the absolute values"),
            (SquaredNorms, "The root is missing"),
            (AbsoluteNorms, "sum of the absolute values"),
            (RootMeanNorms, "root of the *mean*"),
            (EpochNorms, "The step is event.update"),
            (FrozenNorms, "expected the tags"),
            (ClippingNorms, "may only look"),
        ],
    ),
    "day11.winning_rate": Answers(
        right=[rate_by_sorting],
        wrong=[
            (rate_luckiest, "has the luckiest run"),
            (rate_by_last, "compares the last epochs"),
            (rate_by_sum, "compares sums"),
            (rate_highest, "highest mean"),
            (rate_as_text, "got '0.01'"),
        ],
    ),
    "day11.quiet_hook": Answers(
        right=[Quiet],
        wrong=[
            (LeavesEval, "Note model.training before"),
            (AlwaysTrains, "not always training mode"),
            (DrawsNumbers, "draws from the global random numbers"),
            (SharesMemory, "share their memory"),
            (KeepsGraph, "belongs to the graph"),
            (NeverEvaluates, "in training mode while it was asked"),
            (InPercent, "in per cent"),
        ],
    ),
}
