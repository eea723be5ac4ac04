"""Answers to the exercises of day 10: other right ones, and wrong ones that are really given."""

import math

import torch
from answers import Answers
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR


def best_by_index(rates, losses):
    for i in range(1, len(losses)):
        if not (losses[i] <= 4 * min(losses[:i]) and abs(losses[i]) < float("inf")):
            return 0.1 * rates[i]
    return 0.1 * rates[-1]


def best_undivided(rates, losses):
    return 10 * best_by_index(rates, losses)


def best_blind_to_nan(rates, losses):
    lowest = float("inf")
    for rate, loss in zip(rates, losses, strict=True):
        if loss > 4 * lowest:
            return rate / 10
        lowest = min(lowest, loss)
    return rates[-1] / 10


def best_with_foresight(rates, losses):
    lowest = min(loss for loss in losses if math.isfinite(loss))
    for rate, loss in zip(rates, losses, strict=True):
        if loss > 4 * lowest or not math.isfinite(loss):
            return rate / 10
    return rates[-1] / 10


def best_against_previous(rates, losses):
    for i in range(1, len(losses)):
        if losses[i] > 4 * losses[i - 1] or not math.isfinite(losses[i]):
            return rates[i] / 10
    return rates[-1] / 10


def best_against_first(rates, losses):
    for rate, loss in zip(rates, losses, strict=True):
        if loss > 4 * losses[0] or not math.isfinite(loss):
            return rate / 10
    return rates[-1] / 10


def best_at_the_lowest(rates, losses):
    return rates[losses.index(min(losses))]


def best_without_an_end(rates, losses):
    lowest = float("inf")
    for rate, loss in zip(rates, losses, strict=True):
        if loss > 4 * lowest or not math.isfinite(loss):
            return rate / 10
        lowest = min(lowest, loss)


def best_one_too_early(rates, losses):
    for i in range(1, len(losses)):
        if losses[i] > 4 * min(losses[:i]) or not math.isfinite(losses[i]):
            return rates[i - 1] / 10
    return rates[-1] / 10


def warm_by_tensor(step, total, warmup, peak):
    rise = torch.arange(1, warmup + 1) / max(warmup, 1)
    fall = (1 + torch.cos(torch.linspace(0, math.pi, total - warmup + 1))) / 2
    return peak * torch.cat([rise, fall])[step].item()


def warm_from_zero(step, total, warmup, peak):
    if step < warmup:
        return peak * step / warmup
    return warm_by_tensor(step, total, warmup, peak)


def warm_cosine_from_the_start(step, total, warmup, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * step / total)) / 2


def warm_cosine_over_total(step, total, warmup, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / total)) / 2


def warm_to_zero_in_the_last(step, total, warmup, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / max(total - 1 - warmup, 1))) / 2


def warm_unshifted(step, total, warmup, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * math.cos(math.pi * (step - warmup) / (total - warmup))


def warm_factor(step, total, warmup, peak):
    return warm_by_tensor(step, total, warmup, 1.0)


def warm_line(step, total, warmup, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 - (step - warmup) / (total - warmup))


def warm_never(step, total, warmup, peak):
    return peak * (1 + math.cos(math.pi * step / total)) / 2


def run(model, x, y, epochs, batch_size, peak, *, t_max, early=False, per_epoch=False, note_late=False):
    optimizer = torch.optim.SGD(model.parameters(), lr=peak)
    scheduler = CosineAnnealingLR(optimizer, T_max=t_max)
    rates = []
    for _ in range(epochs):
        for inputs, target in zip(x.split(batch_size), y.split(batch_size), strict=True):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), target).backward()
            if early:
                scheduler.step()
            if not note_late:
                rates.append(scheduler.get_last_lr()[0])
            optimizer.step()
            if not early and not per_epoch:
                scheduler.step()
            if note_late:
                rates.append(scheduler.get_last_lr()[0])
        if per_epoch:
            scheduler.step()
    return rates


def schedule_by_lambda(model, x, y, epochs=3, batch_size=4, peak=0.1):
    total = epochs * len(x.split(batch_size))
    optimizer = torch.optim.SGD(model.parameters(), lr=peak)
    scheduler = LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / total)) / 2)
    rates = []
    for _ in range(epochs):
        for inputs, target in zip(x.split(batch_size), y.split(batch_size), strict=True):
            loss = F.cross_entropy(model(inputs), target)
            optimizer.zero_grad()
            loss.backward()
            rates += scheduler.get_last_lr()
            optimizer.step()
            scheduler.step()
    return rates


def schedule_with_both(model, x, y, epochs=3, batch_size=4, peak=0.1):
    return run(model, x, y, epochs, batch_size, peak, t_max=epochs, early=True)


def schedule_in_epochs(model, x, y, epochs=3, batch_size=4, peak=0.1):
    return run(model, x, y, epochs, batch_size, peak, t_max=epochs)


def schedule_too_early(model, x, y, epochs=3, batch_size=4, peak=0.1):
    return run(model, x, y, epochs, batch_size, peak, t_max=epochs * -(-len(x) // batch_size), early=True)


def schedule_rounded_down(model, x, y, epochs=3, batch_size=4, peak=0.1):
    return run(model, x, y, epochs, batch_size, peak, t_max=epochs * (len(x) // batch_size))


def schedule_once_an_epoch(model, x, y, epochs=3, batch_size=4, peak=0.1):
    return run(model, x, y, epochs, batch_size, peak, t_max=epochs, per_epoch=True)


def schedule_noted_late(model, x, y, epochs=3, batch_size=4, peak=0.1):
    return run(model, x, y, epochs, batch_size, peak, t_max=epochs * -(-len(x) // batch_size), note_late=True)


def schedule_over_samples(model, x, y, epochs=3, batch_size=4, peak=0.1):
    return run(model, x, y, epochs, batch_size, peak, t_max=epochs * len(x))


def scaled_by_power(rate, batch, new_batch, rule="linear"):
    powers = {"linear": 1.0, "sqrt": 0.5}
    if rule not in powers:
        raise ValueError(rule)
    return rate * (new_batch / batch) ** powers[rule]


def scaled_turned_round(rate, batch, new_batch, rule="linear"):
    return scaled_by_power(rate, new_batch, batch, rule)


def scaled_in_whole_steps(rate, batch, new_batch, rule="linear"):
    k = new_batch // batch
    return rate * k if rule == "linear" else rate * math.sqrt(k)


def scaled_always_linear(rate, batch, new_batch, rule="linear"):
    return rate * new_batch / batch


def scaled_without_error(rate, batch, new_batch, rule="linear"):
    return scaled_by_power(rate, batch, new_batch, rule if rule == "linear" else "sqrt")


def scaled_ratio(rate, batch, new_batch, rule="linear"):
    return scaled_by_power(1.0, batch, new_batch, rule)


def sweep(make_model, x, y, sizes, epochs, learning_rate, *, fresh=True, clear=True, reduction="mean", drop=False):
    losses = {}
    model = make_model()
    for size in sizes:
        if fresh:
            model = make_model()
        for _ in range(epochs):
            for inputs, target in zip(torch.split(x, size), torch.split(y, size), strict=True):
                if drop and len(inputs) < size:
                    continue
                if clear:
                    model.zero_grad()
                F.cross_entropy(model(inputs), target, reduction=reduction).backward()
                with torch.no_grad():
                    for p in model.parameters():
                        p -= learning_rate * p.grad
        losses[size] = F.cross_entropy(model(x), y).item()
    return losses


def sweep_by_hand(make_model, x, y, sizes, epochs=1, learning_rate=0.1):
    return sweep(make_model, x, y, sizes, epochs, learning_rate)


def sweep_with_one_model(make_model, x, y, sizes, epochs=1, learning_rate=0.1):
    return sweep(make_model, x, y, sizes, epochs, learning_rate, fresh=False)


def sweep_of_one_epoch(make_model, x, y, sizes, epochs=1, learning_rate=0.1):
    return sweep(make_model, x, y, sizes, 1, learning_rate)


def sweep_dropping_the_last(make_model, x, y, sizes, epochs=1, learning_rate=0.1):
    return sweep(make_model, x, y, sizes, epochs, learning_rate, drop=True)


def sweep_without_zero_grad(make_model, x, y, sizes, epochs=1, learning_rate=0.1):
    return sweep(make_model, x, y, sizes, epochs, learning_rate, clear=False)


def sweep_of_sums(make_model, x, y, sizes, epochs=1, learning_rate=0.1):
    return sweep(make_model, x, y, sizes, epochs, learning_rate, reduction="sum")


def sweep_of_last_losses(make_model, x, y, sizes, epochs=1, learning_rate=0.1):
    losses = {}
    for size in sizes:
        model = make_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
        for _ in range(epochs):
            for start in range(0, len(x), size):
                loss = F.cross_entropy(model(x[start : start + size]), y[start : start + size])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        losses[size] = loss.item()
    return losses


def sweep_as_list(make_model, x, y, sizes, epochs=1, learning_rate=0.1):
    return list(sweep(make_model, x, y, sizes, epochs, learning_rate).values())


def plateau_by_pytorch(losses, rate, factor=0.1, patience=2):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=factor, patience=patience, threshold=0, eps=0
    )
    rates = []
    for loss in losses:
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(loss)
    return rates


def plateau(losses, rate, factor, patience, *, bad_enough=1, reset=True, again=True, ties=False, previous=False):
    rates, lowest, bad = [], math.inf, 0
    for i, loss in enumerate(losses):
        rates.append(rate)
        against = losses[i - 1] if previous and i else lowest
        if loss < against or (ties and loss == against):
            bad = 0 if reset else bad
        else:
            bad += 1
        lowest = min(lowest, loss)
        if bad >= patience + bad_enough:
            rate *= factor
            bad = 0 if again else bad
    return rates


def plateau_too_early(losses, rate, factor=0.1, patience=2):
    return plateau(losses, rate, factor, max(patience, 1), bad_enough=0)


def plateau_cutting_on(losses, rate, factor=0.1, patience=2):
    return plateau(losses, rate, factor, patience, again=False)


def plateau_counting_all(losses, rate, factor=0.1, patience=2):
    return plateau(losses, rate, factor, patience, reset=False)


def plateau_in_the_same_epoch(losses, rate, factor=0.1, patience=2):
    rates = plateau(losses, rate, factor, patience)
    return [*rates[1:], plateau([*losses, 0.0], rate, factor, patience)[-1]]


def plateau_with_ties(losses, rate, factor=0.1, patience=2):
    return plateau(losses, rate, factor, patience, ties=True)


def plateau_against_previous(losses, rate, factor=0.1, patience=2):
    return plateau(losses, rate, factor, patience, previous=True)


ANSWERS = {
    "day10.best_rate": Answers(
        right=[best_by_index],
        wrong=[
            (best_undivided, "a tenth of it is asked for"),
            (best_blind_to_nan, "every comparison with nan"),
            (best_with_foresight, "later losses are not known"),
            (best_against_previous, "not with the one just before"),
            (best_against_first, "not with the first one"),
            (best_at_the_lowest, "the rate with the lowest loss"),
            (best_without_an_end, "comes after your loop"),
            (best_one_too_early, "one position too early"),
        ],
    ),
    "day10.warm_cosine": Answers(
        right=[warm_by_tensor],
        wrong=[
            (warm_from_zero, "a wasted step"),
            (warm_cosine_from_the_start, "count its steps from there"),
            (warm_cosine_over_total, "total - warmup steps, not total"),
            (warm_to_zero_in_the_last, "one later"),
            (warm_unshifted, "shift it up by one"),
            (warm_factor, "multiply it by the peak"),
            (warm_line, "not a cosine"),
            (warm_never, "the rate *rises*"),
        ],
    ),
    "day10.repaired_schedule": Answers(
        right=[schedule_by_lambda],
        wrong=[
            (schedule_with_both, "Both bugs"),
            (schedule_in_epochs, "T_max counts epochs"),
            (schedule_too_early, "nobody uses the peak"),
            (schedule_rounded_down, "round the number of batches up"),
            (schedule_once_an_epoch, "once in an epoch"),
            (schedule_noted_late, "*next* step"),
            (schedule_over_samples, "not samples"),
        ],
    ),
    "day10.scaled_rate": Answers(
        right=[scaled_by_power],
        wrong=[
            (scaled_turned_round, "turned round"),
            (scaled_in_whole_steps, "use /, not //"),
            (scaled_always_linear, "take the root of the ratio"),
            (scaled_without_error, "a ValueError is expected"),
            (scaled_ratio, "multiply the rate by it"),
        ],
    ),
    "day10.batch_size_sweep": Answers(
        right=[sweep_by_hand],
        wrong=[
            (sweep_with_one_model, "fresh network"),
            (sweep_of_one_epoch, "after one epoch"),
            (sweep_dropping_the_last, "was left out"),
            (sweep_without_zero_grad, "never cleared"),
            (sweep_of_sums, "not its sum"),
            (sweep_of_last_losses, "the last batch before its step"),
            (sweep_as_list, "a dict from batch size"),
        ],
    ),
    "day10.plateau_rates": Answers(
        right=[plateau_by_pytorch],
        wrong=[
            (plateau_too_early, "one epoch too early"),
            (plateau_cutting_on, "the very next epoch"),
            (plateau_counting_all, "a new lowest loss sets"),
            (plateau_in_the_same_epoch, "for the *next* epoch"),
            (plateau_with_ties, "Equal is not lower"),
            (plateau_against_previous, "not with that of the epoch before"),
        ],
    ),
}
