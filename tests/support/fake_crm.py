#!/usr/bin/python3
"""A resource manager that goes wrong as it is told to, for tests of the daemon.

Called as the daemon calls any: -s <path>[,<path>...] <action> [options]. What runs is a file <root>/fake/<name>.up.
<root>/fake/<name>.mode says what goes wrong: {"start": "hang", "status": "torn"}. Each action adds lines to
<root>/fake/<name>.journal: "begin <action>", "end <action>".
"""

import fcntl
import json
import os
import signal
import sys
import time

ROOT = os.environ["OM_ROOT"]
FAKE = os.path.join(ROOT, "fake")


def file_of(name, suffix):
    return os.path.join(FAKE, name + suffix)


def note(name, text):
    with open(file_of(name, ".journal"), "a", encoding="ascii") as stream:
        stream.write(text + "\n")


def state_directory(name):
    path = os.path.join(ROOT, "var", "svc", name)
    os.makedirs(path, exist_ok=True)
    return path


def write_status(name, fault):
    path = os.path.join(state_directory(name), "status.json")
    if fault == "no status":
        if os.path.exists(path):
            os.unlink(path)
        return
    avail = "up" if os.path.exists(file_of(name, ".up")) else "down"
    now = time.time()
    text = json.dumps({
        "updated": now, "kind": "svc", "csum": "0", "topology": "failover", "orchestrate": "no",
        "placement": "nodes order", "avail": avail, "overall": avail, "optional": "n/a",
        "provisioned": True,
        "resources": {"app#1": {"status": avail, "type": "app.fake", "label": "fake"}}})
    if fault == "torn":
        text = text[:len(text) // 2]
    elif fault == "garbage":
        text = "\0\xff garbage {" * 1000
    elif fault == "wrong types":
        text = json.dumps({"updated": "now", "avail": [], "resources": 7})
    elif fault == "deep":
        text = "[" * 100000
    elif fault == "huge":
        text = text + " " * (9 << 20)
    if fault is None:
        with open(path + ".new", "w", encoding="utf-8") as stream:
            stream.write(text)
        os.utime(path + ".new", (now, now))
        os.replace(path + ".new", path)
    else:
        # In place, as one that is not careful.
        with open(path, "w", encoding="latin-1") as stream:
            stream.write(text)


def hang():
    while True:
        time.sleep(1000)


def flood():
    while True:
        os.write(1, b"noise\xff\0" * 10000)
        os.write(2, b"error\n" * 10000)


def misbehave(fault):
    if fault == "hang":
        hang()
    elif fault == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        hang()
    elif fault == "flood":
        flood()
    elif fault == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif fault == "noise":
        os.write(1, os.urandom(1 << 20))
        os.write(2, os.urandom(1 << 20))
    elif fault == "fail":
        sys.exit(1)


def act(name, action):
    try:
        with open(file_of(name, ".mode"), encoding="utf-8") as stream:
            fault = json.load(stream).get(action)
    except OSError:
        fault = None
    lock = None
    if action != "status":
        lock = open(os.path.join(state_directory(name), "lock.generic"), "a+", encoding="ascii")
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.02)
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), "intent": action}))
        lock.flush()
    note(name, "begin " + action)
    misbehave(fault)
    if action == "start":
        with open(file_of(name, ".up"), "w", encoding="ascii"):
            pass
    elif action in ("stop", "shutdown") and os.path.exists(file_of(name, ".up")):
        os.unlink(file_of(name, ".up"))
    if fault == "crash late":
        os.kill(os.getpid(), signal.SIGKILL)
    write_status(name, fault if fault in ("torn", "garbage", "wrong types", "deep", "huge",
                                          "no status") else None)
    note(name, "end " + action)


def main():
    arguments = sys.argv[1:]
    names = arguments[arguments.index("-s") + 1].split(",")
    action = arguments[arguments.index("-s") + 2]
    if "--parallel" in arguments:
        children = []
        for name in names:
            pid = os.fork()
            if pid == 0:
                act(name, action)
                os._exit(0)
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)
        return
    for name in names:
        act(name, action)


main()
