"""Checks of day 11: reading event files, smoothing, hooks that write and do not disturb, the best of many runs."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from nnlab_helpers.exercises.checking import Trial, exercise

Record = tuple[int, float, float]  # step, value, wall time


def _write(folder: Path, tag: str, files: Sequence[Sequence[Record]]) -> Path:
    """Write scalars into `folder`, each of `files` into an event file of its own."""
    from torch.utils.tensorboard import SummaryWriter

    for records in files:
        with SummaryWriter(str(folder)) as writer:
            for step, value, at in records:
                writer.add_scalar(tag, value, step, walltime=at)
    return folder


def _curve(files: Sequence[Sequence[Record]], bug: str = "") -> tuple[list[int], list[float]]:
    """The steps and values asked for, or those of a known mistake: `"all"`, `"first"` or `"lowest"`."""
    records = [record for file in files for record in file]
    if bug == "all":
        return [step for step, _, _ in records], [value for _, value, _ in records]
    best: dict[int, Record] = {}
    for record in records:
        kept = best.get(record[0])
        newer = kept is None or (record[2] < kept[2] if bug == "first" else record[2] > kept[2])
        if newer if bug != "lowest" else kept is None or record[1] < kept[1]:
            best[record[0]] = record
    return sorted(best), [best[step][1] for step in sorted(best)]


@exercise(
    "day11.read_scalars",
    title="Read a curve back",
    stars=2,
    hints=(
        "read(folder).Scalars(tag) is a list of events with .step, .value and .wall_time, from all its files.",
        "A dictionary from step to event keeps one event for each step: the last one put in. In which order do you go?",
        "Go through sorted(events, key=lambda e: e.wall_time), fill the dictionary, and read it out by sorted(steps).",
    ),
    learned="With `SummaryWriter(..., purge_step=n)` a resumed run can tell TensorBoard itself to forget what was at n "
    "and after.",
)
def read_scalars(answer: Callable[..., Any], t: Trial) -> None:
    """Plain files, resumed ones, and files whose names do not tell which is newer."""
    long = [(step, value, 100.0 + step) for step, value in enumerate(t.rand(1200).tolist())]
    cases: list[tuple[str, list[list[Record]]]] = [
        ("the records (1, 0.5, 10.0), (2, 0.25, 11.0)", [[(1, 0.5, 10.0), (2, 0.25, 11.0)]]),
        ("the records (1, 0.5, 10.0), (2, 0.25, 11.0) and in a second file (2, 0.75, 20.0), (3, 0.125, 21.0)",
         [[(1, 0.5, 10.0), (2, 0.25, 11.0)], [(2, 0.75, 20.0), (3, 0.125, 21.0)]]),
        ("the records (1, 0.5, 30.0), (2, 0.25, 31.0) and in a second file (1, 0.75, 20.0), (2, 0.125, 21.0)",
         [[(1, 0.5, 30.0), (2, 0.25, 31.0)], [(1, 0.75, 20.0), (2, 0.125, 21.0)]]),
        ("1,200 records", [long]),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for number, (given, files) in enumerate(cases):
            run = _write(Path(folder, str(number)), "loss/val", files)
            _write(run, "loss/train", [[(1, 9.0, 5.0), (7, 8.0, 6.0)]])
            got = t.call(answer, run, "loss/val")
            want = _curve(files)
            t.require(isinstance(got, list | tuple) and len(got) == 2, "two lists are asked for: (steps, values)")
            known = {
                "A step that was recorded twice is in it twice.": _curve(files, "all"),
                "Later by `wall_time`, not by its place in the list: the files need not come in order.": (
                    _in_order(files)
                ),
                "Of a step that was recorded twice you kept the older record; the later one counts.": (
                    _curve(files, "first")
                ),
                "You kept the lowest value of a step; the latest counts, even if it is worse.": _curve(files, "lowest"),
                "The order is (steps, values).": want[::-1],
                "That is another tag's curve.": ([1, 7], [9.0, 8.0]),
            }
            steps, values = (list(part) if isinstance(part, tuple) else part for part in got)
            t.expect((steps, values), want, given=given, known=known)


def _in_order(files: Sequence[Sequence[Record]]) -> tuple[list[int], list[float]]:
    last = {step: value for file in files for step, value, _ in file}
    return sorted(last), [last[step] for step in sorted(last)]


class _Recorder:
    """Stands in for a `SummaryWriter` and keeps what it is told."""

    def __init__(self, t: Trial) -> None:
        self._t = t
        self.scalars: list[tuple[str, Any, Any]] = []
        self.charts: list[tuple[str, dict[str, Any], Any]] = []

    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None, **_: Any) -> None:
        self.scalars.append((tag, scalar_value, global_step))

    def add_scalars(self, main_tag: str, tag_scalar_dict: Mapping[str, Any], global_step: Any = None, **_: Any) -> None:
        self.charts.append((main_tag, dict(tag_scalar_dict), global_step))

    def flush(self) -> None:
        """Nothing waits."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self._t.fail(f"the writer was asked for `{name}`, which this hook does not need")


def _event(model: nn.Module | None = None, *, epoch: int = 0, update: int = 0, **values: Any) -> SimpleNamespace:
    return SimpleNamespace(moment="epoch", model=model, optimizer=None, epoch=epoch, update=update, values=values,
                           history=[])  # fmt: skip


@exercise(
    "day11.both_losses",
    title="Two lines in one chart",
    stars=1,
    hints=(
        "writer.add_scalars takes three things: the main tag, a dictionary of numbers, the step.",
        'Begin with {"training": ...}, and add "validation" only `if "val_loss" in event.values`.',
    ),
    learned="Each line becomes a run of its own in a folder below, so add_scalars is for a few lines, not hundreds.",
)
def both_losses(answer: Callable[..., Any], t: Trial) -> None:
    """With and without validation, at several epochs."""
    numbers = t.rand(4).tolist()
    cases = [(3, {"train_loss": 0.5, "val_loss": 0.75}), (1, {"train_loss": 0.25}),
             (17, {"train_loss": numbers[0], "val_loss": numbers[1], "train_accuracy": numbers[2], "seconds": 2.0}),
             (2, {"train_loss": numbers[3], "val_loss": 0.0})]  # fmt: skip
    for epoch, values in cases:
        given = f"epoch {epoch} with {values}"
        writer = _Recorder(t)
        t.call(answer, writer, _event(epoch=epoch, update=30 * epoch, **values))
        t.require(
            not writer.scalars,
            f"for {given}: add_scalar was called, without an s",
            "It gives each number a chart of its own. add_scalars puts several lines into one.",
        )
        t.require(
            len(writer.charts) == 1,
            f"for {given}: expected one call of add_scalars, got {len(writer.charts)}",
            "Both lines go into the dictionary of a single call.",
        )
        tag, lines, step = writer.charts[0]
        want = {"training": values["train_loss"]}
        if "val_loss" in values:
            want["validation"] = values["val_loss"]
        t.require(tag == "loss", f"for {given}: the main tag is {tag!r}, not 'loss'")
        t.require(
            set(lines) == set(want),
            f"for {given}: the lines are called {sorted(lines)}, not {sorted(want)}",
            "Where there is no validation, its line is left out." if "val_loss" not in values else "",
        )
        swapped = dict(zip(want, reversed(want.values()), strict=True))
        t.expect(
            {name: float(value) for name, value in lines.items()}, want, given=given,
            known={"Training and validation are exchanged.": swapped},
        )  # fmt: skip
        t.expect(
            step, epoch, given=given, what="the step",
            known={"That is the number of updates; a row of the history belongs to its epoch.": 30 * epoch},
        )  # fmt: skip


def _smooth(values: Sequence[float], weight: float, bug: str = "") -> list[float]:
    """The right answer, or that of a known mistake."""
    average, out = values[0] if bug == "first" and values else 0.0, []
    for count, value in enumerate(values, start={"early": 0, "late": 2}.get(bug, 1)):
        first, second = (1 - weight, weight) if bug == "swapped" else (weight, 1 - weight)
        average = first * average + second * value
        share = 1.0 if bug in ("zero", "first", "swapped") else 1 - weight**count
        out.append(average / share if share else math.inf)
        if bug == "feedback":
            average = out[-1]
    return out


@exercise(
    "day11.smooth",
    title="TensorBoard's slider",
    stars=2,
    hints=(
        "Two numbers change from value to value: the average, and how many values there have been.",
        "Keep the average as it is for the next value. The division is for the entry of the list only.",
        "average = weight * average + (1 - weight) * x; out.append(average / (1 - weight**t)), with t from 1.",
    ),
    learned="A smoothed curve lags behind: at weight w it looks back over about 1 / (1 - w) values.",
)
def smooth(answer: Callable[..., Any], t: Trial) -> None:
    """Short, long, constant, empty; several weights."""
    cases: list[tuple[list[float], float]] = [([4.0, 2.0], 0.75), ([4.0, 2.0, 1.0], 0.5), ([5.0] * 6, 0.8), ([], 0.5),
                                              ([1.0, -3.0, 2.0], 0.0), ([3.0], 0.99)]  # fmt: skip
    cases += [(t.randn(count).tolist(), weight) for count, weight in ((7, 0.6), (40, 0.95))]
    for values, weight in cases:
        got = t.call(answer, values, weight)
        given = f"values {[round(value, 2) for value in values]} and weight {weight}" if len(values) < 8 else (
            f"{len(values)} random values and weight {weight}")  # fmt: skip
        t.require(
            isinstance(got, list | tuple) and len(got) == len(values),
            f"for {given}: expected a list of {len(values)} numbers, got {got!r:.80}",
        )
        t.expect(
            [float(value) for value in got], _smooth(values, weight), given=given,
            known={
                "It begins at zero and is not corrected: divide each entry by the sum of its weights.": (
                    _smooth(values, weight, "zero")
                ),
                "That begins with the first value in place of zero; then the first value counts too much.": (
                    _smooth(values, weight, "first")
                ),
                "The corrected value went into the next average: correct only what you return.": (
                    _smooth(values, weight, "feedback")
                ),
                "The new value gets 1 - weight, the average so far gets weight.": _smooth(values, weight, "swapped"),
                "The exponent is one too small: after the first value the sum is 1 - w, not 0.": (
                    _smooth(values, weight, "early")
                ),
                "The exponent is one too large: after the first value the sum is 1 - w, not 1 - w².": (
                    _smooth(values, weight, "late")
                ),
            },
        )  # fmt: skip


@exercise(
    "day11.gradient_norms",
    title="How long is each gradient?",
    stars=2,
    hints=(
        "Go through event.model.named_parameters() and pass over those whose .grad is None.",
        "p.grad.norm() is the root of the sum of the squares, over all dimensions.",
        'self.writer.add_scalar(f"gradient_norm/{name}", p.grad.norm(), event.update)',
    ),
    learned="The root of the sum of all their squares is the norm that clipping (`clip_norm` of fit) compares.",
)
def gradient_norms(answer: Callable[..., Any], t: Trial) -> None:
    """A layer of known gradients, a frozen one, and a network after a batch."""
    small = nn.Linear(1, 2)
    small.weight.grad, small.bias.grad = torch.tensor([[3.0], [4.0]]), torch.tensor([0.0, -2.0])
    network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    network[0].bias.requires_grad_(False)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(t.randn(p.shape))
    network(t.randn(7, 3)).square().sum().backward()
    for model, update, given in ((small, 1, "weight.grad = [[3.0], [4.0]] and bias.grad = [0.0, -2.0]"),
                                 (network, 40, "a network of two layers, the first bias frozen")):
        writer = _Recorder(t)
        hook = t.call(answer, writer)
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        kept = {name: g.clone() for name, g in gradients.items()}
        for shift in (0, 5):
            writer.scalars.clear()
            t.require(hasattr(hook, "on_update"), "the hook has no method `on_update`")
            t.call(hook.on_update, _event(model, epoch=1, update=update + shift, loss=torch.tensor(1.0)))
            t.require(
                all(torch.equal(kept[name], g) for name, g in gradients.items()),
                f"for {given}: the gradients are different after the hook; it may only look at them",
            )
            _judge_norms(t, writer.scalars, kept, update + shift, given)


def _judge_norms(t: Trial, scalars: list[tuple[str, Any, Any]], gradients: Mapping[str, Tensor], update: int,
                 given: str) -> None:  # fmt: skip
    names = [f"gradient_norm/{name}" for name in gradients]
    t.require(
        sorted(tag for tag, _, _ in scalars) == sorted(names),
        f"for {given}: expected the tags {names}, got {[tag for tag, _, _ in scalars]}",
    )
    found = dict((tag, (value, step)) for tag, value, step in scalars)
    for name, gradient in gradients.items():
        value, step = found[f"gradient_norm/{name}"]
        t.require(
            isinstance(value, int | float) or (isinstance(value, Tensor) and value.numel() == 1),
            f"for {given}: the norm of {name} must be one number",
        )
        t.expect(
            float(value), gradient.norm().item(), given=given, what=f"gradient_norm/{name}",
            known={
                "That is the mean of the absolute values, not the root of the sum of squares.": (
                    gradient.abs().mean().item()
                ),
                "That is the sum of the absolute values; square them, add up, and take the root.": (
                    gradient.abs().sum().item()
                ),
                "The root is missing.": gradient.square().sum().item(),
                "That is the root of the *mean* of the squares; the sum is asked for.": (
                    gradient.square().mean().sqrt().item()
                ),
                "That is the largest entry.": gradient.abs().max().item(),
            },
        )  # fmt: skip
        t.expect(
            step, update, given=given, what="the step",
            known={"The step is event.update: the many updates of an epoch would lie on top of each other.": 1},
        )  # fmt: skip


RATES = dict[float, list[float]]  # rate -> the result of each of its seeds


def _write_runs(folder: Path, results: Mapping[str, Sequence[float]]) -> Path:
    """A folder of runs, `"rate=0.1,seed=0"` -> its `loss/val` by epoch, and a file that is none."""
    for name, losses in results.items():
        _write(folder / name, "loss/val", [[(epoch, loss, epoch) for epoch, loss in enumerate(losses, start=1)]])
    folder.joinpath("notes.txt").write_text("rate=0.5,seed=9\n")
    return folder


@exercise(
    "day11.winning_rate",
    title="The best rate, not the luckiest run",
    stars=3,
    hints=(
        "First collect: a dictionary from rate to the list of its runs' results. Then compare means.",
        'run.name.split(",")[0] is "rate=0.01"; what comes after the "=" is the rate. run.is_dir() tells folders.',
        "results.setdefault(rate, []).append(min(e.value for e in read(run).Scalars(\"loss/val\"))); at the end "
        "min(results, key=lambda rate: sum(results[rate]) / len(results[rate])).",
    ),
    learned="Even the mean of a few seeds is uncertain: before you call a rate better, look at the spread as well.",
)
def winning_rate(answer: Callable[..., Any], t: Trial) -> None:
    """Runs in which the luckiest one, the last values, or sums would mislead."""
    a, b, c = (round(value, 3) for value in t.rand(3, low=0.2, high=0.3).tolist())
    cases: list[dict[str, list[float]]] = [
        {"rate=0.1,seed=0": [0.2, 0.1], "rate=0.1,seed=1": [0.95, 0.9], "rate=0.01,seed=0": [0.5, 0.3],
         "rate=0.01,seed=1": [0.6, 0.4], "rate=0.001,seed=0": [0.7, 0.6],
         "rate=0.001,seed=1": [0.8, 0.7]},
        {"rate=0.03,seed=0": [0.3, 0.9], "rate=0.03,seed=1": [0.3, 0.9], "rate=0.001,seed=0": [0.8, 0.5],
         "rate=0.001,seed=1": [0.8, 0.5]},
        {"rate=1e-05,seed=0": [0.9, a], "rate=1e-05,seed=1": [0.9, b], "rate=1e-05,seed=2": [0.9, c],
         "rate=0.5,seed=7": [0.9, 0.45]},
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for number, runs in enumerate(cases):
            path = Path(folder, str(number))
            got = t.call(answer, _write_runs(path, runs))
            lowest, last = _by_rate(runs, min), _by_rate(runs, lambda losses: losses[-1])
            t.expect(
                got, _best(lowest, _mean),
                given=f"the runs (`loss/val` by epoch) {runs}" if number < 2 else "three seeds of 1e-05, one of 0.5",
                known={
                    "That rate has the luckiest run; over its seeds it is worse.": _best(lowest, min),
                    "That compares the last epochs; a run's result is the lowest value of its `loss/val`.": (
                        _best(last, _mean)
                    ),
                    "That compares sums: a rate with more seeds has the larger one.": _best(lowest, sum),
                    "That is the rate with the highest mean; a loss should be low.": (
                        max(lowest, key=lambda rate: _mean(lowest[rate]))
                    ),
                },
            )  # fmt: skip


def _by_rate(runs: Mapping[str, Sequence[float]], result: Callable[[Sequence[float]], float]) -> RATES:
    found: RATES = {}
    for name, losses in runs.items():
        found.setdefault(float(name.partition(",")[0].removeprefix("rate=")), []).append(result(losses))
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _best(results: RATES, judge: Callable[[Sequence[float]], float]) -> float:
    return min(results, key=lambda rate: judge(results[rate]))


@exercise(
    "day11.quiet_hook",
    title="A hook that does disturb",
    stars=3,
    hints=(
        "Go line by line and ask: what of this is still different when the method has returned?",
        "detach() shares its memory with the parameter. randperm draws from the numbers that dropout uses.",
        "detach().clone(); note model.training and give it back with model.train(noted); generator=torch.Generator().",
    ),
    learned="A generator of its own with a fixed seed asks the same digits in every run: runs can be compared.",
)
def quiet_hook(answer: Callable[..., Any], t: Trial) -> None:
    """Call it in both modes, between changes of the weights, and look at everything it could have moved."""
    x, y = t.randn(30, 6), t.randint(0, 3, (30,))
    for training, count in ((True, 30), (False, 30), (True, 7)):
        model = nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.9)).train(training)
        hook = t.call(answer, x, y, count)
        seen: list[Tensor] = []
        for epoch in (1, 2):
            with torch.no_grad():
                for p in model.parameters():
                    p.copy_(t.randn(p.shape))
            seen.append(next(model.parameters()).detach().clone())
            right = (copy.deepcopy(model).eval()(x).argmax(dim=1) == y).float().mean().item()
            asked: list[bool] = []  # in training mode
            shown: list[Tensor] = []

            def note(module: nn.Module, given: Any, asked: list[bool] = asked, shown: list[Tensor] = shown) -> None:
                asked.append(module.training)
                shown.append(given[0])

            handle = model.register_forward_pre_hook(note)
            state = torch.get_rng_state()
            t.require(hasattr(hook, "on_epoch"), "the hook has no method `on_epoch`")
            t.call(hook.on_epoch, _event(model, epoch=epoch))
            handle.remove()
            t.require(
                not any(asked),
                "the model was in training mode while it was asked",
                "Dropout was at work, so it reads fewer digits: call model.eval() before, and put the mode back after.",
            )
            mode = "training" if training else "evaluation"
            t.require(
                model.training is training and model[1].training is training,
                f"the model came in {mode} mode and was left in the other",
                "Note model.training before you change it, and put it back."
                if training
                else "Put back the mode that it came in, not always training mode.",
            )
            t.require(
                torch.equal(state, torch.get_rng_state()),
                "PyTorch's global random numbers have moved on",
                "Whatever draws next, dropout or shuffling, gets other numbers than without the hook.",
            )
            t.require(
                count == 30 or not any(torch.equal(some, x[:count]) for some in shown),
                f"of {len(x)} digits the first {count} were asked",
                "Random ones are wanted: draw them, but from a generator of the hook's own.",
            )
            _judge_notes(t, hook, epoch, seen, right if count == 30 else None, count)


def _judge_notes(t: Trial, hook: Any, epochs: int, seen: list[Tensor], right: float | None, count: int) -> None:
    for name in ("weights", "accuracies"):
        kept = getattr(hook, name, None)
        t.require(
            isinstance(kept, list) and len(kept) == epochs,
            f"after {epochs} epoch(s) `self.{name}` should be a list with an entry for each",
        )
    for number, (kept, want) in enumerate(zip(hook.weights, seen, strict=True), start=1):
        t.require(isinstance(kept, Tensor), "`self.weights` should hold tensors")
        t.require(not kept.requires_grad, "what is kept in `self.weights` still belongs to the graph: detach it")
        stale = epochs > number and kept.shape == want.shape and torch.equal(kept, seen[-1])
        t.expect(
            kept, want, given=f"the weights kept after epoch {number}",
            known={"They have changed since: they share their memory with the live weights.": kept} if stale else None,
        )  # fmt: skip
    accuracy = hook.accuracies[-1]
    if right is not None:
        t.expect(
            accuracy, right, given="all 30 digits", what="the accuracy",
            known={"That is in per cent; a share from 0 to 1 is asked for.": 100 * right},
        )  # fmt: skip
    else:
        t.require(
            isinstance(accuracy, float) and abs(accuracy * count - round(accuracy * count)) < 1e-4,
            f"an accuracy over {count} digits is a whole number of sevenths, not {accuracy!r}",
        )
