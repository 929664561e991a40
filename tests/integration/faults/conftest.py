"""Fixtures of these tests: those of ../watching.py, and broken networks."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import network  # noqa: E402
from watching import kind, broker, make_node, node, admin, node_name, make_watch, watch  # noqa: E402,F401


@pytest.fixture
def namespace():
    made = network.Namespace()
    yield made
    made.close()


@pytest.fixture
def make_proxy(broker):
    """make_proxy(**options) -> a running Proxy to the broker."""
    made = []

    def make(**options):
        made.append(network.Proxy(broker.port, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
