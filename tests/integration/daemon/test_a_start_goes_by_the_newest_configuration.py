"""A daemon that starts has two words for a worker: what it stored, and what the configuration says now. The configuration
is newer: nothing is run by the old spec, not even for a moment."""
import nodes
from nodes import SLEEPER


def log_lines(node, worker):
    path = node.state / "logs" / worker / "current"
    return path.read_text().splitlines() if path.exists() else []


def test_a_worker_whose_spec_changed_is_never_run_by_the_old_one(make_node, admin):
    """Changed in the file while the daemon was down: the first run after the start is by the new spec."""
    node = make_node(workers=[{"name": "a", "command": ["sh", "-c", "echo old; exec sleep 1000"]}], on_exit="stop")
    before = admin.wait_state("a", "running")
    node.stop()
    node.workers = [{"name": "a", "command": ["sh", "-c", "echo new; exec sleep 1000"]}]
    node.start()
    after = admin.wait_process("a", lambda p: p["epoch"] > before["epoch"] and p["state"] == "running")
    assert after["run"] == before["run"] + 1, "one run, not one by each spec"
    nodes.harness.wait_until(lambda: any(line.endswith(" new") for line in log_lines(node, "a")))
    assert sum(line.endswith(" old") for line in log_lines(node, "a")) == 1


def test_a_worker_that_is_gone_from_the_file_is_not_started(make_node, admin):
    """Removed from the file while the daemon was down: it is forgotten without a run."""
    node = make_node(workers=[{"name": "a", "command": SLEEPER}, {"name": "b", "command": SLEEPER}], on_exit="stop")
    before = admin.wait_state("b", "running")
    admin.wait_state("a", "running")
    node.stop()
    node.workers = [{"name": "a", "command": SLEEPER}]
    node.start()
    admin.wait_process("a", lambda p: p["epoch"] > before["epoch"] and p["state"] == "running")
    admin.wait_gone("b")
    assert f"worker=b run={before['run'] + 1} " not in node.log(whole=True)
