#!/usr/bin/python3
"""The recorded exchanges of the legacy daemons, replayed against the real daemon.

Transcripts and requests are compared by shape (keys, types, string against list) and by value, except for
what differs from run to run (times, process ids, paths of the root folder). What this daemon does not
answer yet must get the legacy 'not supported'. The invalid packets of negative.json are sent byte for
byte, and what was counted is read back from the blacklist over the clear socket.
"""

import base64
import json
import os
import socket
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import (App, CLUSTER, GOLDEN, SECRET, OmdTestCase, golden, legacy,  # noqa: E402
                     wait_for)

NOT_SUPPORTED = {"error": "action not supported", "status": 1}

# Actions that are answered; all others get NOT_SUPPORTED until they come.
SUPPORTED = {
    "daemon_blacklist_status", "blacklist_status", "daemon_blacklist_clear", "blacklist_clear",
    "daemon_status", "daemon_stats", "daemon_stop", "daemon_start", "get_node_config",
    "node_config", "get_service_config", "object_config", "nodes_info", "set_service_monitor",
    "object_monitor", "get_service_monitor", "clear", "object_clear", "wake_monitor",
    "set_node_monitor", "node_monitor", "daemon_shutdown", "service_action", "object_action",
    "node_action", "create", "object_create", "service_backlogs", "object_backlogs",
    "node_backlogs", "service_logs", "node_logs", "events", "join", "leave",
}
# They stay open, or end without a reply when there is nothing to tell: see test_streams.py.
STREAMS = {"events", "service_logs", "node_logs"}
# Differ from run to run; only their type is compared.
VOLATILE = {"mtime", "timestamp", "time", "total", "threads", "procs", "updated", "created", "tasks"}


def replace_root(value, root):
    """The recorded value with its <root> placeholder replaced."""
    if isinstance(value, str):
        return value.replace("<root>", root)
    if isinstance(value, list):
        return [replace_root(item, root) for item in value]
    if isinstance(value, dict):
        return {key: replace_root(item, root) for key, item in value.items()}
    return value


def kind(value):
    """Type of a JSON value as a legacy client tells types apart."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return type(value).__name__


def differences(recorded, got, where="reply", extra_keys=True):
    """What in `got` is not as recorded. More keys than recorded do no harm to any client."""
    if kind(recorded) != kind(got):
        return ["%s: a %s was recorded, got the %s %.200r" % (where, kind(recorded), kind(got), got)]
    found = []
    if isinstance(recorded, dict):
        for key, value in recorded.items():
            place = "%s.%s" % (where, key)
            if key not in got:
                found.append("%s is missing in %.300r" % (place, got))
            elif key in VOLATILE:
                if kind(value) != kind(got[key]):
                    found.append("%s: a %s was recorded, got %.100r" % (place, kind(value), got[key]))
            else:
                found += differences(value, got[key], place, extra_keys)
        if not extra_keys:
            found += ["%s.%s was not recorded" % (where, key) for key in got if key not in recorded]
        return found
    if isinstance(recorded, list):
        if len(recorded) != len(got):
            return ["%s: recorded %.300r, got %.300r" % (where, recorded, got)]
        for index, (value, other) in enumerate(zip(recorded, got)):
            found += differences(value, other, "%s[%d]" % (where, index), extra_keys)
        return found
    return [] if recorded == got else ["%s: recorded %.300r, got %.300r" % (where, recorded, got)]


# The service of the recordings, with a script that does what theirs did.
RECORDED_TEXT = ("[DEFAULT]\nnodes = %(nodes)s\norchestrate = ha\n"
                 "id = 72dffa21-105d-449e-9c16-f805e8d95a96\n\n[app#1]\ntype = forking\n"
                 "script = %(root)s/app.sh\nstart = 1\nstop = 1\ncheck = 1\nrestart = 2\n"
                 "monitor = true\n\n[sync#i0]\ndisable = true\n")


def write_recorded_service(omd):
    """svc1 as it was recorded, on the nodes that there are."""
    app = App(omd)
    os.rename(os.path.join(app.folder, "app.sh"), os.path.join(omd.root, "app.sh"))
    omd.replace_file(os.path.join(omd.etc, "svc1.conf"),
                     RECORDED_TEXT % {"nodes": " ".join(omd.nodes), "root": omd.root})
    return app


class RecordedRequestsTest(OmdTestCase):
    """requests.json on the clear socket, in its order, as a 1.9 daemon of one node would answer."""

    # A request may be sent long after its connection was made.
    OMD = {"nodes": ("node1",), "node_conf": {"node": {"env": "TST"},
                                              "listener": {"request_timeout": "10m"}}}

    # Recorded on two nodes, or answered better on purpose.
    EXPECTED = {
        # All path options everywhere (PROTOCOL.md 3.4, 11).
        "get_service_config path": lambda case: case.recorded("get_service_config svcpath"),
        # The attributes join the recorded reply (3.4, 13), and the other name is accepted.
        "get_service_monitor": lambda case: {"status": 0, "data": {}},
        "set_service_monitor only svcname": lambda case: {
            "status": 0, "info": ["service svc1 target state set to None"], "data": {}},
        # One node: what 2.1 said of one node, in the words of 1.9.
        "set_service_monitor placed@<peer>": lambda case: None,
        # Another cluster's file; test_membership.py holds it against a file like the recorded one.
        "join as self": lambda case: {"status": 0, "data": {
            "node": {"data": {"node": {"env": "TST"}, "cluster": {}}},
            "cluster": {"data": {"metadata": {"name": "cluster", "kind": "ccfg",
                                              "namespace": None}}, "mtime": 1.0}}},
        "nodes_info": lambda case: {"status": 0,
                                    "data": {"node1": {"labels": {}, "targets": []}}},
        # One copy of the text is enough (4.5), and the valid ids are named.
        "daemon_start bad thr": lambda case: None,
        "daemon_stop bad thr": lambda case: None,
        # Unknown orders, paths and destinations may be refused: checked below, by kind.
        "set_service_monitor bogus ge": lambda case: None,
        "set_service_monitor unknown svc frozen": lambda case: None,
        "set_service_monitor placed@": lambda case: None,
        "set_service_monitor placed@node9": lambda case: None,
        "set_service_monitor placed@node1": lambda case: None,
        "clear unknown": lambda case: None,
        # Words that no node acts on are refused, as 2.1 does.
        "set_node_monitor bogus": lambda case: None,
        "set_node_monitor ge bogus": lambda case: None,
        # No heartbeats, so no thread ends in `tx`; leaving nodes send it and must hear success.
        "daemon_stop tx": lambda case: {"status": 0},
        "daemon_status": lambda case: None,
        "daemon_status refresh": lambda case: None,
        "daemon_stats": lambda case: None,
        # Names of 2.x are accepted.
        "blacklist_clear": lambda case: {"status": 0},
        "blacklist_clear POST": lambda case: {"status": 0},
        # Ours is another file.
        "get_node_config": lambda case: None,
        "get_node_config json": lambda case: None,
        # What the resource manager says is its own; the forms are looked at in test_streams.py.
        "service_action cmd string": lambda case: None,
        "service_action print_config json": lambda case: None,
        "service_action failing": lambda case: None,
        "service_action bad action": lambda case: None,
        "service_action options null": lambda case: None,
        "node_action cmd": lambda case: None,
        # There is no tool for the node here.
        "node_action action": lambda case: None,
        "node_action async": lambda case: None,
        # Recorded on two nodes; here it is no node's name, so this one makes it, as 2.x did.
        "create node2 svc": lambda case: {"nodes": {"node1": {"status": 0}}, "status": 0},
        # Without the traceback.
        "service_logs '10b'": lambda case: {
            "status": 1, "error": "convert size error: unsupported unit in 10b"},
        # The names of 2.x.
        "service_backlogs": lambda case: [],
        "node_backlogs": lambda case: [],
        # A status that is a string breaks multiplexed replies; the text may differ.
        "get_service_config json missing": lambda case: None,
    }

    @classmethod
    def prepare(cls, omd):
        cls.app = write_recorded_service(omd)

    def recorded(self, name):
        for entry in golden("requests.json")["requests"]:
            if entry["name"] == name:
                return entry["by_version"]["1.9"]["replies"][0]
        raise KeyError(name)

    def test_every_recorded_request_is_answered_as_recorded(self):
        omd = self.omd
        omd.wait_idle()
        omd.wait_instance("svc1", "up")  # By itself: orchestrate = ha.
        seen = 0
        for entry in golden("requests.json")["requests"]:
            request, name = entry["request"], entry["name"]
            with self.subTest(name):
                seen += 1
                if request["action"] in STREAMS and name not in (
                        "service_logs none", "service_logs unknown", "service_logs '10b'"):
                    continue
                reply = omd.local.request_value(request)
                if request["action"] not in SUPPORTED:
                    self.assertEqual(reply, NOT_SUPPORTED)
                    continue
                if name in self.EXPECTED:
                    expected = self.EXPECTED[name](self)
                    if expected is None:
                        self.assertIsInstance(reply, dict)
                        continue
                    if expected == []:
                        self.assertIsInstance(reply, list)
                        continue
                else:
                    expected = self.recorded(name)
                expected = replace_root(json.loads(
                    json.dumps(expected).replace("node1 node2", "node1")
                    .replace('["node1", "node2"]', '["node1"]')), omd.root)
                self.assertEqual(differences(expected, reply), [])
        self.assertGreater(seen, 100)

    def test_refusals_keep_the_recorded_kinds(self):
        ask = self.omd.local.request
        for action in ("daemon_start", "daemon_stop"):
            reply = ask(action, {"thr_id": "foo"})
            self.assertEqual(reply["status"], 1, reply)
            for thread in ("listener", "monitor", "scheduler"):
                self.assertIn(thread, reply["error"])
        # An empty id must not stop the daemon.
        reply = ask("daemon_stop", {"thr_id": ""})
        self.assertEqual(reply["status"], 1, reply)
        for order in ("bogus", "placed@", "placed@node9"):
            reply = ask("set_service_monitor", {"svcname": "svc1", "global_expect": order})
            self.assertEqual(reply["status"], 1, reply)
            self.assertIsInstance(reply["error"], list)
        reply = ask("get_service_config", {"svcpath": "nope", "format": "json"})
        self.assertNotEqual(reply["status"], 0, reply)
        self.assertIsInstance(reply["error"], str)
        for path in ("../../etc/passwd", "a/b/c/d", "x,y", "x+y", "..", "ns1/svc/../x", "a\0b"):
            for action in ("get_service_config", "clear"):
                reply = ask(action, {"svcpath": path})
                self.assertNotEqual(reply.get("status"), 0, (action, path, reply))
            reply = ask("set_service_monitor", {"svcpath": path, "global_expect": "started"})
            self.assertEqual(reply["status"], 1, (path, reply))
            self.assertIsInstance(reply["error"], list, reply)

    def test_get_node_config_returns_the_file_and_its_sections(self):
        with open(self.omd.node_conf_path, encoding="utf-8") as stream:
            text = stream.read()
        for action in ("get_node_config", "node_config"):
            reply = self.omd.local.request(action)
            self.assertEqual((reply["status"], reply["data"]), (0, text))
            self.assertAlmostEqual(reply["mtime"], os.stat(self.omd.node_conf_path).st_mtime, 3)
            reply = self.omd.local.request(action, {"format": "json"})
            self.assertNotIn("status", reply)
            self.assertEqual(reply["metadata"], {"kind": "node"})
            self.assertEqual(reply["listener"]["port"], str(self.omd.port))
            self.assertEqual(reply["node"], {"env": "TST"})

    def test_stats_have_the_recorded_shape(self):
        for options in (None, {"svcpaths": None}, {"selector": "**"}):
            reply = self.omd.local.request("daemon_stats", options)
            self.assertEqual(reply["status"], 0)
            data = reply["data"]
            self.assertIsInstance(data["timestamp"], float)
            self.assertGreater(data["daemon"]["mem"]["total"], 0)
            self.assertIn("time", data["daemon"]["cpu"])
            self.assertGreater(data["node"]["cpu"]["time"], 0)
            self.assertIsInstance(data["services"], dict)
            for thread in ("listener", "monitor", "scheduler"):
                self.assertLessEqual({"threads", "procs", "cpu", "mem"}, set(data[thread]))

    def test_malformed_requests_get_the_recorded_errors(self):
        local = self.omd.local
        invalid = {"error": "invalid data format", "status": 1}
        for raw in (b'"text"\0', b"[1]\0", b"12\0", b"hello\0", b'{"action": "x"}{"b": 1}\0',
                    b"dequeue_actions\0"):
            self.assertEqual(json.loads(local.raw(raw).rstrip(b"\0")), invalid, raw)
        for raw in (b"null\0", b"\0\0\0"):
            self.assertEqual(local.raw(raw), b"", raw)
        self.assertEqual(local.request_value({}), {"error": "action not specified", "status": 1})
        self.assertEqual(local.request_value({"options": {}}),
                         {"error": "action not specified", "status": 1})
        self.assertEqual(local.request("no_such_action"), NOT_SUPPORTED)
        for value in ({"action": 7}, {"action": ["daemon_status"]}, {"action": {"a": 1}},
                      {"action": "daemon_status", "options": None},
                      {"action": "daemon_status", "options": []},
                      {"action": "daemon_status", "options": "x"}):
            reply = local.request_value(value)
            self.assertEqual(reply["status"], 1, (value, reply))
            self.assertIsInstance(reply["error"], str)

    def test_unknown_keys_and_an_empty_node_are_ignored(self):
        status = {"status": 0, "data": {}}
        self.omd.clear_blacklist()
        for more in ({"node": None}, {"node": ""}, {"whatever": [1, {}]}, {"method": "GET"},
                     {"method": "POST"}, {"method": None}):
            self.assertEqual(self.omd.local.request("daemon_blacklist_status", {}, **more), status)

    def test_a_node_selector_wraps_the_reply(self):
        for node in ("*", "node1", ["node1"], "node1 node1", "node*", "n*+node1"):
            reply = self.omd.local.request("daemon_blacklist_status", node=node)
            self.assertEqual(reply["status"], 0, (node, reply))
            self.assertEqual(list(reply["nodes"]), ["node1"], node)
            self.assertEqual(reply["nodes"]["node1"]["status"], 0)

    def test_every_path_option_and_both_families_of_names_work(self):
        for option in ("path", "svcpath", "svcname"):
            for action in ("get_service_config", "object_config"):
                for more in ({}, {"method": "GET"}):
                    reply = self.omd.local.request(action, {option: "svc1"}, **more)
                    self.assertEqual(reply["status"], 0, reply)
                    self.assertIn("[app#1]", reply["data"])
            for action in ("set_service_monitor", "object_monitor"):
                reply = self.omd.local.request(action, {option: "svc1"}, method="POST")
                self.assertEqual(reply["status"], 0, reply)
        # The first that is set counts; null and empty are not set.
        reply = self.omd.local.request("get_service_config", {"svcpath": "", "svcname": "svc1"})
        self.assertEqual(reply["status"], 0, reply)
        reply = self.omd.local.request("get_service_config", {"path": None, "svcpath": "svc1"})
        self.assertEqual(reply["status"], 0, reply)


class TranscriptsTest(OmdTestCase):
    """One captured exchange a file, over the transport it was captured on, with fresh IVs."""

    OMD = {"nodes": ("node1", "node2"), "node_conf": {"node": {"rejoin_grace_period": "1s"},
                                                      "listener": {"request_timeout": "10m"}}}

    # Sent while the service was in a state that a test of the whole file cannot give it, or to a daemon
    # that is to end; each is replayed elsewhere.
    STATEFUL = {
        "1.9-join.json": "test_membership.py", "1.9-join-3rd-1.json": "test_membership.py",
        "1.9-join-3rd-2.json": "test_membership.py", "1.9-leave-2.json": "test_membership.py",
        "1.9-leave-3.json": "test_membership.py", "1.9-rejoin-1.json": "test_membership.py",
        "1.9-rejoin-2.json": "test_membership.py",
        "1.9-daemon-stop.json": "test_render.py", "1.9-daemon-restart.json": "test_render.py",
        "1.9-daemon-stop-upgrade.json": "test_render.py", "1.9-daemon-shutdown.json": "test_life.py",
    }

    @classmethod
    def prepare(cls, omd):
        cls.app = write_recorded_service(omd)
        # The other service of the recordings, from one of them.
        text = golden("transcripts/1.9-print-config-remote-2.json")["replies"][0]["data"]
        omd.replace_file(os.path.join(omd.etc, "svc2.conf"), replace_root(text, omd.root))

    def expected(self, name, record):
        """What this daemon has to answer, or None where only success or failure is comparable."""
        request = record["request"]
        if request["action"] not in SUPPORTED:
            return NOT_SUPPORTED
        reply = record["replies"][0]
        if name == "2.1-client-to-1.9-server-blacklist-clear.json":
            return {"status": 0}  # The names of both families are accepted.
        if request["action"] in ("daemon_status", "daemon_stats"):
            return None
        if request["action"] in ("node_action", "node_backlogs"):
            return None  # No tool for the node here; the names of 2.x.
        if name == "1.9-svc-logs-badsize.json":
            reply = {key: value for key, value in reply.items() if key != "traceback"}
        # What is told depends on the state that the requests before it left.
        if request["action"] in ("set_service_monitor", "clear", "set_node_monitor", "node_monitor"):
            return None
        if request.get("node"):
            return None
        if name == "1.9-thr-start-unknown.json":
            return None
        if request["action"] == "nodes_info":
            reply = json.loads(json.dumps(reply))
            reply["data"]["node2"] = {}  # A cluster node without data.
        return reply

    def test_every_transcript_is_answered_as_recorded(self):
        self.omd.wait_idle()
        wait_for(lambda: {"svc1", "svc2"} <= set(
            self.omd.status()["monitor"]["nodes"]["node1"]["services"]["config"]),
            "the services are known")
        replayed = 0
        for name in sorted(os.listdir(os.path.join(GOLDEN, "transcripts"))):
            record = golden(os.path.join("transcripts", name))
            request = record.get("request")
            if (not isinstance(request, dict) or "<undecodable>" in request
                    or name in self.STATEFUL or not record.get("replies")):
                continue
            if request["action"] in STREAMS and name != "1.9-svc-logs-badsize.json":
                continue
            with self.subTest(name):
                client = self.omd.local
                envelope = record.get("envelope")
                if record["transport"] == "tcp/aes":
                    client = self.omd.packet(envelope["nodename"], envelope["clustername"])
                    if envelope["nodename"] not in self.omd.nodes and (
                            envelope["clustername"] != "join"):
                        continue  # Senders that are not in cluster.nodes: see NegativeTest.
                reply = client.request_value(request)
                self.assertIsNotNone(reply, "no reply")
                replayed += 1
                expected = self.expected(name, record)
                if expected == NOT_SUPPORTED and request.get("node"):
                    self.assertNotEqual(reply["status"], 0, reply)
                elif expected is not None:
                    self.assertEqual(
                        differences(replace_root(expected, self.omd.root), reply), [])
                elif request["action"] == "daemon_status":
                    self.assertLessEqual({"cluster", "listener", "monitor", "scheduler"},
                                         set(reply))
                    self.assertNotIn("status", reply)
                elif request.get("node"):
                    nodes = set(record["replies"][0].get("nodes", ["node1"]))
                    if request["node"] == "*":
                        nodes = {"node1"}  # The nodes with data.
                    elif request["node"] == "ANY":
                        nodes = {"node1"}  # Has it, which the recorded node had not.
                    self.assertEqual(set(reply["nodes"]), nodes)
                    self.assertIsInstance(reply["status"], int)
                else:
                    recorded = record["replies"][0]
                    for key in ("info", "error"):
                        if key in recorded and key in reply:
                            self.assertEqual(kind(recorded[key]), kind(reply[key]), reply)
                    self.assertIn("status", reply)
                    self.assertTrue("error" in reply or reply["status"] == 0, reply)
        self.assertGreater(replayed, 80)

    def test_under_the_name_join_only_joining_and_the_blacklist_status_are_answered(self):
        """PROTOCOL.md 3.4, 3: it is no key to everything."""
        for sender in ("node9", "node1"):
            client = self.omd.packet(sender, "join")
            reply = client.request("daemon_blacklist_status")
            self.assertEqual(reply["status"], 0, reply)
            for action in ("relay_tx", "relay_rx", "daemon_relay_status"):
                self.assertEqual(client.request(action), NOT_SUPPORTED)
            for action in ("daemon_status", "get_node_config", "daemon_blacklist_clear",
                           "set_service_monitor", "daemon_stop", "blacklist_status"):
                reply = client.request(action, {"svcpath": "svc1", "thr_id": "scheduler",
                                                "global_expect": "stopped"})
                if reply is not None and action != "blacklist_status":
                    self.assertNotEqual(reply.get("status"), 0, (action, reply))
                    self.assertNotIn("data", reply)
        # A test before may just have started it.
        wait_for(lambda: self.omd.status()["scheduler"]["state"] == "running",
                 "the scheduler runs")

    def test_the_reply_carries_the_own_names_also_to_join(self):
        for cluster in (CLUSTER, "join"):
            client = self.omd.packet("node2", cluster)
            raw = client.raw(client.encode({"action": "daemon_blacklist_status"}) + b"\0")
            self.assertEqual(raw[-1:], b"\0")
            envelope = json.loads(raw[:-1])
            self.assertEqual((envelope["clustername"], envelope["nodename"]), (CLUSTER, "node1"))


def recommended_class(vector):
    words = vector.get("recommended", vector["expected"]).split()
    return words[0]


class NegativeTest(OmdTestCase):
    """negative.json and blacklist_sequence.json, byte for byte, from 127.0.0.1."""

    OMD = {"nodes": ("node1", "node2"), "node_conf": {"listener": {"request_timeout": "10m"}}}

    def raw_bytes(self, vector):
        if "send_b64" in vector:
            return base64.b64decode(vector["send_b64"])
        return vector["send_text"].encode("utf-8", "surrogateescape")

    def send(self, data, half_close):
        client = self.omd.packet("node2")
        return client.raw(data, half_close=half_close, timeout=60)

    def count(self):
        """Count of this address; nobody else is there to have one."""
        counts = self.omd.blacklist()
        self.assertLessEqual(len(counts), 1, counts)
        return sum(counts.values())

    def test_every_vector_has_its_class(self):
        vectors = golden("negative.json")["vectors"]
        self.assertEqual(len(vectors), 87)
        known = set()
        # A vector that is never finished goes to a daemon that does not wait for the rest.
        hasty = self.start_omd(nodes=self.omd.nodes,
                               node_conf={"listener": {"request_timeout": "1s"}})
        for vector in vectors:
            with self.subTest(vector["name"]):
                data = self.raw_bytes(vector)
                expected = recommended_class(vector)
                sealed = None
                try:
                    value = json.loads(data.rstrip(b"\0").decode(errors="ignore"))
                    sealed = (value["iv"], value["data"])
                except (ValueError, TypeError, KeyError):
                    pass
                if sealed in known and expected == "accepted":
                    expected = "counted"  # A repeated (IV, ciphertext) is a replay.
                if expected == "accepted":
                    known.add(sealed)
                self.omd.clear_blacklist()
                half_close = vector["half_close_after_send"]
                if not half_close and not data.endswith(b"\0"):
                    self.assertEqual(expected, "ignored")
                    self.assertEqual(hasty.packet("node2").raw(data), b"")
                    self.assertEqual(hasty.blacklist(), {})
                    continue
                raw = self.send(data, half_close)
                counted = self.count()
                if expected == "accepted":
                    self.assertEqual(counted, 0)
                    reply = vector["observed"]["1.9"]["reply"]
                    if reply is None:
                        self.assertEqual(raw, b"")
                    else:
                        self.assertNotEqual(raw, b"", "no reply")
                        opened = legacy.open_sealed(raw.rstrip(b"\0"), SECRET, CLUSTER)
                        if "traceback" in reply:
                            self.assertEqual(opened["status"], 1)
                            self.assertIsInstance(opened["error"], str)
                        else:
                            self.assertEqual(differences(reply, opened), [])
                else:
                    self.assertEqual(raw, b"", "a failed check is answered with silence")
                    self.assertEqual(counted, 1 if expected == "counted" else 0)
        self.omd.clear_blacklist()

    def test_with_sender_checks_off_strangers_are_heard(self):
        omd = self.start_omd(nodes=("node1",), node_conf={"compat": {"check_sender": "false"}})
        stranger = omd.packet("stranger")
        self.assertEqual(stranger.request("daemon_blacklist_status"), {"status": 0, "data": {}})
        self.assertIsNone(self.omd.packet("stranger").request("daemon_blacklist_status"))

    def test_the_blacklist_step_by_step_with_a_threshold_of_five(self):
        self.omd.clear_blacklist()
        steps = golden("blacklist_sequence.json")["steps"]
        count = 0
        used = set()
        for step in steps:
            with self.subTest(step["step"]):
                if "send_text" not in step:
                    self.omd.clear_blacklist()
                    count = 0
                    continue
                was_blacklisted = count >= 5
                observed = step["observed"]["1.9"]["class"]
                data = step["send_text"]
                value = json.loads(data.rstrip("\0"))
                if step["step"].startswith("valid"):
                    # Fresh, so that it is the blacklist that speaks and not the replay window.
                    data = self.omd.packet("node2").encode(
                        {"action": "daemon_blacklist_status"}).decode() + "\0"
                elif (value["iv"], value["data"]) in used:
                    observed = "counted"
                used.add((value["iv"], value["data"]))
                raw = self.send(data.encode(), False)
                if was_blacklisted:
                    self.assertEqual(raw, b"")
                elif observed == "counted":
                    count += 1
                    self.assertEqual(raw, b"")
                elif step["step"].startswith("valid"):
                    count = 0
                    self.assertNotEqual(raw, b"")
                self.assertEqual(self.count(), count)
        self.omd.clear_blacklist()

    def bad_packet(self, nodename="node2"):
        return legacy.seal({"action": "daemon_status"}, SECRET[::-1], CLUSTER, nodename) + b"\0"

    def test_a_valid_message_before_the_fifth_invalid_one_resets_the_count(self):
        self.omd.clear_blacklist()
        for _ in range(4):
            self.send(self.bad_packet(), False)
        self.assertEqual(self.count(), 4)
        self.assertEqual(self.omd.packet("node2").request("daemon_blacklist_status")["status"], 0)
        self.assertEqual(self.count(), 0)

    def test_a_replay_is_counted_and_resets_nothing(self):
        self.omd.clear_blacklist()
        client = self.omd.packet("node2")
        packet = client.encode({"action": "daemon_blacklist_status"}) + b"\0"
        self.assertNotEqual(self.send(packet, False), b"")
        self.send(self.bad_packet(), False)
        self.assertEqual(self.count(), 1)
        for expected in (2, 3, 4, 5):
            self.assertEqual(self.send(packet, False), b"")
            self.assertEqual(self.count(), expected)
        self.assertEqual(self.send(packet, False), b"")
        self.assertEqual(self.count(), 5)  # Dropped messages do not count.
        self.assertIsNone(client.request("daemon_blacklist_status"))
        self.omd.clear_blacklist()
        self.assertEqual(client.request("daemon_blacklist_status")["status"], 0)

    def test_addresses_are_counted_apart_and_cleared_one_by_one(self):
        self.omd.clear_blacklist()
        clients = {}
        for address in ("127.0.0.11", "127.0.0.12"):
            clients[address] = self.omd.packet("node2")
            clients[address].source_address = address
        for _ in range(5):
            clients["127.0.0.11"].raw(self.bad_packet())
        clients["127.0.0.12"].raw(self.bad_packet())
        self.assertEqual(self.omd.blacklist(), {"127.0.0.11": 5, "127.0.0.12": 1})
        entries = {entry.address: entry
                   for entry in self.omd.grpc.call("BlacklistService.ListEntries").entries}
        self.assertTrue(entries["127.0.0.11"].blacklisted)
        self.assertFalse(entries["127.0.0.12"].blacklisted)
        self.assertEqual(entries["127.0.0.12"].invalid_count, 1)
        self.assertIsNone(clients["127.0.0.11"].request("daemon_blacklist_status"))
        reply = self.omd.grpc.call("BlacklistService.ClearEntries", sender="127.0.0.11")
        self.assertEqual(reply.cleared_count, 1)
        self.assertEqual(self.omd.blacklist(), {"127.0.0.12": 1})
        self.assertEqual(clients["127.0.0.11"].request("daemon_blacklist_status")["status"], 0)
        self.omd.clear_blacklist()

    def test_an_address_of_a_node_is_shown_by_its_name(self):
        omd = self.start_omd(nodes=("node1", "localhost"))
        client = omd.packet("node1")
        # The name is resolved beside the request, so it may take a moment to be shown.
        client.raw(self.bad_packet("node1"))
        wait_for(lambda: omd.blacklist() == {"localhost": 1},
                 lambda: "shown by name: %s" % omd.blacklist())
        entry = omd.grpc.call("BlacklistService.ListEntries").entries[0]
        self.assertEqual((entry.address, entry.node), ("127.0.0.1", "localhost"))
        reply = omd.grpc.call("BlacklistService.ClearEntries", sender="localhost")
        self.assertEqual(reply.cleared_count, 1)
        self.assertEqual(omd.blacklist(), {})

    def test_ipv6_senders_are_counted_by_network(self):
        if not os.path.exists("/proc/net/if_inet6"):
            self.skipTest("no IPv6 here")
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError as error:
            self.skipTest("no IPv6 loopback: %s" % error)
        omd = self.start_omd(node_conf={"listener": {"addr": "::1"}})
        client = omd.packet()
        client.host = "::1"
        self.assertEqual(client.request("daemon_blacklist_status"), {"status": 0, "data": {}})
        client.raw(self.bad_packet("node1"))
        self.assertEqual(omd.blacklist(), {"::/64": 1})

    def test_with_replay_checks_off_a_packet_may_come_twice(self):
        omd = self.start_omd(node_conf={"compat": {"replay_check": "false"}})
        client = omd.packet()
        packet = client.encode({"action": "daemon_blacklist_status"}) + b"\0"
        for _ in range(2):
            self.assertNotEqual(client.raw(packet), b"")
        self.assertEqual(omd.blacklist(), {})

    def test_blacklisting_is_an_event_and_a_line_of_the_log(self):
        self.omd.clear_blacklist()
        watch = self.omd.grpc.stream("DaemonService.WatchStatus")
        for first in watch:
            if first.WhichOneof("kind") == "state_end":
                break
        for _ in range(5):
            self.send(self.bad_packet(), False)
        self.omd.clear_blacklist()
        seen = {}
        for message in watch:
            for event in message.change.events:
                if event.id.startswith("blacklist"):
                    seen[event.id] = dict(event.attributes)
            if len(seen) == 2:
                break
        watch.cancel()
        self.assertEqual(seen["blacklist_add"]["sender"], "127.0.0.1")
        self.assertIn("blacklist_clear", seen)
        wait_for(lambda: "127.0.0.1" in self.omd.log_text(), "the log names the address")

    def test_every_cryptographic_failure_is_met_with_the_same_silence(self):
        """Nothing that an attacker sees tells one failure from another."""
        good = json.loads(legacy.seal({"action": "daemon_status"}, SECRET, CLUSTER, "node2"))
        raw = base64.urlsafe_b64decode(good["data"])
        variants = {
            "key": self.bad_packet(),
            "padding": self.variant(good, raw[:-16] + bytes(16)),
            "length": self.variant(good, raw[:-1]),
            "base64": json.dumps(dict(good, data=good["data"][:-3])).encode() + b"\0",
            "zlib": json.dumps(legacy.seal_compressed(b"not zlib at all", SECRET, CLUSTER,
                                                      "node2")).encode() + b"\0",
        }
        for name, data in variants.items():
            with self.subTest(name):
                self.omd.clear_blacklist()
                self.assertEqual(self.send(data, False), b"")
                self.assertEqual(self.count(), 1)
        self.omd.clear_blacklist()

    @staticmethod
    def variant(envelope, data):
        return json.dumps(dict(envelope, data=base64.urlsafe_b64encode(data).decode())
                          ).encode() + b"\0"


if __name__ == "__main__":
    unittest.main()
