"""Fixtures of the manager's tests: a broker for several nodes, managers, nodes, and somebody who steers."""
import secrets

import pytest

import managers


@pytest.fixture
def names():
    """Unlike those of any other test: control groups of two tests must not be taken for each other's."""
    mark = secrets.token_hex(3)
    return [f"{letter}{mark}" for letter in "abc"]


@pytest.fixture
def broker(tmp_path, names):
    broker = managers.FleetBroker(tmp_path / "broker", *names)
    broker.start()
    yield broker
    broker.close()


def close_all(made):
    errors = []
    for one in made:
        try:
            one.close()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


@pytest.fixture
def make_node(broker, tmp_path):
    """make_node("alpha", workers=[...], **node_section) -> a started node; its end is checked for leftovers."""
    made = []

    def make(name, start=True, **options):
        node = managers.FleetNode(broker, tmp_path / f"node-{name}", name=name, **options)
        made.append(node)
        return node.start() if start else node

    yield make
    close_all(made)


@pytest.fixture
def make_manager(broker, tmp_path):
    made = []

    def make(directory="manager", start=True, **options):
        manager = managers.Manager(broker, tmp_path / directory, **options)
        made.append(manager)
        return manager.start() if start else manager

    yield make
    close_all(made)


@pytest.fixture
def manager(make_manager):
    return make_manager()


@pytest.fixture
def steer(broker):
    """Somebody with the admin's rights, who sees all topics of the site."""
    control = managers.Steer(broker)
    yield control
    control.close()
