"""Day 13's instruments on cases with known answers; its patients, in the lesson and in the clinic, are the same."""

import ast
import inspect
import math

import pytest
import torch
from closeness import rounding
from lesson import NOTEBOOKS, definitions
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.exercises.days.day13 import patients
from nnlab_helpers.exercises.days.day13.training import FAULTS, ILLNESS
from nnlab_helpers.train import fit

LESSON = "day13_debugging"
SCRIPT = NOTEBOOKS / "py" / f"{LESSON}.py"


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(20, 6, generator=generator), torch.randint(0, 3, (20,), generator=generator)


def plain(function: ast.FunctionDef) -> tuple[list[str], list[str], list[str], list[str]]:
    """Decorators, arguments, defaults and statements, without annotations and a `...`."""
    body = []
    for node in function.body:
        if isinstance(node, ast.AnnAssign):
            node = ast.Assign([node.target], node.value, lineno=0)
        if ast.unparse(node) != "...":
            body.append(ast.unparse(node))
    arguments = function.args
    return (
        [ast.unparse(node) for node in function.decorator_list],
        [argument.arg for argument in arguments.args],
        [ast.unparse(node) for node in arguments.defaults],
        body,
    )


@pytest.mark.parametrize("letter", [*"abcdefghijk"])
def test_the_patient_in_the_lesson_is_the_one_whose_symptoms_were_shown(letter):
    name = f"patient_{letter}"
    stubs = [n for n in ast.parse(SCRIPT.read_text()).body if isinstance(n, ast.FunctionDef) and n.name == name]
    assert len(stubs) == 1
    assert any(ast.unparse(node) == "..." for node in stubs[0].body)
    source = ast.parse(inspect.getsource(getattr(patients, name))).body[0]
    assert plain(stubs[0]) == plain(source)


def test_every_patient_has_a_fault_of_its_own_and_two_faults_have_no_patient():
    assert sorted(FAULTS) == list(range(1, 14))
    assert len(set(ILLNESS.values())) == len(ILLNESS) == 11
    assert set(FAULTS) - set(ILLNESS.values()) == {6, 11}


def test_the_lesson_lists_the_faults_as_the_check_knows_them():
    text = SCRIPT.read_text()
    for number, fault in FAULTS.items():
        assert f"| {number} | {fault} |" in text


def test_the_lessons_loop_and_fit_train_alike(net, batch):
    own = definitions(LESSON, "train")
    x, y = batch
    batches = list(zip(x.split(8), y.split(8), strict=True))
    other = nn.Sequential(*[nn.Linear(m.in_features, m.out_features) if isinstance(m, nn.Linear) else m for m in net])
    other.load_state_dict(net.state_dict())
    mine = own.train(net, batches, torch.optim.SGD(net.parameters(), lr=0.2), 3)
    theirs = fit(other, batches, epochs=3, optimizer=torch.optim.SGD(other.parameters(), lr=0.2), device="cpu")
    assert mine == pytest.approx(theirs["train_loss"], rel=rounding(steps=256))


def test_gradient_norms_are_those_of_autograd_and_leave_nothing_behind(net, batch):
    norms = definitions(LESSON, "gradient_norms").gradient_norms(net, *batch)
    weights = [layer.weight for layer in net if isinstance(layer, nn.Linear)]
    want = torch.autograd.grad(F.cross_entropy(net(batch[0]), batch[1]), weights)
    assert norms == pytest.approx([g.norm().item() for g in want], rel=rounding(steps=256))
    assert all(p.grad is None for p in net.parameters())


def test_update_ratios_of_known_steps(net, batch):
    ratios = definitions(LESSON, "watch_updates").watch_updates(net)
    for factor in (1.0, 1.25, 1.0):
        with torch.no_grad():
            net[3].weight.mul_(factor)
        net(batch[0])
    assert ratios == [pytest.approx([0, 0.25, 0]), [0, 0, 0]]


def test_live_units_of_a_network_with_silent_ones(net, batch):
    alive = definitions(LESSON, "alive").alive
    with torch.no_grad():
        net[1].weight[:2] = 0
        net[1].bias[:2] = -1.0
        net[3].weight.zero_()
        net[3].bias.copy_(torch.tensor([1.0, 1, 1, 0, -1]))
    shares = alive(net, batch[0])
    assert shares[0] <= 6 / 8
    assert shares[1] == pytest.approx(3 / 5)


def test_the_checklist_is_content_with_health_and_names_what_is_not():
    checklist = definitions(LESSON, "checklist", "RATE").checklist
    x, y = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3

    def fresh():
        torch.manual_seed(3)
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 3))

    assert "first loss" not in checklist(fresh(), x, y, classes=3)
    dead = fresh()
    nn.init.constant_(dead[1].bias, -100.0)
    assert {"gradient", "live units", "one batch"} <= set(checklist(dead, x, y, classes=3))
    loud = fresh()
    with torch.no_grad():
        loud[3].weight.mul_(100)
    assert "first loss" in checklist(loud, x, y, classes=3)
    assert math.isfinite(sum(p.abs().sum().item() for p in dead.parameters()))
