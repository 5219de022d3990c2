"""A process group of processes that share a store in rank 0: as torch's in what it promises and in how it fails.

A rank that ends without leaving fails what the others wait for, at once, as gloo does.
"""

import json
import socketserver
import threading
import time
from socket import create_connection

_group = None


class _Shared:
    def __init__(self):
        self.values = {}
        self.lost = False
        self.changed = threading.Condition()

    def answer(self, op, key, value, limit_s):
        with self.changed:
            if op == "add":
                self.values[key] = self.values.get(key, 0) + value
            elif op == "set":
                self.values[key] = value
            elif not self.changed.wait_for(lambda: self.lost or all(name in self.values for name in key), limit_s):
                return "wait timeout"
            elif self.lost:
                return "Connection closed by peer"
            self.changed.notify_all()
            return [self.values[name] for name in key] if op == "wait" else None

    def lose(self):
        with self.changed:
            self.lost = True
            self.changed.notify_all()


class _Client(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            op, *rest = json.loads(line)
            if op == "bye":
                return
            answer = self.server.shared.answer(op, *rest)
            if op == "add":
                time.sleep(0.05)  # the answer comes after all who waited for this have gone on, and may have ended
            self.wfile.write(json.dumps(answer).encode() + b"\n")
        self.server.shared.lose()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class TCPStore:
    def __init__(self, host, port, world_size, is_master, timeout, wait_for_workers):
        if is_master:
            server = _Server(("", port), _Client)
            server.shared = _Shared()
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self._socket = _connected(host, port, timeout.total_seconds())
        self._answers = self._socket.makefile("rb")

    def add(self, key, number):
        self._ask("add", key, number, None)

    def set(self, key, value):
        self._ask("set", key, value, None)

    def wait(self, keys, timeout):
        found = self._ask("wait", keys, None, timeout.total_seconds())
        if isinstance(found, str):
            raise RuntimeError(found)
        return found

    def set_timeout(self, timeout):
        """Every wait here has its own."""

    def close(self):
        self._socket.sendall(b'["bye"]\n')

    def _ask(self, *question):
        self._socket.sendall(json.dumps(question).encode() + b"\n")
        line = self._answers.readline()
        if not line:
            raise RuntimeError("Connection closed by peer")
        return json.loads(line)


class PrefixStore:
    def __init__(self, prefix, store):
        self._prefix, self._store = prefix, store
        self.close = store.close

    def add(self, key, number):
        self._store.add(self._prefix + key, number)

    def set(self, key, value):
        self._store.set(self._prefix + key, value)

    def wait(self, keys, timeout):
        return self._store.wait([self._prefix + key for key in keys], timeout)


def _connected(host, port, limit_s):
    end_s = time.monotonic() + limit_s
    while True:
        try:
            return create_connection((host, port))
        except ConnectionRefusedError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.02)


def init_process_group(backend, store, rank, world_size, timeout):
    global _group
    assert backend == "gloo"
    _group = {"store": store, "rank": rank, "world": world_size, "timeout": timeout, "number": 0}


def get_rank():
    return _group["rank"]


def get_world_size():
    return _group["world"]


def all_reduce(tensor):
    """Sums in place over all ranks."""
    _group["number"] += 1
    keys = [f"reduce/{_group['number']}/{rank}" for rank in range(_group["world"])]
    _group["store"].set(keys[_group["rank"]], list(tensor))
    tensor[:] = [sum(values) for values in zip(*_group["store"].wait(keys, _group["timeout"]), strict=True)]


def destroy_process_group():
    global _group
    _group["store"].close()
    _group = None
