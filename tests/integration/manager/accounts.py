"""What the tests of accounts share: a directory of account files, and the search for secrets in all that leaves a program.

Nothing here sleeps; every wait has a deadline. Must not use code of ours to read or write the files.
"""
import json
import pathlib

import harness

RISK = {"risk_percent": 1, "max_positions": 5, "portfolio_risk_percent": 6, "max_concurrent_trades": 3}


class Accounts:
    """A directory of account files over a file of defaults; JSON is YAML too."""

    def __init__(self, directory, watch="plan", worker=None, **defaults):
        self.path = pathlib.Path(directory)
        self.path.mkdir(mode=0o700)
        self.base = {"default_risk": RISK, "server": "demo.example.com:443", "worker": worker or {"command": ["sleep", "infinity"]},
                     "watch": watch, **defaults}
        self.defaults()

    def defaults(self, **change):
        self.base.update(change)
        self.text("defaults.yaml", json.dumps(self.base))

    def text(self, name, text):
        """As an editor does it: another file, renamed into place."""
        (self.path / f".{name}.new").write_text(text)
        (self.path / f".{name}.new").rename(self.path / name)

    def put(self, account, **keys):
        self.text(f"{account}.yaml", json.dumps({"account_id": account, "login": "1", "currencies": [{"symbol": "EURUSD"}], **keys}))

    def remove(self, account):
        (self.path / f"{account}.yaml").unlink()


class Everything:
    """A client that keeps each message of the site as it was sent."""

    def __init__(self, broker):
        self.client = broker.client("admin")
        self.client.subscribe(broker.topic("#"))

    def holding(self, *words):
        """Topics of the messages that hold one of the words."""
        with self.client.changed:
            return sorted({m.topic for m in self.client.messages if any(word.encode() in m.payload for word in words)})


def state_is(steer, account, *states, deadline=harness.DEADLINE, **fields):
    return steer.wait_record(f"account/{account}/status",
                             lambda r: r and r["state"] in states and all(r.get(k) == v for k, v in fields.items()), deadline,
                             f"account {account} {'/'.join(states)} {fields}")
