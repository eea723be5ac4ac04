"""A checkpoint that cannot be written: noticed before the first epoch, or else no reason to lose the run."""

from __future__ import annotations

import errno
import os

import pytest
from training import X, Y, make_model, sgd

from nnlab_helpers.train import fit, load_checkpoint


class TestUnusable:
    """Noticed before the first epoch, or else no reason to lose the run."""

    @pytest.mark.parametrize(
        ("make", "error"),
        [
            (lambda folder: folder, IsADirectoryError),
            (lambda folder: folder / ("x" * 250), OSError),  # the name is too long for the file beside it
            (lambda folder: (folder / "file").write_text("x") and folder / "file" / "run.pt", OSError),
            (lambda folder: (folder / "file").write_text("x") and folder / "file" / "deep" / "run.pt", OSError),
        ],
    )
    @pytest.mark.parametrize("resume", [False, True])
    def test_before_the_first_epoch(self, tmp_path, make, error, resume):
        model, steps = make_model(), []
        path = make(tmp_path)
        with pytest.raises(error, match=str(tmp_path)):
            fit(
                model, [(X, Y)], epochs=1, optimizer=sgd(model), checkpoint=path, resume=resume,
                step=lambda model, batch: steps.append(1) or model(batch[0]).mean(),
            )  # fmt: skip
        assert not steps

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_without_permission(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(PermissionError):
            fit(make_model(), [(X, Y)], epochs=1, optimizer=sgd(make_model()), checkpoint=tmp_path / "run.pt")

    def test_a_disk_that_fills_up(self, tmp_path, monkeypatch):
        """A warning names the file; the last checkpoint that fitted stays, and the results come back."""
        path, model = tmp_path / "run.pt", make_model()
        real, writes = os.fsync, []

        def fsync(handle):
            writes.append(handle)
            if len(writes) in (2, 3):
                raise OSError(errno.ENOSPC, "No space left on device")
            real(handle)

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.warns(RuntimeWarning, match=r"of epoch [23] could not be written.*No space.*run\.pt") as caught:
            history = fit(model, [(X, Y)], epochs=3, optimizer=sgd(model), checkpoint=path)
        assert len(caught) == 2
        assert caught[0].filename == __file__
        assert len(history) == 3
        assert len(load_checkpoint(path)["history"]) == 1
        assert list(tmp_path.iterdir()) == [path]
