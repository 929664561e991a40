"""Fixtures of these tests: all are in ../watching.py."""
from watching import *  # noqa: F401,F403
from watching import kind, broker, make_node, node, admin, node_name, make_watch, watch  # noqa: F401
