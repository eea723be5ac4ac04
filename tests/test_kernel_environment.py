"""The environment that a lesson's kernel is built and compared in: nothing of the learner's, no windows, no bars."""

import pytest

from nnlab_helpers.pairs.building import kernel_environment, reference_environment, sweeps_beside


@pytest.mark.parametrize("environment", [kernel_environment, reference_environment])
def test_a_kernel_keeps_away_from_what_is_the_learners(environment, monkeypatch, tmp_path):
    """Their record of exercises and their finished sweeps are neither read nor written; other variables come along."""
    for name in ("NNLAB_PROGRESS", "NNLAB_CACHE", "MPLBACKEND", "TQDM_DISABLE", "NNLAB_DATA"):
        monkeypatch.setenv(name, "the learner's")
    found = environment(tmp_path / "record.json")
    assert found["NNLAB_PROGRESS"] == str(tmp_path / "record.json")
    assert found["NNLAB_CACHE"] == str(sweeps_beside(tmp_path / "record.json"))
    assert found["TQDM_DISABLE"] == "1"
    assert found["NNLAB_DATA"] == "the learner's"
    assert "MPLBACKEND" not in found


@pytest.mark.parametrize(("asked", "device"), [(None, "cpu"), ("mps", "mps")])
def test_what_is_compared_is_made_on_the_cpu_unless_a_device_is_named(asked, device, monkeypatch, tmp_path):
    monkeypatch.delenv("NNLAB_DEVICE", raising=False)
    if asked:
        monkeypatch.setenv("NNLAB_DEVICE", asked)
    assert reference_environment(tmp_path / "record.json")["NNLAB_DEVICE"] == device
    assert kernel_environment(tmp_path / "record.json").get("NNLAB_DEVICE") == asked
