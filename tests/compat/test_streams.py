#!/usr/bin/python3
"""Streams and actions as the old command lines use them: byte by byte, with pings, reconnecting."""

import itertools
import json
import os
import select
import socket
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import App, OmdTestCase, legacy, memory_limit, wait_for  # noqa: E402

DEADLINE = 60
COUNT = itertools.count(1)


class OldReader:
    """Reads a stream as 1.9 does: one byte at a time; a message must be there whole.

    The old client, finding the socket empty in the middle of a message, ends. Whether the rest is
    merely on its way is a matter of the kernel, so here a short patience is given, and a message
    without its end is an error only when the connection ends.
    """

    def __init__(self, client, action, options=None, **more):
        self.client = client
        self.request = dict({"action": action, "options": options or {}}, **more)
        self.sock = None
        self.keepalives = 0
        self.pings = 0
        self.connect()

    def connect(self):
        self.close()
        self.sock = self.client.connect()
        self.sock.sendall(self.client.encode(self.request) + b"\0")

    def close(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def raw_message(self, deadline=DEADLINE):
        """The bytes before the next NUL; b"" is a keepalive; None is the end of the stream."""
        end = time.monotonic() + deadline
        message = b""
        while True:
            if not select.select([self.sock], [], [], 1)[0]:
                if time.monotonic() > end:
                    raise legacy.ReplyTimeout("nothing within %d s" % deadline)
                try:
                    self.sock.sendall(b".")
                    self.pings += 1
                except OSError:
                    pass  # The read below says what became of it.
                continue
            try:
                byte = self.sock.recv(1)
            except ConnectionResetError:
                byte = b""
            if not byte:
                if message:
                    raise legacy.StreamBroken("ended inside %.60r" % message)
                return None
            if byte == b"\0":
                return message
            message += byte

    def message(self, deadline=DEADLINE):
        """The next value; None at the end of the stream."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            raw = self.raw_message(deadline)
            if raw is None:
                return None
            if raw:
                return self.client.decode(raw)
            self.keepalives += 1
        raise legacy.ReplyTimeout("only keepalives for %d s" % deadline)

    def until(self, condition, deadline=DEADLINE):
        """Messages up to the first that meets the condition."""
        seen = []
        end = time.monotonic() + deadline
        while True:
            if time.monotonic() > end:
                raise legacy.ReplyTimeout("not within %d s; last seen %.2000r" % (deadline, seen[-3:]))
            message = self.message(deadline)
            assert message is not None, "the stream ended after %r" % seen
            seen.append(message)
            if condition(message):
                return seen


def is_event(name):
    return lambda message: message["kind"] == "event" and message["data"]["id"] == name


def doors(omd):
    return (("socket", omd.local), ("packets", omd.packet()))


def streams(omd):
    return omd.counters().get("packet.streams", 0)


class EventsTest(OmdTestCase):
    # A request may be sent long after its connection was made.
    OMD = {"nodes": ("node1",), "node_conf": {"node": {"env": "TST"},
                                              "listener": {"request_timeout": "10m"}}}

    @classmethod
    def prepare(cls, omd):
        cls.app = App(omd)

    def setUp(self):
        super().setUp()
        self.wait_readers(0)  # Those of the test before have been noticed to be gone.
        self.omd.wait_idle()
        if self.omd.wait_instance(self.app.name, "down")["frozen"]:  # A test failed before.
            self.thaw()

    def order(self, expect, name=None):
        reply = self.omd.local.request("set_service_monitor", {
            "svcpath": name or self.app.name, "global_expect": expect})
        self.assertEqual(reply["status"], 0, reply)

    def wait_frozen(self, frozen):
        """Waits until the last order is carried out: the next one then changes something."""
        wait_for(lambda: bool(self.omd.wait_instance(self.app.name, "down")["frozen"]) == frozen,
                 "frozen is %s" % frozen)

    def freeze(self):
        self.order("frozen")
        self.wait_frozen(True)

    def thaw(self):
        self.wait_frozen(True)
        self.order("thawed")
        self.wait_frozen(False)

    def wait_readers(self, count):
        wait_for(lambda: streams(self.omd) == count, "%d streams" % count)

    def test_events_and_patches_reach_readers_of_both_doors(self):
        for name, client in doors(self.omd):
            with self.subTest(name):
                reader = OldReader(client, "events")
                self.wait_readers(1)
                self.order("frozen")
                frozen = reader.until(is_event("instance_freeze"))[-1]
                self.assertEqual(frozen["nodename"], "node1")
                self.assertIsInstance(frozen["ts"], float)
                data = frozen["data"]
                self.assertEqual((data["svcpath"], data["reason"]), (self.app.name, "target"))
                self.assertIn("status", data["monitor"])
                self.assertIn("avail", data["service"])
                self.assertIn("monitor", data["instance"])
                self.assertNotIn("resources", data["instance"])
                # States that pass quickly may be told as one; that it is frozen stays.
                frozen = ["services", "status", self.app.name, "frozen"]
                patch = reader.until(lambda m: m["kind"] == "patch" and any(
                    stanza[0] == frozen and stanza[1] > 0 for stanza in m["data"]))[-1]
                self.assertEqual(patch["nodename"], "node1")
                self.assertIsInstance(patch["ts"], float)
                self.assertEqual(patch["data"][-1][0], ["updated"])
                reader.close()
                self.thaw()
                self.wait_readers(0)

    def test_readers_of_2x_get_the_document_then_numbered_patches_that_lead_to_the_next(self):
        for name, client in doors(self.omd):
            with self.subTest(name):
                reader = OldReader(client, "events", {"full": True, "selector": None}, method="GET")
                full = reader.message()
                self.assertEqual((full["kind"], full["nodename"]), ("full", "node1"))
                document = full["data"]
                self.assertIn("monitor", document)
                self.freeze()
                self.thaw()
                seen = reader.until(is_event("instance_thaw"))
                event = seen[-1]["data"]
                self.assertEqual(event["path"], self.app.name)
                self.assertNotIn("svcpath", event)
                self.order("frozen")
                place = ["monitor", "nodes", "node1", "services", "status", self.app.name]
                seen += reader.until(lambda m: m["kind"] == "patch" and any(
                    s[0] == place + ["frozen"] and s[1] for s in m["data"]))
                patches = [m for m in seen if m["kind"] == "patch"]
                ids = [patch["id"] for patch in patches]
                self.assertEqual(ids, list(range(ids[0], ids[0] + len(ids))))
                for patch in patches:
                    self.assertNotIn("nodename", patch)
                    for stanza in patch["data"]:
                        apply(document, stanza)
                instance = document["monitor"]["nodes"]["node1"]["services"]["status"][
                    self.app.name]
                self.assertGreater(instance["frozen"], 0)
                reader.close()
                self.thaw()

    def test_a_selector_leaves_other_objects_out(self):
        App(self.omd, "other")
        self.omd.wait_instance("other", "down")
        chosen = OldReader(self.omd.local, "events", {"selector": "oth*"}, method="GET")
        self.wait_readers(1)
        self.freeze()
        self.thaw()
        self.order("frozen", "other")
        seen = chosen.until(is_event("instance_freeze"))
        self.assertEqual(seen[-1]["data"]["path"], "other")
        self.assertNotIn('"%s"' % self.app.name, json.dumps(seen))
        chosen.close()

    def test_silence_is_filled_with_nuls_and_pings_are_taken(self):
        for name, client in doors(self.omd):
            with self.subTest(name):
                reader = OldReader(client, "events")
                nuls = 0
                while nuls < 2:
                    raw = reader.raw_message()
                    self.assertIsNotNone(raw)
                    nuls = nuls + 1 if raw == b"" else nuls
                for _ in range(200):
                    reader.sock.sendall(b"." * 100)
                self.order("frozen")
                reader.until(is_event("instance_freeze"))
                reader.close()
                self.thaw()

    def test_readers_that_go_are_noticed_in_silence_and_in_mid_stream(self):
        readers = [OldReader(client, "events") for _, client in doors(self.omd) for _ in range(5)]
        self.wait_readers(10)
        for reader in readers:
            reader.close()
        self.wait_readers(0)

    def test_a_request_that_ends_with_its_stream_is_served_until_nobody_listens(self):
        sock = self.omd.local.connect()
        sock.sendall(self.omd.local.encode({"action": "events"}))
        sock.shutdown(socket.SHUT_WR)
        self.wait_readers(1)
        self.assertTrue(select.select([sock], [], [], DEADLINE)[0])
        self.assertNotEqual(sock.recv(1), b"")
        sock.close()
        self.wait_readers(0)

    def test_a_stopped_listener_ends_packet_streams_and_readers_come_back(self):
        packets = OldReader(self.omd.packet(), "events")
        local = OldReader(self.omd.local, "events")
        self.wait_readers(2)
        self.assertEqual(
            self.omd.local.request("daemon_stop", {"thr_id": "listener"})["status"], 0)
        while packets.message() is not None:
            pass
        self.wait_readers(1)
        self.assertEqual(
            self.omd.local.request("daemon_start", {"thr_id": "listener"})["status"], 0)

        def reconnected():
            try:
                packets.connect()
                return True
            except OSError:
                return False
        wait_for(reconnected, "the listener is back")
        self.wait_readers(2)
        self.order("frozen")
        for reader in (packets, local):
            reader.until(is_event("instance_freeze"))
            reader.close()
        self.thaw()

    def test_a_hundred_readers_get_the_same(self):
        readers = [OldReader(client, "events") for _, client in doors(self.omd) for _ in range(50)]
        self.wait_readers(100)
        self.order("frozen")
        firsts = []
        for reader in readers:
            firsts.append(reader.until(is_event("instance_freeze"))[-1])
        self.assertEqual({json.dumps(message) for message in firsts}, {json.dumps(firsts[0])})
        for reader in readers:
            reader.close()
        self.thaw()
        self.wait_readers(0)

    def test_more_streams_than_allowed_are_refused_and_requests_still_heard(self):
        readers = [OldReader(self.omd.packet(), "events") for _ in range(112)]
        self.wait_readers(112)
        more = OldReader(self.omd.packet(), "events")
        self.assertEqual(more.message(), {"error": "too many streams", "status": 1})
        self.assertIsNone(more.message())
        self.assertEqual(self.omd.packet().request("daemon_blacklist_status")["status"], 0)
        for reader in readers:
            reader.close()
        self.wait_readers(0)


class FloodTest(OmdTestCase):
    OMD = {"nodes": ("node1",)}

    def test_a_reader_that_takes_nothing_is_dropped_and_holds_up_nobody(self):
        app = App(self.omd)
        self.omd.wait_idle()
        deaf = [client.connect() for _, client in doors(self.omd)]
        good = self.omd.local.connect()
        for sock, client in zip(deaf + [good], (self.omd.local, self.omd.packet(), self.omd.local)):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(client.encode({"action": "events"}) + b"\0")
        wait_for(lambda: streams(self.omd) == 3, "three streams")
        seen = {"messages": 0, "keepalives": 0}

        def read():
            inside = False
            for data in iter(lambda: good.recv(65536), b""):
                for byte in data:
                    if byte:
                        inside = True
                        continue
                    seen["messages" if inside else "keepalives"] += 1
                    inside = False

        def order(expect):
            reply = self.omd.local.request("set_service_monitor",
                                           {"svcpath": app.name, "global_expect": expect})
            self.assertEqual(reply["status"], 0, reply)

        def caught_up():
            """Waits until the good reader has all: what is sent in silence comes after it."""
            self.omd.wait_idle()
            before = seen["keepalives"]
            wait_for(lambda: seen["keepalives"] > before + 1, "the other reader has all")

        def given_up():
            # For the messages missed, or, where these are made slowly, for silence.
            now = self.omd.counters()
            return now.get("packet.event_readers_lost", 0) + now.get("packet.streams_dead", 0)

        thread = threading.Thread(target=read)
        thread.start()
        try:
            def flood():
                # Far fewer messages than are kept for those who are slow.
                for turn in range(150):
                    order("frozen" if turn % 2 else "thawed")
                caught_up()
                return given_up() == 2
            wait_for(flood, "the deaf are dropped", deadline_seconds=240)
            wait_for(lambda: streams(self.omd) == 1, "their streams have ended")
            # The flood's last order.
            wait_for(lambda: self.omd.status()["monitor"]["nodes"]["node1"]["services"]["status"][
                app.name]["frozen"], "it is frozen")
            caught_up()
            before = seen["messages"]
            order("thawed")
            wait_for(lambda: seen["messages"] > before, "the other reader goes on")
        finally:
            good.shutdown(socket.SHUT_RDWR)
            thread.join()
            for sock in deaf + [good]:
                sock.close()


LINE = "2026-11-22 15:48:06,%03d - node1.svc1%s - %s - %s\n"


class LogsTest(OmdTestCase):
    OMD = EventsTest.OMD

    def setUp(self):
        super().setUp()
        self.omd.wait_idle()
        # The log of an object of its own for each test, which nobody else writes.
        self.name = "log%d" % next(COUNT)
        App(self.omd, self.name)
        self.omd.wait_instance(self.name, "down")
        self.path = os.path.join(self.omd.log, self.name + ".log")

    def write(self, text, mode="a"):
        with open(self.path, mode, encoding="utf-8") as stream:
            stream.write(text)

    def lines(self, count, text="line"):
        return [LINE % (number % 1000, ".app#1", "INFO", "%s %d" % (text, number))
                for number in range(count)]

    def wait_at_end(self, reader):
        """Waits until a follower has found the end: it gets what is written from there on."""
        marks, got = [], []
        end = time.monotonic() + DEADLINE
        while not got or got[-1] != marks[-1]:
            self.assertLess(time.monotonic(), end, "nothing of %s came, but %s" % (marks, got))
            if not got:
                marks.append("mark %d" % next(COUNT))
                self.write(LINE % (0, "", "INFO", marks[-1]))
            for entry in json_or_nothing(reader):
                got.append(entry["m"][0] if isinstance(entry, dict)
                           else entry.rpartition(" - ")[2].rstrip("\n"))

    def read(self, client, options, action="service_logs", **more):
        """Lists of a backlog, to its end."""
        reader = OldReader(client, action, dict(options, svcpath=self.name), **more)
        batches = []
        while (batch := reader.message()) is not None:
            batches.append(batch)
        self.assertEqual(reader.keepalives, 0)
        reader.close()
        return batches

    def test_backlogs_end_by_themselves_and_drop_the_line_that_was_cut(self):
        lines = self.lines(1000)
        self.write("".join(lines), "w")
        size = len(lines[-1])
        for name, client in doors(self.omd):
            with self.subTest(name):
                for backlog, expected in ((-1, lines), ("-1", lines), (3 * size, lines[-3:]),
                                          (3 * size + 1, lines[-3:]),
                                          (str(3 * size - 1), lines[-2:]),
                                          ("1g", lines), (10, [])):
                    got = self.read(client, {"backlog": backlog})
                    self.assertEqual(sum(got, []), expected, backlog)
                    self.assertLessEqual(len(got), 1)
                absent = sum(self.read(client, {}), [])
                self.assertEqual(absent, lines[-len(absent):])
                self.assertLessEqual(len("".join(absent)), 10240)
                self.assertGreater(len("".join(absent)), 10000)

    def test_a_long_log_comes_in_batches(self):
        lines = self.lines(30000, "x" * 100)
        self.write("".join(lines), "w")
        for name, client in doors(self.omd):
            with self.subTest(name):
                # All at once: byte by byte it would take longer than it is worth.
                sock = client.connect()
                sock.sendall(client.encode({"action": "service_logs", "options": {
                    "svcpath": self.name, "backlog": -1}}) + b"\0")
                parts = []
                while (part := sock.recv(1 << 20)):
                    parts.append(part)
                sock.close()
                messages, rest = legacy.split_messages(b"".join(parts))
                self.assertEqual(rest, b"")
                got = [client.decode(message) for message in messages]
                self.assertEqual(list(itertools.chain(*got)), lines)
                self.assertGreater(len(got), 2)
                for batch in got[:-1]:
                    self.assertGreater(len("".join(batch)), 1 << 20)

    def test_errors_are_the_recorded_ones(self):
        ask = self.omd.local.request
        self.assertEqual(ask("service_logs"), {"status": 1})
        self.assertEqual(ask("service_logs", {"svcpath": "nope"}), {"status": 1})
        self.assertEqual(ask("service_logs", {"svcpath": self.name, "backlog": "10b"}),
                         {"error": "convert size error: unsupported unit in 10b", "status": 1})
        for action in ("object_backlogs", "service_backlogs"):
            self.assertEqual(ask(action, {"path": "nope"}, method="GET"),
                             {"error": "nope not found", "status": 404})
        if not os.path.exists(self.path):
            self.assertEqual(ask("service_logs", {"svcpath": self.name})["status"], 1)

    def test_followers_get_what_is_written_across_rotation_and_come_back(self):
        self.write("".join(self.lines(3, "before")), "w")
        for name, client in doors(self.omd):
            with self.subTest(name):
                reader = OldReader(client, "service_logs",
                                   {"svcpath": self.name, "backlog": 0, "debug": False})
                self.wait_at_end(reader)
                lines = self.lines(100, "of " + name)
                self.write("".join(lines[:40]))
                got = []
                while len(got) < 40:
                    got += reader.message()
                os.rename(self.path, self.path + ".1")
                self.write("".join(lines[40:]))
                while len(got) < 100:
                    got += reader.message()
                self.assertEqual(got, lines)
                reader.connect()
                self.wait_at_end(reader)
                self.write("after\n")
                self.assertEqual(reader.message(), ["after\n"])
                reader.close()
        wait_for(lambda: streams(self.omd) == 0, "all have gone")

    def test_a_follower_that_reads_nothing_holds_up_nobody(self):
        self.write("", "w")
        deaf = self.omd.local.connect()
        deaf.sendall(self.omd.local.encode(
            {"action": "service_logs", "options": {"svcpath": self.name, "backlog": 0}}) + b"\0")
        reader = OldReader(self.omd.packet(), "service_logs", {"svcpath": self.name, "backlog": 0})
        self.wait_at_end(reader)
        before = self.omd.memory_bytes()
        lines = self.lines(100000, "y" * 200)
        self.write("".join(lines))
        got = 0
        while got < len(lines):
            got += len(read_fast(reader))
        self.assertLess(self.omd.memory_bytes() - before, memory_limit(100 << 20))
        reader.close()
        deaf.close()

    def test_a_reader_of_single_bytes_gets_the_stream_and_holds_up_nobody(self):
        lines = self.lines(20000, "z" * 200)
        self.write("".join(lines), "w")
        options = {"svcpath": self.name, "backlog": "10m"}
        dead = self.omd.counters()["packet.streams_dead"]
        slow = OldReader(self.omd.local, "service_logs", options)
        fast = OldReader(self.omd.packet(), "service_logs", options)
        got, taken = [], b""
        while len(got) < len(lines):
            got += read_fast(fast)
            taken += slow.sock.recv(1)  # One byte for each message of the other.
        self.assertEqual(got, lines)
        self.assertGreaterEqual(len(taken), 5)
        self.assertIsNone(fast.message())
        # What it took is the beginning of what there is, and the rest has waited for it, unless the
        # other one was so slow that this one was taken for dead.
        while b"\0" not in taken and (part := slow.sock.recv(1 << 16)):
            taken += part
        if b"\0" in taken:
            first = self.omd.local.decode(taken.partition(b"\0")[0])
            self.assertTrue(first)
            self.assertEqual(first, lines[:len(first)])
        else:
            wait_for(lambda: self.omd.counters()["packet.streams_dead"] > dead, "it was given up")
        slow.close()
        fast.close()

    def test_lists_of_2x_are_parsed(self):
        text = LINE % (151, ".app#1", "WARNING", "one")
        self.write(text.replace("svc1", self.name) + "more of it\n"
                   + (LINE % (200, "", "INFO", "two")).replace("svc1", self.name), "w")
        options = {"path": self.name, "backlog": "10k", "debug": False}
        for name, client in doors(self.omd):
            with self.subTest(name):
                for action in ("object_backlogs", "service_backlogs"):
                    reply = client.request(action, options, method="GET", node="*")
                    self.assertEqual(reply["status"], 0)
                    first, second = reply["nodes"]["node1"]
                    self.assertEqual((first["l"], first["m"]), ("WARNING", ["one", "more of it"]))
                    self.assertEqual(first["x"], {"n": "node1", "o": self.name, "r": "app#1"})
                    self.assertEqual(round(first["t"] % 1, 3), 0.151)
                    self.assertEqual(second["m"], ["two"])
                entries = client.request("node_backlogs", {"backlog": None}, method="GET")
                self.assertIsInstance(entries, list)
                self.assertGreater(len(entries), 0)
                self.assertEqual(entries[0]["x"]["n"], "node1")
                follower = OldReader(client, "object_logs", {"path": self.name, "debug": None},
                                     method="GET", node="*")
                self.wait_at_end(follower)
                self.write((LINE % (1, "", "ERROR", "now")).replace("svc1", self.name))
                entry, = follower.message()
                self.assertEqual((entry["l"], entry["m"]), ("ERROR", ["now"]))
                follower.close()
                self.write(text.replace("svc1", self.name) + "more of it\n"
                           + (LINE % (200, "", "INFO", "two")).replace("svc1", self.name), "w")


def json_or_nothing(reader):
    """The value of the next message; an empty list if it is a keepalive."""
    raw = reader.raw_message()
    assert raw is not None, "the stream ended"
    return reader.client.decode(raw) if raw else []


def read_fast(reader):
    """A message, read in pieces: for logs that are long."""
    buffer = getattr(reader, "buffer", b"")
    while b"\0" not in buffer:
        part = reader.sock.recv(1 << 16)
        assert part, "the stream ended"
        buffer += part
    raw, _, reader.buffer = buffer.partition(b"\0")
    return reader.client.decode(raw) if raw else []


TOOL = """#!/usr/bin/python3
import json, os, sys, time
words = sys.argv[1:]
with open(os.path.join(os.path.dirname(sys.argv[0]), "calls"), "a") as stream:
    stream.write(json.dumps(words) + "\\n")
if "slow" in words:
    here = os.path.dirname(sys.argv[0])
    while not os.path.exists(os.path.join(here, "go")):
        time.sleep(0.05)
    with open(os.path.join(here, "slow-is-over"), "w"):
        pass
elif "json" in words:
    print(json.dumps({"words": words}))
elif "big" in words:
    sys.stdout.write("x" * (3 << 20))
else:
    print("out")
    print("err", file=sys.stderr)
    sys.exit(3)
"""


class ActionsTest(OmdTestCase):
    OMD = {"nodes": ("node1",), "node_conf": {"listener": {"request_timeout": "10m"}}}

    @classmethod
    def prepare(cls, omd):
        cls.app = App(omd)
        cls.tool = os.path.join(omd.root, "tool")
        with open(cls.tool, "w", encoding="utf-8") as stream:
            stream.write(TOOL)
        os.chmod(cls.tool, 0o700)
        omd.node_conf["crm"] = {"node_command": cls.tool}
        omd.write_node_conf()

    def setUp(self):
        super().setUp()
        self.omd.wait_idle()
        self.omd.wait_instance(self.app.name, "down")

    def calls(self):
        with open(os.path.join(self.omd.root, "calls"), encoding="utf-8") as stream:
            return [json.loads(line) for line in stream]

    def node_action(self, client, action, options=None, node=None, **more):
        request = {"action": action, "options": options or {}}
        sync = more.pop("sync", True)
        return client.request("node_action", dict(request, sync=sync), node=node, **more)

    def test_a_command_on_the_node_answers_with_its_output_and_code(self):
        for name, client in doors(self.omd):
            with self.subTest(name):
                reply = self.node_action(client, "get", {"kw": ["a.b", "c.d"], "node": "node1",
                                                         "color": "auto", "time": 300})
                self.assertEqual(reply, {"status": 0,
                                         "data": {"out": "out\n", "err": "err\n", "ret": 3}})
                self.assertEqual(self.calls()[-1], ["get", "--kw=a.b", "--kw=c.d", "--local"])
                reply = self.node_action(client, "get", node="node1")
                self.assertEqual(reply["nodes"]["node1"]["data"]["ret"], 3)
                reply = self.node_action(client, "json")
                self.assertEqual(json.loads(reply["data"]["out"]), {"words": ["json", "--local"]})
                reply = client.request("node_action", {"cmd": ["nodemgr", "get", "--node", "x"]})
                self.assertEqual(reply["data"]["out"], "out\n")
                self.assertEqual(self.calls()[-1], ["get", "--local"])

    def test_output_is_kept_up_to_a_bound_and_said_to_be_cut(self):
        reply = self.node_action(self.omd.local, "big")
        self.assertEqual(reply["data"]["out"], "x" * (1 << 20))
        self.assertIn("cut off", reply["data"]["err"])

    def test_without_sync_it_is_accepted_in_the_form_of_the_version(self):
        self.assertEqual(self.node_action(self.omd.local, "get", sync=False), {"status": 0})
        reply = self.node_action(self.omd.local, "get", {"kw": ["a.b"]}, sync=False, method="POST")
        self.assertEqual(reply["info"], "started node action get --kw=a.b --local")
        self.assertGreater(reply["data"]["pid"], 0)
        self.assertEqual(len(reply["data"]["session_id"]), 36)

    def test_a_dropped_connection_does_not_end_what_runs(self):
        over, go = (os.path.join(self.omd.root, name) for name in ("slow-is-over", "go"))
        for _, client in doors(self.omd):
            sock = client.connect()
            sock.sendall(client.encode({"action": "node_action",
                                        "options": {"action": "slow", "sync": True}}) + b"\0")
            calls = os.path.join(self.omd.root, "calls")
            wait_for(lambda: os.path.exists(calls) and self.calls()
                     and self.calls()[-1][0] == "slow", "it runs")
            sock.close()
            with open(go, "w", encoding="ascii"):
                pass
            wait_for(lambda: os.path.exists(over), "it comes to its end")
            os.unlink(over)
            os.unlink(go)
            self.node_action(client, "get")

    def test_actions_on_a_service_in_every_form_of_the_request(self):
        for option in ("svcname", "svcpath", "path"):
            for more in ({"action": "get", "options": {"kw": ["nodes"]}},
                         {"cmd": ["get", "--kw", "nodes"]}):
                reply = self.omd.packet().request(
                    "service_action", dict(more, **{option: self.app.name}))
                self.assertEqual(reply, {"status": 0,
                                         "data": {"out": "node1\n", "err": "", "ret": 0}})
        reply = self.omd.packet().request(
            "object_action", {"path": self.app.name, "action": "get",
                              "options": {"kw": ["nodes"]}}, node="node1", method="POST")
        self.assertEqual(reply["nodes"]["node1"]["data"]["out"], "node1\n")
        self.assertEqual(reply["status"], 0)
        ask = self.omd.local.request
        self.assertEqual(ask("service_action", {"action": "get"}), {"status": 1})
        self.assertEqual(ask("service_action", {"svcpath": "nope", "action": "get"}),
                         {"error": "service not found", "status": 1})
        self.assertEqual(ask("service_action", {"svcpath": "nope", "action": "get"}, method="POST"),
                         {"error": "nope not found", "status": 404})
        self.assertEqual(ask("service_action", {"svcpath": self.app.name}),
                         {"error": "action not set", "status": 1})

    def test_objects_are_created_all_or_none_and_told_by_node(self):
        ask = self.omd.local.request
        done = {"status": 0, "data": {"out": None, "err": None, "ret": 0}}
        data = {"made1": {"DEFAULT": {"nodes": "node1", "orchestrate": "no"}, "env": {"a": "b"}},
                "ns1/cfg/c1": {"DEFAULT": {}}}
        self.assertEqual(ask("create", {"data": data}), {"nodes": {"node1": done}, "status": 0})
        self.assertTrue(os.path.exists(os.path.join(self.omd.etc, "made1.conf")))
        self.assertEqual(ask("create"), {"nodes": {}, "status": 0})
        reply = ask("create", {"data": {"good": {"DEFAULT": {}}, "../bad": {"DEFAULT": {}}}})
        self.assertNotEqual(reply["status"], 0)
        self.assertFalse(os.path.exists(os.path.join(self.omd.etc, "good.conf")))
        reply = ask("create", {"data": {"made2": {"DEFAULT": {"nodes": "node1"}}}}, node="node1",
                    method="POST")
        nested = reply["nodes"]["node1"]["nodes"]["node1"]
        self.assertEqual(nested["data"]["out"], "create made2\n")
        reply = ask("create", {"sync": False, "data": {"made3": {"DEFAULT": {}}}})
        self.assertEqual(reply, {"nodes": {"node1": {"status": 0}}, "status": 0})
        wait_for(lambda: os.path.exists(os.path.join(self.omd.etc, "made3.conf")), "made3")


def apply(document, stanza):
    """Applies one stanza of a patch to a document."""
    *path, last = stanza[0]
    for key in path:
        document = document[key]
    if len(stanza) == 1:
        del document[last]
    elif isinstance(last, int) and last == len(document):
        document.append(stanza[1])
    else:
        document[last] = stanza[1]


if __name__ == "__main__":
    unittest.main()
