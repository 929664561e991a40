"""Fixtures of the daemon's tests: a broker, a node at it, somebody with the admin's rights."""
import secrets

import pytest

import nodes


@pytest.fixture
def node_name():
    """Unlike that of any other test: control groups of two tests must not be taken for each other's."""
    return f"n{secrets.token_hex(4)}"


@pytest.fixture(params=["mosquitto-5"])
def kind(request):
    """The broker and MQTT version; `three_brokers` makes it all three."""
    return nodes.KINDS[request.param]


three_brokers = pytest.mark.parametrize("kind", list(nodes.KINDS), indirect=True)


@pytest.fixture
def broker(kind, tmp_path, node_name):
    broker = kind.make(tmp_path / "broker", node_name)
    broker.start()
    yield broker
    broker.close()


@pytest.fixture
def make_node(kind, broker, tmp_path):
    """make_node(workers=[...], **node_section) -> a started Node; its end is checked for leftovers."""
    made = []

    def make(directory="node", start=True, **options):
        options.setdefault("version", kind.version)
        node = nodes.Node(broker, tmp_path / directory, **options)
        made.append(node)
        return node.start() if start else node

    yield make
    errors = []
    for node in made:
        try:
            node.close()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


@pytest.fixture
def node(make_node):
    """A running node without workers."""
    return make_node()


@pytest.fixture
def admin(kind, broker):
    """Somebody with the admin's rights, who sees all topics of the site."""
    control = nodes.Control(broker, broker.node, "admin", kind.version)
    yield control
    control.close()
