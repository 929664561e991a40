"""Fixtures of the system tests. Each ends what it started."""
import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402


@pytest.fixture
def make_broker(tmp_path):
    """make_broker(name="broker", **options) -> a Broker that has not been started; ended with the test."""
    brokers = []

    def make(name="broker", **options):
        brokers.append(harness.Broker(tmp_path / name, **options))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.close()


@pytest.fixture
def broker(make_broker):
    """A running broker of its own for the test."""
    return make_broker().start()
