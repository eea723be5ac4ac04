"""`python -m nnlab_helpers.pairs build [DAY ...] [--check] [--take script|notebook]`."""

import argparse
import sys

from nnlab_helpers.pairs.building import build_all

parser = argparse.ArgumentParser(prog="python -m nnlab_helpers.pairs")
parser.add_argument("command", choices=["build"])
parser.add_argument("names", nargs="*", metavar="DAY")
parser.add_argument("--check", action="store_true", help="execute nothing, report the pairs that are not in step")
parser.add_argument("--take", choices=["script", "notebook"], help="which side counts where both were edited")
given = parser.parse_args()
try:
    sys.exit(1 if build_all(given.names, check=given.check, take=given.take) else 0)
except LookupError as error:  # no such lesson
    parser.error(str(error))
