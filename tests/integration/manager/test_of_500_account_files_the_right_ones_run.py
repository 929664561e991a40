"""500 account files, 20 of them wrong in different ways: each is told with its place, the others start, all stop again, an edit
that breaks one changes nothing, and no secret is in any message, log or database."""
import pathlib

import harness
import msgpack
import pytest
from accounts import Accounts, Everything, state_is

SECRET = "s3cr3t-Literal"
REFERENCE = "hidden-folder"
TAIL = "login: '1'\ncurrencies: [{symbol: EURUSD}]\n"
WRONG = [  # the file, and what is said about it after its path
    ("account_id: ''\n" + TAIL, ":1:13", "account_id"),
    (TAIL, ":1:1", "account_id"),
    ("account_id: W 02\n" + TAIL, ":1:13", "account_id"),
    ("account_id: w03\nlogin: '1'\n", ":1:1", "currencies"),
    ("account_id: w04\nlogin: '1'\ncurrencies: []\n", ":3:13", "currencies"),
    ("account_id: w05\nlogin: '1'\ncurrencies: [{symbol: ''}]\n", ":3:23", "currencies[0].symbol"),
    ("account_id: w06\ndefault_risk: {risk_percent: 0.05}\n" + TAIL, ":2:30", "default_risk.risk_percent"),
    ("account_id: w07\ndefault_risk: {max_positions: 0}\n" + TAIL, ":2:31", "default_risk.max_positions"),
    ("account_id: w08\ndefault_risk: {portfolio_risk_percent: 0.5}\n" + TAIL, ":2:40", "default_risk.portfolio_risk_percent"),
    ("account_id: w09\ndefault_risk: {max_concurrent_trades: 0}\n" + TAIL, ":2:39", "default_risk.max_concurrent_trades"),
    (f"account_id: w10\npassword: {SECRET}\n" + TAIL, ":2:11", "password"),
    ("account_id: w11\nlogin: 12\ncurrencies: [{symbol: A}]\n", ":2:8", "login"),
    ("account_id: w12\nservr: x\n" + TAIL, ":2:1", "servr"),
    ("account_id: w13\ntimeout: 30\n" + TAIL, ":2:10", "timeout"),
    ("account_id: w14\nworker: {memory_limit: 12 apples}\n" + TAIL, ":2:24", "worker.memory_limit"),
    ("account_id: w15\n\tlogin: x\n", ":2:", ""),
    ("account_id: w16\nrequire: [\"cpus>=many\"]\n" + TAIL, ":2:11", "require[0]"),
    (f"account_id: w17\nworker: {{env: {{API_KEY: {SECRET}}}}}\n" + TAIL, ":2:25", "worker.env.API_KEY"),
    (f"account_id: w18\npassword: {SECRET}: x\n" + TAIL, ":2:", ""),
    (f"account_id: w19\ncurrencies: [{{symbol: A, risk: {{risk_procent: 1}}}}]\n", ":2:33", "currencies[0].risk.risk_procent"),
]


@pytest.fixture
def directory(tmp_path):
    directory = Accounts(tmp_path / "accounts", watch="apply")
    for i in range(480):
        directory.put(f"desk-{i:03}", password=f"file:/{REFERENCE}/{i}")
    for i, (text, _place, _path) in enumerate(WRONG):
        directory.text(f"w{i:02}.yaml", text)
    return directory


def test_500_files(broker, names, make_node, make_manager, directory, steer, tmp_path):
    everything = Everything(broker)
    node = make_node(names[0], max_workers=600)
    manager = make_manager(accounts_dir=str(directory.path))
    judged = steer.manager("accounts_validate", {"all": True})["result"]
    assert (judged["valid"], judged["invalid"]) == (480, 20)
    wrong = {pathlib.Path(a["file"]).name: a["errors"] for a in judged["accounts"] if not a["valid"]}
    for i, (_text, place, path) in enumerate(WRONG):
        first = wrong[f"w{i:02}.yaml"][0]
        assert first["place"].startswith(f"{directory.path}/w{i:02}.yaml{place}"), first
        assert first["path"] == path, first

    started = steer.manager("accounts_start", {"all": True}, phase="failed", deadline=240)["result"]
    assert started["started"] == 480
    told = {name: outcome for name, outcome in started["accounts"].items() if outcome["outcome"] == "failed"}
    assert started["failed"] == len(told) >= 15  # of those whose id can be read
    assert all(outcome["errors"] for outcome in told.values())
    running = {r["account"]: r["pid"] for b, r in steer.records.items()
               if b.startswith("worker/") and b.endswith("/process") and r and r["state"] == "running"}
    assert len(running) == 480

    # A broken edit, and broken defaults: nobody notices.
    directory.text("desk-007.yaml", "account_id: desk-007\npassword: file:/x\nnonsense: 1\n")
    steer.wait_record("alarm/account_invalid/desk-007", lambda r: r is not None)
    state_is(steer, "desk-007", "running", valid=False)
    directory.defaults(nonsense=1)
    steer.wait_record("alarm/accounts_unreadable/main", lambda r: r is not None)
    del directory.base["nonsense"]
    directory.defaults()
    directory.put("desk-007", password=f"file:/{REFERENCE}/7")
    steer.wait_record("alarm/account_invalid/desk-007", lambda r: r is None)
    now = {r["account"]: r["pid"] for b, r in steer.records.items()
           if b.startswith("worker/") and b.endswith("/process") and r and r["state"] == "running"}
    assert now == running

    stopped = steer.manager("accounts_stop", {"all": True}, deadline=240)["result"]
    assert (stopped["stopped"], stopped["failed"]) == (480, 0)
    harness.wait_until(lambda: not node.processes(), what="no process left")
    print(f"\n480 started in {started['ms']} ms, stopped in {stopped['ms']} ms")

    # The secret itself is nowhere; the reference to one only in orders to the node, and in what manager and node keep.
    assert everything.holding(SECRET) == []
    held = everything.holding(REFERENCE)
    assert all("/cmd/" in topic for topic in held), held
    assert held, "the search finds what is there"
    for log in (manager.log(whole=True), node.log(whole=True)):
        assert SECRET not in log and REFERENCE not in log

    # The files gone, most of them at once: a person has to say that it is meant; then their workers go too.
    for path in directory.path.glob("desk-*.yaml"):
        path.unlink()
    steer.wait_record("alarm/accounts_plan/main", lambda r: r is not None)
    assert steer.account("desk-100", "status")["result"]["state"] == "stopped"
    assert steer.manager("accounts_reload", {"apply": True}, deadline=60)["result"]["changes"] == 480
    steer.wait(lambda: not any(r for b, r in steer.records.items() if b.startswith("account/")), 60, "no account left")
    assert not [b for b, r in steer.records.items() if b.startswith("worker/") and b.endswith("/process") and r]
    manager.stop()
    kept = [path for path in manager.state.rglob("*") if path.is_file()]
    assert kept and all(SECRET.encode() not in path.read_bytes() for path in kept)
    everything.client.close()


def test_lists_of_many_come_in_pages(broker, names, make_node, make_manager, tmp_path, steer):
    """A reply has to fit into one message."""
    directory = Accounts(tmp_path / "accounts")
    for i in range(1200):
        directory.put(f"a{i:04}")
    make_manager(accounts_dir=str(directory.path))
    steer.wait_record("account/a1199/status", lambda r: r is not None)
    first = steer.manager("accounts")["result"]
    assert (first["total"], len(first["accounts"])) == (1200, 1000)
    assert len(msgpack.packb(first)) < 1 << 20
    rest = steer.manager("accounts", {"offset": 1000})["result"]
    assert len(rest["accounts"]) == 200
