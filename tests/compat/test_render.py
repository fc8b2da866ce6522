#!/usr/bin/python3
"""The status document as `om mon` and `om daemon status` read it, and the checklist for a new server.

Every key that PROTOCOL.md 5 marks as needed is checked by name and type, always, and while an instance
is started, stopped, fails and is cleared. The rest is what the legacy command line relies on: the lock,
the pid file, how replies end, how a daemon says good-bye.
"""

import fcntl
import json
import os
import re
import select
import socket
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import (App, CLUSTER, SECRET, OmdTestCase, golden, grpc, legacy,  # noqa: E402
                     wait_for)

STATES = {"up", "down", "warn", "n/a", "undef", "stdby up", "stdby down"}
THREAD_STATES = {"running", "stopping", "stopped", "terminated"}
PLACEMENTS = {"optimal", "non-optimal", "n/a"}
FROZEN = {"frozen", "thawed", "mixed", "n/a"}
INSTANCE_MONITOR_STATES = {
    "idle", "ready", "starting", "stopping", "restarting", "freezing", "thawing", "start failed",
    "stop failed", "wait parents", "wait children", "shutdown", "shutdown failed"}
NODE_MONITOR_STATES = {"init", "rejoin", "idle", "maintenance", "upgrade", "shutting"}
NUMBER = (int, float)
# Between the announcement of a daemon's end and the end: peers are to see it.
ANNOUNCED_SECONDS = 5


class Problems(list):
    """Collects what is wrong with a document."""

    def need(self, where, value, key, types, words=None):
        """Value of `key`, or None with a problem noted."""
        if not isinstance(value, dict) or key not in value:
            self.append("%s.%s is missing" % (where, key))
            return None
        item = value[key]
        is_bool = isinstance(item, bool)
        allowed = types if isinstance(types, tuple) else (types,)
        if not isinstance(item, types) or (is_bool and bool not in allowed):
            self.append("%s.%s has the wrong type: %.80r" % (where, key, item))
            return None
        if words is not None and item not in words:
            self.append("%s.%s is the unknown word %r" % (where, key, item))
        return item

    def may(self, where, value, key, types, words=None):
        """As need(), where the key may be missing or null."""
        if isinstance(value, dict) and value.get(key) is not None:
            return self.need(where, value, key, types, words)
        return None


def check_thread(found, name, thread):
    found.need(name, thread, "state", str, THREAD_STATES)
    found.need(name, thread, "created", NUMBER)
    found.need(name, thread, "configured", NUMBER)
    found.need(name, thread, "tid", int)


def check_instance(found, where, instance):
    monitor = found.need(where, instance, "monitor", dict)
    if monitor is not None:
        found.need(where + ".monitor", monitor, "status", str, INSTANCE_MONITOR_STATES)
        found.need(where + ".monitor", monitor, "status_updated", NUMBER)
        found.need(where + ".monitor", monitor, "placement", str, {"leader", ""})
        found.may(where + ".monitor", monitor, "global_expect", str)
        found.may(where + ".monitor", monitor, "global_expect_updated", NUMBER)
        found.may(where + ".monitor", monitor, "local_expect", str)
        found.may(where + ".monitor", monitor, "restart", dict)
    if "avail" not in (instance or {}):
        return  # Objects without resources, and instances that were never evaluated.
    found.need(where, instance, "avail", str, STATES)
    found.need(where, instance, "overall", str, STATES)
    found.need(where, instance, "frozen", NUMBER)
    found.need(where, instance, "topology", str, {"failover", "flex", "span"})
    found.need(where, instance, "updated", NUMBER)
    found.need(where, instance, "kind", str)
    found.need(where, instance, "csum", str)
    found.may(where, instance, "orchestrate", str, {"ha", "start", "no"})
    found.may(where, instance, "provisioned", bool)
    found.may(where, instance, "optional", str, STATES)
    if instance.get("topology") == "flex":
        found.need(where, instance, "flex_target", int)
    for rid, resource in (found.need(where, instance, "resources", dict) or {}).items():
        place = "%s.resources.%s" % (where, rid)
        found.need(place, resource, "status", str, STATES)
        found.need(place, resource, "label", str)
        found.need(place, resource, "type", str)
        found.may(place, resource, "log", list)
        found.may(place, resource, "restart", int)


def check_document(document):
    """What `om mon`, `om daemon status` and `om <svc> print status` need; a list of problems."""
    found = Problems()
    if "status" in document:
        found.append("the document has a `status`: clients take it for a reply")
    found.need("", document, "pid", int)
    cluster = found.need("", document, "cluster", dict)
    for key, types in (("name", str), ("id", str), ("nodes", list)):
        found.need("cluster", cluster, key, types)
    # What 2.1 adds.
    daemon = found.need("", document, "daemon", dict)
    found.need("daemon", daemon, "state", str, {"running"})

    listener = found.need("", document, "listener", dict)
    check_thread(found, "listener", listener)
    config = found.need("listener", listener, "config", dict)
    found.need("listener.config", config, "addr", str)
    found.need("listener.config", config, "port", int)
    stats = found.need("listener", listener, "stats", dict)
    sessions = found.need("listener.stats", stats, "sessions", dict)
    for key in ("accepted", "auth_validated", "rx", "tx"):
        found.need("listener.stats.sessions", sessions, key, int)
    found.need("listener.stats.sessions", sessions, "clients", dict)
    found.need("listener.stats.sessions", sessions, "alive", dict)

    scheduler = found.need("", document, "scheduler", dict)
    check_thread(found, "scheduler", scheduler)
    found.need("scheduler", scheduler, "running", int)
    found.need("scheduler", scheduler, "delayed", list)

    monitor = found.need("", document, "monitor", dict)
    check_thread(found, "monitor", monitor)
    found.need("monitor", monitor, "compat", bool)
    found.need("monitor", monitor, "transitions", int)
    found.need("monitor", monitor, "frozen", str, FROZEN)
    nodes = found.need("monitor", monitor, "nodes", dict) or {}
    if not nodes:
        found.append("monitor.nodes is empty")
    for name, node in nodes.items():
        where = "nodes.%s" % name
        found.need(where, node, "agent", str)
        found.need(where, node, "compat", int)
        found.need(where, node, "env", str)
        found.need(where, node, "labels", dict)
        found.need(where, node, "targets", list)
        found.need(where, node, "locks", dict)
        found.need(where, node, "gen", dict)
        found.need(where, node, "updated", NUMBER)
        found.need(where, node, "speaker", bool)
        found.need(where, node, "frozen", NUMBER)
        found.need(where, node, "min_avail_mem", int)
        found.need(where, node, "min_avail_swap", int)
        load = found.need(where, node, "stats", dict)
        for key in ("load_15m", "score", "mem_total", "swap_total", "mem_avail", "swap_avail"):
            found.need(where + ".stats", load, key, NUMBER)
        state = found.need(where, node, "monitor", dict)
        found.need(where + ".monitor", state, "status", str, NODE_MONITOR_STATES)
        found.need(where + ".monitor", state, "status_updated", NUMBER)
        services = found.need(where, node, "services", dict)
        for path, entry in (found.need(where + ".services", services, "config", dict) or {}).items():
            place = "%s.services.config.%s" % (where, path)
            found.need(place, entry, "updated", NUMBER)
            found.need(place, entry, "csum", str)
            found.need(place, entry, "scope", list)
        for path, entry in (found.need(where + ".services", services, "status", dict) or {}).items():
            check_instance(found, "%s.services.status.%s" % (where, path), entry)
    for path, service in (found.need("monitor", monitor, "services", dict) or {}).items():
        if not service:
            continue  # `{}` for objects without instances.
        where = "monitor.services.%s" % path
        # Before any instance is known legacy daemons say `unknown` (BEHAVIOUR.md 3.4).
        found.need(where, service, "avail", str, STATES | {"unknown"})
        found.need(where, service, "overall", str, STATES | {"unknown"})
        found.need(where, service, "placement", str, PLACEMENTS)
        found.need(where, service, "frozen", str, FROZEN)
        found.may(where, service, "provisioned", (bool, str))
    return found


def look_up(document, words, names):
    """Values at a path of daemon_status_keys.json, whose <node> and <path> stand for names."""
    values = [document]
    for word in words:
        word = names.get(word, word)
        values = [value[word] for value in values if isinstance(value, dict) and word in value]
    return values


class CheckTheCheck(unittest.TestCase):
    """The check accepts what a 2.1 and a 1.9 daemon said, but for what each did not have yet."""

    def test_recorded_documents_pass_but_for_the_keys_of_the_other_version(self):
        document = golden("transcripts/2.1-raw-daemon-status.json")["replies"][0]
        self.assertEqual([text for text in check_document(document)
                          if "status.cluster." not in text], [".pid is missing"])
        document = golden("transcripts/1.9-daemon-status-json.json")["replies"][0]
        self.assertEqual([text for text in check_document(document)
                          if "configured" not in text and "status.cluster." not in text],
                         [".daemon is missing", "daemon.state is missing"])

    def test_a_document_without_a_needed_key_fails(self):
        document = golden("transcripts/2.1-raw-daemon-status.json")["replies"][0]
        del document["listener"]["config"]["port"]
        document["monitor"]["nodes"]["node1"]["services"]["status"]["svc1"]["avail"] = "bogus"
        problems = check_document(document)
        self.assertTrue(any("listener.config.port" in text for text in problems), problems)
        self.assertTrue(any("bogus" in text for text in problems), problems)


class RenderTest(OmdTestCase):
    OMD = {"nodes": ("node1",), "node_conf": {"node": {"env": "TST"}, "labels": {"room": "a1"}}}

    @classmethod
    def prepare(cls, omd):
        cls.app = App(omd, "svc1", orchestrate="ha")
        # Its actions stand still for as long as there is the file.
        cls.slow = App(omd, "svc2", pause='0; while [ -e "$here/hold" ]; do sleep 0.02; done',
                       orchestrate="ha")

    def setUp(self):
        super().setUp()
        self.omd.wait_idle()
        for path in ("svc1", "svc2"):
            self.omd.wait_instance(path, "up")  # By themselves: orchestrate = ha.

    def assert_renders(self, document):
        self.assertEqual(list(check_document(document)), [])

    def test_the_document_has_every_needed_key_through_both_sockets(self):
        for reply in (self.omd.status(), self.omd.status(refresh=True),
                      self.omd.packet().request("daemon_status", {"refresh": False}),
                      self.omd.packet().request(
                          "daemon_status", {"refresh": False, "selector": None, "namespace": None},
                          method="GET")):
            self.assert_renders(reply)
            node = reply["monitor"]["nodes"]["node1"]
            self.assertEqual(node["labels"], {"room": "a1"})
            self.assertEqual(node["env"], "TST")
            self.assertEqual(node["compat"], 10)
            self.assertEqual(reply["cluster"]["nodes"], ["node1"])
            self.assertEqual(reply["cluster"]["name"], CLUSTER)
            self.assertEqual(reply["pid"], self.omd.pid)
            self.assertIs(reply["monitor"]["compat"], True)
            self.assertEqual(reply["listener"]["config"],
                             {**reply["listener"]["config"], "addr": "127.0.0.1",
                              "port": self.omd.port})

    def test_every_key_whose_removal_changes_the_rendering_is_there(self):
        document = self.omd.status()
        names = {"<node>": "node1", "<path>": "svc1"}
        checked = 0
        for entry in golden("daemon_status_keys.json")["removal_effect"]:
            if (entry["daemon_status"], entry["mon"]) == ("same", "same"):
                continue
            if entry["key"].startswith("hb#"):
                continue  # One node has no heartbeats.
            with self.subTest(entry["key"]):
                self.assertTrue(look_up(document, entry["key"].split("."), names))
                checked += 1
        self.assertGreater(checked, 30)

    def test_objects_are_filtered_as_2_1_asks(self):
        document = self.omd.status(selector="svc1")
        self.assertIn("svc1", document["monitor"]["services"])
        self.assertNotIn("svc2", document["monitor"]["services"])

    def test_the_document_stays_valid_while_an_instance_goes_through_its_states(self):
        def render_until(condition, what):
            def step():
                document = self.omd.status()
                problems = check_document(document)
                if problems:
                    raise RuntimeError("; ".join(problems))
                return condition(
                    document["monitor"]["nodes"]["node1"]["services"]["status"].get("svc2", {}))

            wait_for(step, what, interval=0)

        hold = os.path.join(self.slow.folder, "hold")
        for order, state, avail in (("stopped", "stopping", "down"), ("started", "starting", "up"),
                                    ("stopped", "stopping", "down")):
            with open(hold, "w", encoding="ascii"):
                pass
            self.assertEqual(self.slow.order(order)["status"], 0)
            render_until(lambda instance: instance["monitor"]["status"] == state,  # noqa: B023
                         "svc2 is %s" % state)
            os.unlink(hold)
            render_until(lambda instance: instance.get("avail") == avail  # noqa: B023
                         and instance["monitor"]["status"] == "idle"
                         and not instance["monitor"].get("global_expect"), "svc2 is %s" % avail)
        self.slow.fail_starts(True)
        self.assertEqual(self.slow.order("started")["status"], 0)
        wait_for(lambda: self.omd.instance("svc2")["monitor"]["status"] == "start failed",
                 "the start fails")
        self.assert_renders(self.omd.status())
        self.slow.fail_starts(False)
        self.assertEqual(self.omd.local.request("clear", {"svcpath": "svc2"}),
                         {"status": 0, "info": "svc2 instance cleared"})
        wait_for(lambda: self.omd.instance("svc2")["monitor"]["status"] != "start failed", "cleared")
        self.assert_renders(self.omd.status())
        self.omd.wait_instance("svc2", "up")  # By itself, once more.

    def test_compat_level_nine_is_told_on_demand(self):
        omd = self.start_omd(node_conf={"compat": {"level": "9"}})
        omd.wait_idle()
        document = omd.status()
        self.assertEqual(document["monitor"]["nodes"]["node1"]["compat"], 9)
        self.assert_renders(document)

    def test_a_broken_service_file_does_not_break_the_document(self):
        omd = self.start_omd()
        omd.replace_file(os.path.join(omd.etc, "broken.conf"), "[DEFAULT\nnodes = = \n[x")
        omd.write_service("good", {"app#1": {"type": "simple", "start": "/bin/sleep 86400"}})
        wait_for(lambda: "avail" in (omd.instance("good") or {}), "the good one is evaluated")
        wait_for(lambda: "broken" in omd.status()["monitor"]["services"], "the broken one is known")
        self.assert_renders(omd.status())


class ChecklistTest(OmdTestCase):
    """PROTOCOL.md 9 and BEHAVIOUR.md 1.3, one item a test."""

    # A request may be sent long after its connection was made.
    OMD = {"nodes": ("node1", "node2"), "node_conf": {"node": {"rejoin_grace_period": "1s"},
                                                      "listener": {"request_timeout": "10m"}}}

    def lock_is_free(self, omd):
        with open(os.path.join(omd.var, "lock", "osvcd.lock"), "a+", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def test_the_lock_is_held_and_tells_the_pid_and_the_pid_file_too(self):
        self.assertFalse(self.lock_is_free(self.omd))
        with open(os.path.join(self.omd.var, "lock", "osvcd.lock"), encoding="ascii") as stream:
            self.assertEqual(json.loads(stream.read()), {"pid": self.omd.pid, "intent": None})
        with open(os.path.join(self.omd.var, "osvcd.pid"), encoding="ascii") as stream:
            self.assertEqual(stream.read(), "%d\n" % self.omd.pid)

    def test_the_lock_is_free_once_the_daemon_has_ended_though_an_instance_runs(self):
        omd = self.start_omd(prepare=lambda omd: setattr(self, "kept", App(omd)))
        omd.wait_idle()
        omd.wait_instance("svc1", "down")
        self.assertEqual(self.kept.order("started")["status"], 0)
        omd.wait_instance("svc1", "up")
        omd.stop()
        self.assertTrue(self.lock_is_free(omd))
        self.assertEqual(len(self.kept.processes()), 1)
        omd.start()
        omd.wait_instance("svc1", "up")
        self.assertEqual(self.kept.starts(), 1)

    def test_a_second_daemon_on_the_same_root_is_refused(self):
        done = subprocess.run(self.omd.command(), env=self.omd.environment, cwd=self.omd.root,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"osvcd.lock", done.stdout)
        self.assertIn(str(self.omd.pid).encode(), done.stdout)
        # The first one has not noticed.
        self.assertEqual(self.omd.local.request("daemon_blacklist_status")["status"], 0)
        self.assertEqual(self.omd.packet().request("daemon_blacklist_status")["status"], 0)
        self.assertEqual(self.omd.health(""), "SERVING")

    def test_a_daemon_is_refused_while_a_legacy_daemon_holds_the_lock(self):
        omd = self.start_omd(start=False)
        os.makedirs(os.path.join(omd.var, "lock"))
        with open(os.path.join(omd.var, "lock", "osvcd.lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write('{"pid": %d, "intent": null}' % os.getpid())
            lock.flush()
            omd.start(wait=False)
            self.assertNotEqual(omd.wait_exit(), 0)
            omd.expected_exit.add(omd.process.returncode)
        self.assertIn("osvcd.lock", omd.output_text())
        omd.start()

    def read_raw_reply(self, client, request, half_close=False):
        """Chunks of a reply until EOF, with the pauses between them."""
        with client.connect() as sock:
            sock.sendall(request)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            chunks = []
            while True:
                ready = select.select([sock], [], [], 60)[0]
                self.assertTrue(ready, "the server neither answers nor closes")
                chunk = sock.recv(65536)
                if not chunk:
                    return b"".join(chunks)
                chunks.append(chunk)

    def test_a_unary_reply_is_one_message_one_nul_and_the_end(self):
        for client in (self.omd.local, self.omd.packet("node2")):
            for action in ("daemon_status", "daemon_blacklist_status", "no_such_action"):
                raw = self.read_raw_reply(client, client.encode({"action": action}) + b"\0")
                self.assertEqual(raw.count(b"\0"), 1)
                self.assertEqual(raw[-1:], b"\0")
                self.assertIsInstance(client.decode(raw[:-1]), dict)

    def test_a_request_may_end_with_eof_instead_of_nul(self):
        for client in (self.omd.local, self.omd.packet("node2")):
            raw = self.read_raw_reply(client, client.encode({"action": "daemon_blacklist_status"}),
                                      half_close=True)
            self.assertEqual(client.decode(raw.rstrip(b"\0"))["status"], 0)

    def test_a_request_may_come_in_pieces(self):
        for client in (self.omd.local, self.omd.packet("node2")):
            data = client.encode({"action": "daemon_blacklist_status", "x": "y" * 9000}) + b"\0"
            with client.connect() as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) if (
                    sock.family == socket.AF_INET) else None
                for start in range(0, len(data), 1000):
                    sock.sendall(data[start:start + 1000])
                raw = legacy.read_reply(legacy.SocketSource(sock), 60)
            self.assertEqual(client.decode(raw.rstrip(b"\0"))["status"], 0)

    def test_each_reply_has_an_iv_of_its_own(self):
        ivs = set()
        for _ in range(5):
            client = self.omd.packet("node2")
            raw = client.raw(client.encode({"action": "daemon_blacklist_status"}) + b"\0")
            ivs.add(json.loads(raw[:-1])["iv"])
        self.assertEqual(len(ivs), 5)

    def test_the_cluster_name_is_compared_exactly(self):
        for name in ("Demo", "demo ", "", "other"):
            client = self.omd.packet("node2")
            client.clustername = name
            self.assertIsNone(client.request("daemon_status"), name)

    def test_a_configured_name_with_capitals_is_lowered(self):
        omd = self.start_omd(cluster="MyCluster")
        client = omd.packet(clustername="mycluster")
        client.reply_cluster = "mycluster"
        self.assertEqual(client.request("daemon_blacklist_status")["status"], 0)

    def test_daemon_stop_announces_maintenance_before_it_answers_and_ends(self):
        for options, word in (({}, "maintenance"), ({"upgrade": True}, "upgrade")):
            with self.subTest(word):
                self.check_stop(options, word)

    def check_stop(self, options, word):
        omd = self.start_omd(prepare=lambda omd: setattr(self, "kept", App(omd)))
        omd.wait_idle()
        omd.wait_instance("svc1", "down")
        self.assertEqual(self.kept.order("started")["status"], 0)
        omd.wait_instance("svc1", "up")
        # A node without peers has nobody to wait for.
        omd.cluster_conf["cluster"]["nodes"] = "node1 node2"
        omd.write_cluster_conf()
        wait_for(lambda: len(omd.grpc.call("DaemonService.ListNodes").nodes) == 2,
                 "the daemon knows of node2")
        watch = omd.grpc.stream("DaemonService.WatchStatus")
        for message in watch:
            if message.WhichOneof("kind") == "state_end":
                break
        client = omd.local
        with client.connect() as sock:
            begin = time.monotonic()
            sock.sendall(client.encode({"action": "daemon_stop", "options": options}) + b"\0")
            announced = None
            try:
                for message in watch:
                    for node in message.change.nodes:
                        if node.monitor.status == word:
                            announced = node.monitor.status_update_time.ToNanoseconds()
                    if announced:
                        break
            except grpc.RpcError:
                pass  # It has ended.
            try:
                status = omd.status()
            except (OSError, legacy.BrokenReply):
                status = None
            raw = legacy.read_reply(legacy.SocketSource(sock), 60)
            took = time.monotonic() - begin
        self.assertEqual(json.loads(raw.rstrip(b"\0")), {"status": 0})
        self.assertEqual(omd.wait_exit(), 0)
        if announced is None and took > ANNOUNCED_SECONDS:
            self.skipTest("the machine is too slow to see what is only there for so long")
        self.assertTrue(announced)
        # It stayed, so that peers can see it. Clocks of files lag a little.
        ended = os.stat(os.path.join(omd.var, "last_shutdown")).st_mtime_ns
        self.assertGreaterEqual(ended - announced, (ANNOUNCED_SECONDS - 0.1) * 1e9)
        if status is not None:  # Who asks later than that finds nobody.
            self.assertEqual(status["monitor"]["nodes"]["node1"]["monitor"]["status"], word)
        self.assertEqual(len(self.kept.processes()), 1, "instances stay up")
        self.assertTrue(self.lock_is_free(omd))

    def test_the_log_has_the_legacy_format_and_is_reopened_when_it_was_moved(self):
        path = os.path.join(self.omd.log, "node.log")
        wait_for(lambda: os.path.exists(path) and os.path.getsize(path), "the log is written")
        pattern = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - node1(\.osvcd(\.\S+)?)? - "
                             r"(DEBUG|INFO|WARNING|ERROR) - .+")
        with open(path, encoding="utf-8") as stream:
            # What follows the last newline is being written.
            for line in stream.read().split("\n")[:-1]:
                self.assertRegex(line, pattern)
        os.rename(path, path + ".1")

        def written_again():
            for _ in range(5):
                self.omd.packet("node2").raw(
                    legacy.seal({}, SECRET[::-1], CLUSTER, "node2") + b"\0")
            self.omd.clear_blacklist()
            return os.path.exists(path) and os.path.getsize(path)

        wait_for(written_again, "the log was reopened")

    def test_the_files_of_the_daemon_are_where_the_legacy_agent_has_them(self):
        for name in ("lsnr/lsnr.sock", "lsnr/grpc.sock", "lock/osvcd.lock", "osvcd.pid", "omd"):
            self.assertTrue(os.path.exists(os.path.join(self.omd.var, name)), name)
        mode = os.stat(self.omd.local_socket).st_mode & 0o777
        self.assertEqual(mode & 0o007, 0, "others may connect: %o" % mode)


class GeneratedTest(OmdTestCase):
    """A root without any configuration."""

    def test_name_id_and_secret_are_generated_and_kept(self):
        omd = self.start_omd(generate=True, start=False)
        os.makedirs(omd.etc, exist_ok=True)
        # Ports of its own, nothing else.
        omd.write_node_conf("[listener]\naddr = 127.0.0.1\nport = %d\ngrpc_addr = 127.0.0.1\n"
                            "grpc_port = %d\n" % (omd.port, omd.grpc_port))
        omd.start()
        with open(omd.cluster_conf_path, encoding="utf-8") as stream:
            text = stream.read()
        self.assertEqual(os.stat(omd.cluster_conf_path).st_mode & 0o777, 0o600)
        secret = re.search(r"^secret\s*=\s*(\S+)$", text, re.M).group(1)
        self.assertRegex(secret, r"\A[A-Za-z0-9]{32}\Z")
        identifier = re.search(r"^id\s*=\s*(\S+)$", text, re.M).group(1)
        self.assertRegex(identifier, r"\A[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f-]{17}\Z")
        document = omd.status()
        name = document["cluster"]["name"]
        omd.secret = secret
        client = omd.packet(clustername=name)
        client.reply_cluster = name
        self.assertEqual(client.request("daemon_blacklist_status")["status"], 0)
        omd.restart()
        with open(omd.cluster_conf_path, encoding="utf-8") as stream:
            self.assertEqual(stream.read(), text)
        self.assertEqual(omd.status()["cluster"]["id"], identifier)

    def test_a_secret_that_gives_no_aes_256_key_is_a_clear_error(self):
        for secret in ("q9Zk2", "0123456789abcdef", "q9Zk2" * 5):
            with self.subTest(secret):
                omd = self.start_omd(secret=secret, start=False)
                omd.start(wait=False)
                self.assertNotEqual(omd.wait_exit(), 0)
                omd.expected_exit.add(omd.process.returncode)
                output = omd.output_text()
                self.assertIn("cluster.conf", output)
                self.assertIn("secret", output)
                self.assertNotIn(secret, output.replace(omd.root, ""))

    def test_what_the_old_agents_accept_is_accepted_on_demand(self):
        omd = self.start_omd(secret="0123456789abcdef",
                             node_conf={"compat": {"allow_short_secret": "true"}})
        self.assertEqual(omd.packet().request("daemon_blacklist_status")["status"], 0)

    def test_a_secret_of_the_old_default_is_warned_about(self):
        omd = self.start_omd(secret="b1b86f5e6ce211efa0e40242ac120002")
        wait_for(lambda: re.search(r"WARNING.*secret", omd.log_text()), "a warning")


class LegacyDoorOffTest(OmdTestCase):
    def test_with_the_door_off_there_is_no_port_and_no_clear_socket_answer(self):
        omd = self.start_omd(node_conf={"compat": {"enabled": "false"}})
        with self.assertRaises(ConnectionRefusedError):
            omd.packet().request("daemon_status")
        self.assertEqual(omd.grpc.call("DaemonService.GetStatus").daemon.pid, omd.pid)


if __name__ == "__main__":
    unittest.main()
