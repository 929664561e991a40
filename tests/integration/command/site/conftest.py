"""Fixtures of the command worker under a real daemon and a real manager: those of the tests of queues."""
import importlib.util
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
_spec = importlib.util.spec_from_file_location("queues_conftest", HERE.parents[1] / "queues/conftest.py")
_queues = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_queues)
sys.path[:0] = [str(HERE.parent)]
names, broker, make_node, make_manager = _queues.names, _queues.broker, _queues.make_node, _queues.make_manager
manager, steer, make_queue = _queues.manager, _queues.steer, _queues.make_queue
