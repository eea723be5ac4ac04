"""Faults planted in a copy of the package, one at a time: each turns the unit test that guards against it red."""

import multiprocessing
import os
import shutil
import sys
from pathlib import Path

import pytest
from planted import run_tests

import nnlab_helpers

PACKAGE = Path(nnlab_helpers.__file__).parent
TESTS = Path(__file__).parent
# fault: (file, what stands there, what the fault makes of it, file of tests, the tests that must notice)
FAULTS = {
    "no zero_grad": (
        "train/loop.py", "                optim.zero_grad()\n", "", "train_loop", "gradients_start_from_zero",
    ),
    "evaluation left in training mode": (
        "models/modes.py", "        model.eval()\n", "", "train_loop", "training_and_evaluation_alternate",
    ),
    "learning rate ignored": (
        "train/loop.py", "scaler.step(optim)", "optim.param_groups[0]['lr'] = 0.01; scaler.step(optim)",
        "train_loop", "bit_for_bit",
    ),
    "scheduler ignored": (
        "train/loop.py", "    scheduler.step()\n            row", "    pass\n            row",
        "train_inputs", "TestSchedulers and per_epoch",
    ),
    "a ragged last batch counts like a full one": (
        "train/loop.py", "            size = batch_size(batch)\n", "            size = 1\n",
        "train_loop", "ragged_batches_count",
    ),
    "validation augmented like training": (
        "data/loader.py", "self.augment = augment\n",
        "self.augment = TensorLoader.shared = augment or getattr(TensorLoader, 'shared', None)\n",
        "data_loader", "pixels_then_augment or pairs_of_tensors",
    ),
    "statistics from all images": (
        "data/loader.py", "rows = None if index is None else", "rows = None and", "data_loader", "given_images_alone",
    ),
    "labels shifted": (
        "data/sets.py", 'labels.astype("int64")', '(labels.astype("int64") + 1) % 10', "data_sets", "packaged_digits",
    ),
    "seed of a split ignored": (
        "data/splits.py", "SeedSequence((seed, number))", "SeedSequence((0, number))", "data_splits", "seed_decides",
    ),
}  # fmt: skip

# The processes are copies of one that has loaded PyTorch (5 s), where the system copies processes safely.
PROCESSES = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
if sys.platform == "linux":
    PROCESSES.set_forkserver_preload(["torch._dynamo", "pytest"])


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_a_fault_turns_something_red(tmp_path, fault):
    """Without a fault the same tests pass in the same surroundings."""
    shutil.copytree(PACKAGE, tmp_path / "nnlab_helpers", ignore=shutil.ignore_patterns("assets", "__pycache__"))
    (tmp_path / "nnlab_helpers" / "assets").symlink_to(PACKAGE / "assets")
    planted = [FAULTS[fault]] if fault else list(FAULTS.values())
    if fault:
        file, right, wrong, _, _ = FAULTS[fault]
        path = tmp_path / "nnlab_helpers" / file
        source = path.read_text()
        assert source.count(right) == 1, f"{file} has changed: plant {fault!r} anew"
        path.write_text(source.replace(right, wrong))
    files = {str(TESTS / f"test_{name}.py") for *_, name, _ in planted}
    guards = " or ".join(f"({guard})" for *_, guard in planted)
    options = f"-x -q -c {os.devnull} --rootdir {TESTS} -o pythonpath={TESTS} -o markers=gpu"
    plugins = "--disable-plugin-autoload -p no:cacheprovider"
    arguments = [*options.split(), *plugins.split(), *sorted(files), "-k", guards]
    output = tmp_path / "output.txt"
    process = PROCESSES.Process(target=run_tests, args=(tmp_path, arguments, output))
    process.start()
    process.join()
    assert process.exitcode == (pytest.ExitCode.TESTS_FAILED if fault else pytest.ExitCode.OK), output.read_text()
    assert ("1 failed" in output.read_text()) == bool(fault)
