"""Answers to the exercises of day 13: other cures, and cures that do not cure."""

import torch
from answers import Answers
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.data import TensorLoader
from nnlab_helpers.exercises.days.day13 import patients

RIGHT = dict(zip("ABCDEFGHIJK", (4, 9, 10, 5, 7, 1, 8, 12, 13, 3, 2), strict=True))


def named(**other):
    return RIGHT | other


# A and C: loops


def loop(model, x, y, epochs, batch_size, rate, *, clear="before", factor=None, report="samples", learn=True):
    history = []
    for _ in range(epochs):
        seen = []
        if clear == "epoch":
            model.zero_grad()
        for batch, target in zip(x.split(batch_size), y.split(batch_size), strict=True):
            loss = F.cross_entropy(model(batch), target)
            if clear == "before":
                model.zero_grad()
            (loss * (factor(len(target), batch_size) if factor else 1)).backward()
            if clear == "between":
                for p in model.parameters():
                    p.grad.zero_()
            if learn:
                with torch.no_grad():
                    for p in model.parameters():
                        p -= rate * p.grad
            if clear == "after":
                model.zero_grad()
            seen.append((loss.item(), len(target)))
        losses, sizes = zip(*seen, strict=True)
        weighed = sum(loss * n for loss, n in seen) / sum(sizes)
        history.append({"samples": weighed, "batches": sum(losses) / len(losses), "raw": sum(losses) / len(x)}[report])
    return history


def healthy(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    return loop(model, x, y, epochs, batch_size, learning_rate)


def cleared_after(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    return loop(model, x, y, epochs, batch_size, learning_rate, clear="after")


def new_optimizer_each_step(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    history = []
    for _ in range(epochs):
        total = 0.0
        for batch, target in zip(x.split(batch_size), y.split(batch_size), strict=True):
            optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch), target)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(target)
        history.append(total / len(x))
    return history


def cleared_once_an_epoch(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    return loop(model, x, y, epochs, batch_size, learning_rate, clear="epoch")


def cleared_too_late(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    return loop(model, x, y, epochs, batch_size, learning_rate, clear="between")


def slower_a(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    return patients.patient_a(model, x, y, epochs, batch_size, learning_rate / 10)


def still_a(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    return patients.patient_a(model, x, y, epochs, batch_size, learning_rate)


def a_with_batch_means(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    return loop(model, x, y, epochs, batch_size, learning_rate, report="batches")


def still_c(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    return patients.patient_c(model, x, y, epochs, batch_size, learning_rate)


def slower_c(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    return patients.patient_c(model, x, y, epochs, batch_size, learning_rate / 10)


def sum_over_batch_size(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    return loop(model, x, y, epochs, batch_size, learning_rate, factor=lambda n, batch: n / batch)


def sum_over_count(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    history = []
    for _ in range(epochs):
        total = 0.0
        for batch, target in zip(x.split(batch_size), y.split(batch_size), strict=True):
            model.zero_grad()
            loss = F.cross_entropy(model(batch), target, reduction="sum")
            (loss / len(target)).backward()
            torch.optim.SGD(model.parameters(), lr=learning_rate).step()
            total += loss.item()
        history.append(total / len(x))
    return history


def mean_reported_as_sum(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    return loop(model, x, y, epochs, batch_size, learning_rate, report="raw")


# B: a loss


def b_by_nll(model, x, y):
    return F.nll_loss(model(x).log_softmax(dim=1), y)


def b_with_log_softmax_first(model, x, y):  # log-softmax of a log-softmax changes nothing
    return F.cross_entropy(F.log_softmax(model(x), dim=1), y)


def b_nll_of_logits(model, x, y):
    return F.nll_loss(model(x), y)


def b_nll_of_probabilities(model, x, y):
    return F.nll_loss(model(x).softmax(dim=1), y)


def b_with_sigmoid(model, x, y):
    return F.cross_entropy(model(x).sigmoid(), y)


def b_summed(model, x, y):
    return F.cross_entropy(model(x), y, reduction="sum")


def b_without_graph(model, x, y):
    return F.cross_entropy(model(x), y).detach()


# D: a start


def start(weights, bias=0.0):
    def fresh(model):
        for layer in model:
            if isinstance(layer, nn.Linear):
                weights(layer.weight)
                nn.init.constant_(layer.bias, bias)

    return fresh


def d_by_numbers(model):
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.copy_(torch.randn_like(layer.weight) * (2 / layer.in_features) ** 0.5)
                layer.bias.zero_()


def d_first_only(model):
    layer = next(layer for layer in model if isinstance(layer, nn.Linear))
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)


def d_positive(weight):
    nn.init.uniform_(weight, 0.0, (6 / weight.shape[1]) ** 0.5)


def d_negative(weight):
    nn.init.uniform_(weight, -((6 / weight.shape[1]) ** 0.5), 0.0)


# E: batches


def e_on_pairs(x, y, batch_size, generator):
    order = torch.randperm(len(y), generator=generator).split(batch_size)
    return [(x[rows], y[rows]) for rows in order]


def e_unshuffled(x, y, batch_size, generator):
    return list(zip(x.split(batch_size), y.split(batch_size), strict=True))


def e_images_alone(x, y, batch_size, generator):
    x = x[torch.randperm(len(x), generator=generator)]
    return list(zip(x.split(batch_size), y.split(batch_size), strict=True))


def e_without_the_rest(x, y, batch_size, generator):
    return [pair for pair in e_on_pairs(x, y, batch_size, generator) if len(pair[1]) == batch_size]


def e_same_each_epoch(x, y, batch_size, generator):
    return e_on_pairs(x, y, batch_size, torch.Generator().manual_seed(0))


def e_with_global_randomness(x, y, batch_size, generator):
    return e_on_pairs(x, y, batch_size, None)


def e_with_replacement(x, y, batch_size, generator):
    rows = torch.randint(0, len(x), (len(x),), generator=generator)
    return list(zip(x[rows].split(batch_size), y[rows].split(batch_size), strict=True))


# F: an optimizer


def f_added_later(model, classes, learning_rate):
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    model[-1] = nn.Linear(model[-1].in_features, classes)
    optimizer.add_param_group({"params": model[-1].parameters()})
    return optimizer


def f_head_alone(model, classes, learning_rate):
    model[-1] = nn.Linear(model[-1].in_features, classes)
    return torch.optim.SGD(model[-1].parameters(), lr=learning_rate)


def f_body_frozen(model, classes, learning_rate):
    for p in model.parameters():
        p.requires_grad = False
    model[-1] = nn.Linear(model[-1].in_features, classes)
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=learning_rate)


def f_not_replaced(model, classes, learning_rate):
    return torch.optim.SGD(model.parameters(), lr=learning_rate)


def f_appended(model, classes, learning_rate):
    model.append(nn.Linear(model[-1].out_features, classes))
    return torch.optim.SGD(model.parameters(), lr=learning_rate)


# H: loaders


def h_loaders(
    digits, train_index, val_index, normalize, device, *, for_train=None, for_val=None, shuffle=(True, False)
):
    common = {"batch_size": 100, "device": device}
    return (
        TensorLoader(digits, train_index, shuffle=shuffle[0], augment=for_train, normalize=normalize, **common),
        TensorLoader(digits, val_index, shuffle=shuffle[1], augment=for_val, normalize=normalize, **common),
    )


def h_taken_out(digits, train_index, val_index, augment, normalize, device):
    train_loader, val_loader = patients.patient_h(digits, train_index, val_index, augment, normalize, device)
    val_loader.augment = None
    return train_loader, val_loader


def h_without_augmentation(digits, train_index, val_index, augment, normalize, device):
    return h_loaders(digits, train_index, val_index, normalize, device)


def h_exchanged(digits, train_index, val_index, augment, normalize, device):
    return h_loaders(digits, train_index, val_index, normalize, device, for_val=augment)


def h_validation_not_normalised(digits, train_index, val_index, augment, normalize, device):
    train_loader, val_loader = h_taken_out(digits, train_index, val_index, augment, normalize, device)
    val_loader.normalize = None
    return train_loader, val_loader


def h_validation_shuffled(digits, train_index, val_index, augment, normalize, device):
    return h_loaders(digits, train_index, val_index, normalize, device, for_train=augment, shuffle=(True, True))


def h_training_in_order(digits, train_index, val_index, augment, normalize, device):
    return h_loaders(digits, train_index, val_index, normalize, device, for_train=augment, shuffle=(False, False))


def h_still_ill(digits, train_index, val_index, augment, normalize, device):
    return patients.patient_h(digits, train_index, val_index, augment, normalize, device)


# I: a division


def i_from_the_end(count, val, generator):
    order = torch.randperm(count, generator=generator)
    return order[: count - val], order[count - val :]


def i_by_removal(count, val, generator):
    held = torch.randperm(count, generator=generator)[:val]
    rest = torch.ones(count, dtype=torch.bool)
    rest[held] = False
    return rest.nonzero().flatten(), held


def i_exchanged(count, val, generator):
    return i_from_the_end(count, val, generator)[::-1]


def i_unshuffled(count, val, generator):
    return torch.arange(val, count), torch.arange(val)


def i_two_orders(count, val, generator):
    train = torch.randperm(count, generator=generator)[val:]
    return train, torch.randperm(count, generator=generator)[:val]


def i_some_lost(count, val, generator):
    train, held = patients.patient_i(count, val, generator)
    both = torch.isin(train, held)
    return train[~both], held


def i_small_validation(count, val, generator):
    train, held = patients.patient_i(count, val, generator)
    return train, held[~torch.isin(held, train)]


def i_with_global_randomness(count, val, generator):
    return i_from_the_end(count, val, None)


# J and K: measuring


@torch.no_grad()
def j_with_try(model, x, y):
    mode = model.training
    model.train(False)
    try:
        return float((model(x).argmax(-1) == y).float().mean())
    finally:
        model.train(mode)


@torch.no_grad()
def j_left_in_eval(model, x, y):
    model.eval()
    return patients.patient_j(model, x, y)


@torch.no_grad()
def j_always_back_to_training(model, x, y):
    got = j_left_in_eval(model, x, y)
    model.train()
    return got


@torch.no_grad()
def j_averaged(model, x, y):
    return sum(patients.patient_j(model, x, y) for _ in range(10)) / 10


@torch.no_grad()
def j_in_percent(model, x, y):
    return 100 * j_with_try(model, x, y)


def j_still_ill(model, x, y):
    with torch.inference_mode():
        return (model(x).argmax(1) == y).float().mean().item()


def k_summed(model, loader):
    pairs = [(F.cross_entropy(model(x), y, reduction="sum").item(), len(y)) for x, y in loader]
    return sum(total for total, _ in pairs) / sum(n for _, n in pairs)


def k_concatenated(model, loader):
    xs, ys = zip(*loader, strict=True)
    return F.cross_entropy(model(torch.cat(xs)), torch.cat(ys)).item()


def k_pairs(model, loader):
    return [(F.cross_entropy(model(x), y).item(), len(y)) for x, y in loader]


def k_without_the_last(model, loader):
    pairs = k_pairs(model, loader)
    pairs = [pair for pair in pairs if pair[1] == pairs[0][1]]
    return sum(loss * n for loss, n in pairs) / sum(n for _, n in pairs)


def k_sum_over_batches(model, loader):
    pairs = k_pairs(model, loader)
    return sum(loss * n for loss, n in pairs) / len(pairs)


def k_means_over_samples(model, loader):
    pairs = k_pairs(model, loader)
    return sum(loss for loss, _ in pairs) / sum(n for _, n in pairs)


def k_last_size(model, loader):
    pairs = k_pairs(model, loader)
    return sum(loss * n for loss, n in pairs) / (len(pairs) * pairs[-1][1])


ANSWERS = {
    "day13.diagnoses": Answers(
        right=[dict(reversed(RIGHT.items())), named(G=8)],
        wrong=[
            (named(A=10), "healthy at first, and grows"),
            (named(B=11), "can the loss fall to 0"),
            (named(C=4), "over several steps"),
            (named(D=11), "Short steps are still steps"),
            (named(F=5), "Which of its three"),
            (named(H=3, J=12), "With H only"),
            (named(J=12), "wavers on both"),
            (named(I=7), "too good, compared with"),
            (named(K=9), "depends on the batch size"),
            (named(E=...), "still without a diagnosis"),
            (named(E=14), "a whole number from 1 to 13"),
            ({"A": 4}, "the letters should be A to K"),
        ],
    ),
    "day13.patient_a": Answers(
        right=[healthy, cleared_after, new_optimizer_each_step],
        wrong=[
            (still_a, "still ill: the second step"),
            (slower_a, "Was the rate changed?"),
            (cleared_too_late, "no weight has moved"),
            (cleared_once_an_epoch, "once in an epoch"),
            (a_with_batch_means, "a mean over batches"),
        ],
    ),
    "day13.patient_b": Answers(
        right=[b_by_nll, b_with_log_softmax_first],
        wrong=[
            (patients.patient_b, "still ill"),
            (b_nll_of_logits, "and got logits"),
            (b_nll_of_probabilities, "and got the probabilities"),
            (b_with_sigmoid, "Sigmoid in place of softmax"),
            (b_summed, "sum over the batch"),
            (b_without_graph, "no graph behind it"),
        ],
    ),
    "day13.patient_c": Answers(
        right=[healthy, sum_over_count],
        wrong=[
            (still_c, "still ill: the first step is 11 times"),
            (slower_c, "A correction that suits one batch size"),
            (sum_over_batch_size, "Right for full batches"),
            (mean_reported_as_sum, "as if they were sums"),
            (a_with_batch_means, "a mean over batches"),
            (cleared_once_an_epoch, "once in an epoch"),
        ],
    ),
    "day13.patient_d": Answers(
        right=[start(lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu")), d_by_numbers],
        wrong=[
            (start(d_negative), "still ill"),
            (start(d_positive), "no weight of layer 1 of 3 is negative"),
            (start(nn.init.zeros_), "can never become different"),
            (start(nn.init.normal_), "signals grow or fade"),
            (start(lambda w: None), "weights of layer 1 of 3 are as they"),
            (start(lambda w: nn.init.uniform_(w, -(w.shape[1] ** -0.5) * 3**0.5, (3 / w.shape[1]) ** 0.5)), "Half the"),
            (start(lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"), bias=1.0), "biases of layer 1"),
            (d_first_only, "of layer 2 of 3 are as they"),
        ],
    ),
    "day13.patient_e": Answers(
        right=[e_on_pairs],
        wrong=[
            (patients.patient_e, "but not in the same way"),
            (e_images_alone, "one of the two is shuffled"),
            (e_unshuffled, "nothing is shuffled any more"),
            (e_without_the_rest, "are lost to this epoch"),
            (e_same_each_epoch, "two epochs have the same order"),
            (e_with_global_randomness, "draw from `generator`"),
            (e_with_replacement, "comes twice"),
        ],
    ),
    "day13.patient_f": Answers(
        right=[f_added_later],
        wrong=[
            (patients.patient_f, "still ill"),
            (f_head_alone, "no longer are"),
            (f_body_frozen, "frozen now"),
            (f_not_replaced, "should be a new nn.Linear"),
            (f_appended, "only the last layer should be replaced"),
        ],
    ),
    "day13.patient_g": Answers(
        right=[lambda images, mean, std: (images.float() - 255 * mean) / (255 * std)],
        wrong=[
            (patients.patient_g, "still ill"),
            (lambda images, mean, std: ((images / 255).round() - mean) / std, "throws the grey values away"),
            (lambda images, mean, std: (images.float() - mean) / std, "These are bytes"),
            (lambda images, mean, std: images / 255, "not normalised"),
            (lambda images, mean, std: (images / 256 - mean) / std, "not by 256"),
            (lambda images, mean, std: (images / 255 / 255 - mean) / std, "divided by 255 twice"),
            (lambda images, mean, std: (images.double() / 255 - mean) / std, "float32 was expected"),
        ],
    ),
    "day13.patient_h": Answers(
        right=[h_taken_out],
        wrong=[
            (h_still_ill, "still ill"),
            (h_without_augmentation, "should not cost the training"),
            (h_exchanged, "Are the two exchanged?"),
            (h_validation_not_normalised, "on another scale"),
            (h_validation_shuffled, "the validation loader shuffles"),
            (h_training_in_order, "the training loader does not shuffle"),
        ],
    ),
    "day13.patient_i": Answers(
        right=[i_from_the_end, i_by_removal],
        wrong=[
            (patients.patient_i, "still ill: for count = 5 and val = 2"),
            (i_exchanged, "two parts are exchanged"),
            (i_unshuffled, "the same for every generator"),
            (i_some_lost, "some numbers are in neither"),
            (i_small_validation, "lost its size"),
            (i_with_global_randomness, "draw from `generator`"),
        ],
    ),
    "day13.patient_j": Answers(
        right=[j_with_try],
        wrong=[
            (patients.patient_j, "Less noise"),
            (j_still_ill, "Less noise"),
            (j_averaged, "Asking several times"),
            (j_left_in_eval, "would run without dropout"),
            (j_always_back_to_training, "Not every caller"),
            (j_in_percent, "in percent"),
        ],
    ),
    "day13.patient_k": Answers(
        right=[k_summed, k_concatenated],
        wrong=[
            (patients.patient_k, "still ill"),
            (k_without_the_last, "is left out"),
            (k_sum_over_batches, "divided by the number of batches"),
            (k_means_over_samples, "weigh each by its batch"),
            (k_last_size, "size of the last one"),
        ],
    ),
}
