"""Fixtures of these tests: all are in ../watching.py."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from watching import kind, broker, make_node, node, admin, node_name, make_watch, watch  # noqa: E402,F401
