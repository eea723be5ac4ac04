"""Answers to the exercises of day 9: other right ones, and wrong ones that are really given."""

import copy
import math

import torch
from answers import Answers
from torch.nn import functional as F


def rate_by_loop(rate, beta, step):
    m = 0.0
    for _ in range(step):
        m = beta * m + 1
    return torch.tensor(rate * m)


def rate_in_the_long_run(rate, beta, step):
    return rate / (1 - beta)


def rate_unchanged(rate, beta, step):
    return rate


def rate_one_late(rate, beta, step):
    return rate * (1 - beta ** (step + 1)) / (1 - beta)


def rate_one_early(rate, beta, step):
    return rate * (1 - beta ** (step - 1)) / (1 - beta)


def rate_all_the_way(rate, beta, step):
    return sum(rate * (1 - beta**k) / (1 - beta) for k in range(1, step + 1))


def rate_of_average(rate, beta, step):
    return rate * (1 - beta**step)


def rate_fading(rate, beta, step):
    return rate * beta ** (step - 1)


def look_ahead_by_steps(w, m, gradient_at, rate, beta):
    faded = beta * m
    new = faded + gradient_at(w - rate * faded)
    return [torch.add(w, new, alpha=-rate), new]


def plain_momentum(w, m, gradient_at, rate, beta):
    m = beta * m + gradient_at(w)
    return w - rate * m, m


def looking_behind(w, m, gradient_at, rate, beta):
    m = beta * m + gradient_at(w + rate * beta * m)
    return w - rate * m, m


def looking_too_far(w, m, gradient_at, rate, beta):
    m = beta * m + gradient_at(w - beta * m)
    return w - rate * m, m


def looking_without_beta(w, m, gradient_at, rate, beta):
    m = beta * m + gradient_at(w - rate * m)
    return w - rate * m, m


def stepping_from_ahead(w, m, gradient_at, rate, beta):
    w = w - rate * beta * m
    m = beta * m + gradient_at(w)
    return w - rate * m, m


def pytorch_form(w, m, gradient_at, rate, beta):
    g = gradient_at(w - rate * beta * m)
    m = beta * m + g
    return w - rate * (g + beta * m), m


def old_velocity_returned(w, m, gradient_at, rate, beta):
    new = beta * m + gradient_at(w - rate * beta * m)
    return w - rate * new, m


def nesterov_in_place(w, m, gradient_at, rate, beta):
    m *= beta
    m += gradient_at(w - rate * m)
    return w - rate * m, m


class Adam:
    """The right one; the others differ in one place."""

    def __init__(self, parameters, rate):
        self.parameters, self.rate, self.t = list(parameters), rate, 0
        self.states = [{"m": torch.zeros_like(p), "v": torch.zeros_like(p)} for p in self.parameters]

    def step(self):
        self.t += 1
        for p, state in zip(self.parameters, self.states, strict=True):
            self.move(p, state, self.t)

    def move(self, p, state, t):
        state["m"] = 0.9 * state["m"] + 0.1 * p.grad
        state["v"] = 0.999 * state["v"] + 0.001 * p.grad**2
        m_hat, v_hat = state["m"] / (1 - 0.9**t), state["v"] / (1 - 0.999**t)
        p.data = p.data - self.rate * m_hat / (v_hat.sqrt() + 1e-8)


class AdamByTorch:
    def __init__(self, parameters, rate):
        self.inner = torch.optim.Adam(parameters, lr=rate)

    def step(self):
        self.inner.step()


class AdamWithOneList(Adam):
    def __init__(self, parameters, rate):
        super().__init__(parameters, rate)
        self.m = self.v = [torch.zeros_like(p) for p in self.parameters]

    def step(self):
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = 0.9 * self.m[i] + 0.1 * p.grad
            self.v[i] = 0.999 * self.v[i] + 0.001 * p.grad**2
            v_hat = self.v[i] / (1 - 0.999**self.t)
            p.data -= self.rate * self.m[i] / (1 - 0.9**self.t) / (v_hat.sqrt() + 1e-8)


class AdamCountingParameters(Adam):
    def step(self):
        for p, state in zip(self.parameters, self.states, strict=True):
            self.t += 1
            self.move(p, state, self.t)


class AdamStartingLate(Adam):
    def step(self):
        self.t += 1
        for p, state in zip(self.parameters, self.states, strict=True):
            self.move(p, state, self.t + 1)


class AdamStartingAtZero(Adam):
    def step(self):
        for p, state in zip(self.parameters, self.states, strict=True):
            self.move(p, state, self.t)
        self.t += 1


class AdamStayingAtOne(Adam):
    def step(self):
        for p, state in zip(self.parameters, self.states, strict=True):
            self.move(p, state, 1)


class AdamForgetting(Adam):
    def step(self):
        self.t += 1
        for p in self.parameters:
            self.move(p, {"m": torch.zeros_like(p), "v": torch.zeros_like(p)}, self.t)


class AdamUphill(Adam):
    def move(self, p, state, t):
        before = p.detach().clone()
        super().move(p, state, t)
        p.data = 2 * before - p.data


class AdamOutOfPlace(Adam):
    def move(self, p, state, t):
        before = p.data
        super().move(p, state, t)
        p.data = before


def race(model, x, y, rate, steps, *, copies=2, clear=True, after=False, softmax=False):
    twins = [copy.deepcopy(model) if copies else model for _ in range(2)]
    if copies == 1:
        twins[1] = twins[0]
    kinds = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}
    found = {}
    for (name, kind), twin in zip(kinds.items(), twins, strict=True):
        optimizer = kind(twin.parameters(), lr=rate)
        twin.zero_grad()
        losses = []
        for _ in range(steps):
            scores = twin(x)
            loss = F.cross_entropy(scores.softmax(1) if softmax else scores, y)
            if clear:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(F.cross_entropy(twin(x), y).item() if after else loss.item())
        found[name] = losses
    return found


def race_by_state_dict(model, x, y, rate, steps):
    start = copy.deepcopy(model.state_dict())
    found = {}
    for kind in (torch.optim.RMSprop, torch.optim.Adam):
        optimizer, losses = kind(model.parameters(), lr=rate), []
        for _ in range(steps):
            loss = -model(x).log_softmax(1)[torch.arange(len(y)), y].mean()
            losses.append(float(loss))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        found[kind.__name__.lower()] = losses
        model.load_state_dict(start)
    return found


def race_on_one_copy(model, x, y, rate, steps):
    return race(model, x, y, rate, steps, copies=1)


def race_on_the_model(model, x, y, rate, steps):
    first = race(model, x, y, rate, steps)
    race(model, x, y, rate, steps, copies=0)
    return first


def race_without_zero_grad(model, x, y, rate, steps):
    return race(model, x, y, rate, steps, clear=False)


def race_noted_late(model, x, y, rate, steps):
    return race(model, x, y, rate, steps, after=True)


def race_with_softmax(model, x, y, rate, steps):
    return race(model, x, y, rate, steps, softmax=True)


def race_exchanged(model, x, y, rate, steps):
    found = race(model, x, y, rate, steps)
    return {"adam": found["rmsprop"], "rmsprop": found["adam"]}


def race_moving_the_wrong_weights(model, x, y, rate, steps):
    loss = F.cross_entropy(model(x), y).item()
    return {"adam": [loss] * steps, "rmsprop": [loss] * steps}


def race_as_a_pair(model, x, y, rate, steps):
    return tuple(race(model, x, y, rate, steps).values())


def lion(w, g, m, rate, decay):
    return [w * (1 - rate * decay) - rate * torch.lerp(m, g, 0.1).sign(), torch.lerp(m, g, 0.01)]


def lion_in_place(w, g, m, rate, decay):
    c = 0.9 * m + 0.1 * g
    m.mul_(0.99).add_(0.01 * g)
    return w - rate * (c.sign() + decay * w), m


def lion_for_a_number(w, g, m, rate, decay):
    c = 0.9 * m + 0.1 * g
    return w - rate * (math.copysign(1, c) + decay * w), 0.99 * m + 0.01 * g


ANSWERS = {
    "day09.effective_rate": Answers(
        right=[rate_by_loop],
        wrong=[
            (rate_in_the_long_run, "step in the long run"),
            (rate_unchanged, "plain rate"),
            (rate_one_late, "the step after"),
            (rate_one_early, "the step before"),
            (rate_all_the_way, "all steps together"),
            (rate_of_average, "the velocity is an average"),
            (rate_fading, "*first* gradient alone"),
        ],
    ),
    "day09.nesterov_step": Answers(
        right=[look_ahead_by_steps],
        wrong=[
            (plain_momentum, "that is plain momentum"),
            (looking_behind, "looks behind"),
            (looking_too_far, "the rate is missing"),
            (looking_without_beta, "beta is missing"),
            (stepping_from_ahead, "starts from the *old* w"),
            (pytorch_form, "looks ahead twice"),
            (old_velocity_returned, "return the new one"),
            (nesterov_in_place, "in place"),
        ],
    ),
    "day09.mended_adam": Answers(
        right=[Adam, AdamByTorch],
        wrong=[
            (AdamWithOneList, "NaN"),
            (AdamCountingParameters, "t counts parameters"),
            (AdamStartingLate, "there it is 2"),
            (AdamStayingAtOne, "never grows beyond 1"),
            (AdamForgetting, "forgotten between steps"),
            (AdamUphill, "sign is turned round"),
            (AdamOutOfPlace, "were not moved"),
        ],
    ),
    "day09.adam_or_rmsprop": Answers(
        right=[race, race_by_state_dict],
        wrong=[
            (race_on_one_copy, "goes on where the other one stopped"),
            (race_on_the_model, "has been trained"),
            (race_without_zero_grad, "never cleared"),
            (race_noted_late, "*after* each step"),
            (race_with_softmax, "softmax is applied before"),
            (race_exchanged, "are exchanged"),
            (race_moving_the_wrong_weights, "weights of the copy that you train"),
            (race_as_a_pair, "a dict is to be returned"),
        ],
    ),
    "day09.lion_step": Answers(
        right=[lion],
        wrong=[
            (lion_in_place, "changes its input `m` in place"),
            (lambda *args: lion(*args)[0], "two things are to be returned, (the new w, the new m); got a Tensor"),
            (lion_for_a_number, "can be converted"),
        ],
    ),
}
