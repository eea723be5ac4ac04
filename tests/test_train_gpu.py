"""`fit` on an accelerator gives what it gives on the CPU, within tolerance."""

from __future__ import annotations

import copy

import pytest
import torch
from gpu import DEVICE, MARKS
from training import X, Y, batches_of, grad, make_data, weights

from nnlab_helpers.models import MLP, LeNet
from nnlab_helpers.train import EarlyStopping, evaluate, fit

pytestmark = MARKS
needs_cuda = pytest.mark.skipif(DEVICE is None or DEVICE.type != "cuda", reason="mixed precision is for CUDA")


@pytest.fixture(autouse=True)
def full_precision():
    """TF32 would round inputs to 10 bits: switch it off, so that tolerances can be tight."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def digits():
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 10, (200,), generator=generator)
    x = torch.rand(200, 1, 28, 28, generator=generator) * 0.2
    for image, label in zip(x, y.tolist(), strict=True):
        image[0, 2 * label : 2 * label + 6, 4:24] += 0.8
    return x, y


@pytest.mark.parametrize("kind", ["mlp", "lenet", "batch norm"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_same_as_on_the_cpu(kind, accumulate):
    x, y = digits()
    loader = batches_of(x, y, 32)  # ragged: 200 = 6 * 32 + 8
    torch.manual_seed(0)
    first = {
        "mlp": lambda: MLP(784, (64,), 10),
        "lenet": lambda: LeNet(image_size=28),
        "batch norm": lambda: MLP(784, (64,), 10, norm="batch"),
    }[kind]()
    histories, models = [], []
    for device in (torch.device("cpu"), DEVICE):
        model = copy.deepcopy(first)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
        histories.append(
            fit(
                model, loader, loader[:2], epochs=3, optimizer=optimizer, scheduler=scheduler, accumulate=accumulate,
                clip_norm=1.0, early_stopping=EarlyStopping(), device=device,
            )
        )  # fmt: skip
        models.append(model)
        assert next(model.parameters()).device.type == device.type
    for column in ("train_loss", "val_loss", "learning_rate"):
        assert histories[1][column] == pytest.approx(histories[0][column], rel=2e-3), column
    assert histories[1]["val_accuracy"] == pytest.approx(histories[0]["val_accuracy"], abs=0.02)
    torch.testing.assert_close(weights(models[1]), weights(models[0]), rtol=5e-3, atol=5e-4)
    assert histories[0]["train_loss"][-1] < histories[0]["train_loss"][0]


def test_moving_a_model_takes_its_optimizer_along():
    """Started on the CPU, with momentum gathered there, and continued on the accelerator."""
    torch.manual_seed(0)
    model = MLP(6, (8,), 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    fit(model, [(X, Y)], epochs=2, optimizer=optimizer)
    twin = copy.deepcopy(model)
    theirs = torch.optim.Adam(twin.parameters(), lr=0.01)
    theirs.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    history = fit(model, [(X, Y)], epochs=2, optimizer=optimizer, device=DEVICE)
    on_cpu = fit(twin, [(X, Y)], epochs=2, optimizer=theirs)
    assert history["train_loss"] == pytest.approx(on_cpu["train_loss"], rel=1e-4)


def test_evaluate_where_the_model_is():
    model = MLP(6, (8,), 3).to(DEVICE)
    assert evaluate(model, batches_of(X, Y, 16))["loss"] == pytest.approx(
        evaluate(copy.deepcopy(model).cpu(), [(X, Y)])["loss"], rel=1e-4
    )


def test_resumed_ends_where_uninterrupted_does(tmp_path):
    """Bit for bit, with dropout drawn on the accelerator and deterministic kernels."""

    def run(epochs, **kwargs):
        torch.manual_seed(0)
        model = MLP(6, (32,), 3, dropout=0.5).to(DEVICE)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        return model, fit(model, batches_of(X, Y, 16), epochs=epochs, optimizer=optimizer, **kwargs)

    whole, history = run(6)
    run(3, checkpoint=tmp_path / "run.pt")
    torch.manual_seed(99)
    resumed, rest = run(6, checkpoint=tmp_path / "run.pt", resume=True)
    assert torch.equal(weights(whole), weights(resumed))
    assert rest["train_loss"] == history["train_loss"]


@needs_cuda
def test_nothing_waits_for_the_device_within_an_epoch():
    """CUDA itself reports every wait: as many in a long epoch as in a short one."""
    x, y = X.to(DEVICE), Y.to(DEVICE)
    waits = []
    for batches in (5, 45):
        model = MLP(6, (8,), 3).to(DEVICE)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        fit(model, [(x, y)], epochs=1, optimizer=optimizer)
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with pytest.warns(UserWarning, match="synchronizing") as caught:
                fit(model, [(x, y)] * batches, epochs=1, optimizer=optimizer)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        waits.append(len(caught))
    assert waits[0] == waits[1] < 10


@needs_cuda
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_mixed_precision(half, monkeypatch, tmp_path):
    """Inner products in half precision, weights in float32; float16 with a scaler that a checkpoint keeps."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **kwargs: half == torch.bfloat16)
    x, y = digits()
    torch.manual_seed(0)
    first, seen = MLP(784, (64,), 10), []
    first.layers[1].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    finals = {}
    for amp in (False, True):
        model = copy.deepcopy(first)
        seen.clear()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        history = fit(
            model, batches_of(x, y, 32), batches_of(x, y, 64), epochs=4, optimizer=optimizer, amp=amp, clip_norm=1.0,
            device=DEVICE, checkpoint=tmp_path / f"{amp}.pt",
        )  # fmt: skip
        finals[amp] = history["val_loss"][-1]
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        assert grad(model).norm() <= 1.001, "clipped after unscaling"
        assert set(seen) == {half if amp else torch.float32}
    assert finals[True] == pytest.approx(finals[False], rel=0.05)
    scaler = torch.load(tmp_path / "True.pt", weights_only=True)["scaler"]
    assert bool(scaler) == (half == torch.float16)


def test_a_loss_that_blows_up_says_where():
    x, y = make_data(8)
    loader = [(x, y)] * 3 + [(x * float("nan"), y)] + [(x, y)] * 3
    model = MLP(6, (8,), 3).to(DEVICE)
    with pytest.raises(FloatingPointError, match="epoch 1, batch 4"):
        fit(model, loader, epochs=1, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
