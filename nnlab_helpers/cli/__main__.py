"""`python -m nnlab_helpers.cli`: the `nnlab` command without the script on the path."""

from nnlab_helpers.cli import app

app(prog_name="nnlab")
