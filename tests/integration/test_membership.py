#!/usr/bin/python3
"""Joining and leaving through both doors, the MAC of packets, and the change of the cluster's secret.

The MAC is computed here from its description, not by the code of the daemon.
"""

import base64
import hashlib
import hmac
import json
import os
import struct
import subprocess
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import (SECRET, OmdTestCase, golden, grpc, legacy, wait_for)  # noqa: E402

NEW_SECRET = "N" * 32
STATUS = {"status": 0, "data": {}}


def mac_key(secret):
    """HKDF-SHA256 (RFC 5869) without salt."""
    extracted = hmac.new(b"\0" * 32, secret.encode()[:32], hashlib.sha256).digest()
    return hmac.new(extracted, b"om packet mac v1\x01", hashlib.sha256).digest()


def mac_of(envelope, secret):
    framed = b"".join(struct.pack(">Q", len(field)) + field for field in (
        envelope[name].encode() for name in ("nodename", "clustername", "iv", "data")))
    return base64.urlsafe_b64encode(
        hmac.new(mac_key(secret), framed, hashlib.sha256).digest()).decode()


def read_text(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


class MembershipCase(OmdTestCase):
    def nodes_line(self, omd):
        for line in read_text(omd.cluster_conf_path).splitlines():
            if line.startswith("nodes = "):
                return line[len("nodes = "):].split()
        return None

    def sealed(self, omd, request, secret=SECRET, nodename="node2", with_mac=True, change=None):
        """The reply envelope and the reply; (None, None) for silence."""
        envelope = json.loads(legacy.seal(request, secret, omd.cluster, nodename))
        if with_mac:
            envelope["hmac"] = mac_of(envelope, secret)
        envelope.update(change or {})
        raw = omd.packet().raw(json.dumps(envelope).encode() + b"\0").rstrip(b"\0")
        if not raw:
            return None, None
        return json.loads(raw), legacy.open_sealed(raw, secret, omd.cluster)


class JoinTest(MembershipCase):
    def test_the_recorded_exchanges_of_joining_and_leaving(self):
        omd = self.start_omd(nodes=("node1", "node2"),
                             node_conf={"node": {"env": "TST"}},
                             cluster_conf={"hb#1": {"type": "unicast", "addr@node1": "127.0.0.1"}})
        omd.replace_file(omd.cluster_conf_path,
                         "# kept\n" + read_text(omd.cluster_conf_path))
        for name, members in (("1.9-join.json", ["node1", "node2"]),
                              ("1.9-join-3rd-1.json", ["node1", "node2", "node3"]),
                              ("1.9-rejoin-1.json", ["node1", "node2", "node3"]),
                              ("1.9-leave-2.json", ["node1", "node2"]),
                              ("1.9-leave-3.json", ["node1", "node2"])):
            with self.subTest(name):
                record = golden(os.path.join("transcripts", name))
                sender = record["envelope"]
                reply = omd.packet(sender["nodename"], sender["clustername"]).request_value(
                    record["request"])
                self.assertEqual(self.nodes_line(omd), members)
                recorded = record["replies"][0]
                if record["request"]["action"] == "leave":
                    self.assertEqual(reply, recorded)
                    continue
                self.assertEqual(reply["data"]["node"], recorded["data"]["node"])
                cluster = reply["data"]["cluster"]
                self.assertAlmostEqual(cluster["mtime"], os.stat(omd.cluster_conf_path).st_mtime,
                                       places=3)
                self.assertEqual(cluster["data"]["metadata"],
                                 recorded["data"]["cluster"]["data"]["metadata"])
                self.assertEqual(cluster["data"]["cluster"]["nodes"], " ".join(members))
                self.assertEqual(cluster["data"]["cluster"]["secret"], SECRET)
                self.assertEqual(cluster["data"]["hb#1"],
                                 {"type": "unicast", "addr@node1": "127.0.0.1"})
        self.assertTrue(read_text(omd.cluster_conf_path).startswith("# kept\n"))
        self.assertEqual(os.stat(omd.cluster_conf_path).st_mode & 0o777, 0o600)
        self.assertNotIn(SECRET, omd.log_text())

    def test_who_joined_is_heard_at_once_and_who_left_may_only_leave_again(self):
        omd = self.start_omd()
        self.assertIsNone(omd.packet("node2").request("daemon_blacklist_status"))
        self.assertIsNone(omd.packet("node2").request("join"))
        self.assertEqual(omd.packet("node2", "join").request("join")["status"], 0)
        self.assertEqual(omd.packet("node2").request("daemon_blacklist_status"), STATUS)
        wait_for(lambda: "node2" in omd.status()["cluster"]["nodes"], "the new node is listed")
        self.assertEqual(omd.packet("node2").request("daemon_blacklist_status"), STATUS)
        for _ in range(2):
            self.assertEqual(omd.packet("node2").request("leave"), {"status": 0})
        self.assertIsNone(omd.packet("node2").request("daemon_blacklist_status"))
        wait_for(lambda: "node2" not in omd.status()["cluster"]["nodes"], "the node is gone")
        self.assertEqual(omd.packet("node2").request("leave"), {"status": 0})
        self.assertEqual(omd.blacklist(), {})

    def test_a_wrong_secret_is_an_invalid_message(self):
        omd = self.start_omd()
        for expected in (1, 2):
            self.assertIsNone(omd.packet("node2", "join", "W" * 32).request("join"))
            self.assertEqual(list(omd.blacklist().values()), [expected])
        self.assertEqual(self.nodes_line(omd), ["node1"])

    def test_of_many_at_once_over_both_doors_every_one_counts(self):
        omd = self.start_omd()
        replies = {}

        def over_packets(name):
            replies[name] = omd.packet(name, "join").request("join")["status"] == 0

        def over_grpc(name):
            reply = omd.grpc.call("MembershipService.Join", node=name)
            replies[name] = not reply.already_member

        omd.grpc.call("DaemonService.GetStatus")  # Connected before the threads share it.
        threads = [threading.Thread(target=over_packets if number % 2 else over_grpc,
                                    args=("joiner%d" % number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(replies, {"joiner%d" % number: True for number in range(12)})
        self.assertEqual(sorted(self.nodes_line(omd)), sorted(["node1", *replies]))

    def test_membership_over_grpc(self):
        omd = self.start_omd()
        self.assertFalse(omd.grpc.call("MembershipService.Join", node="node2").already_member)
        self.assertTrue(omd.grpc.call("MembershipService.Join", node="node2").already_member)
        self.assertTrue(omd.grpc.call("MembershipService.Leave", node="node2").was_member)
        self.assertFalse(omd.grpc.call("MembershipService.Leave", node="node2").was_member)
        for function, node in (("Join", "../x"), ("Join", ""), ("Leave", "a b"),
                               ("Leave", "node1")):
            self.assert_rpc_error(grpc.StatusCode.INVALID_ARGUMENT, omd.grpc.call,
                                  "MembershipService." + function, node=node)
        with omd.guest() as guest:
            self.assert_rpc_error(grpc.StatusCode.PERMISSION_DENIED, guest.call,
                                  "MembershipService.Join", node="node2")
        self.assertEqual(self.nodes_line(omd), ["node1"])


class EnvelopeTest(MembershipCase):
    def test_a_mac_is_checked_first_and_answered_with_one(self):
        omd = self.start_omd(nodes=("node1", "node2"))
        request = {"action": "daemon_blacklist_status"}
        envelope, reply = self.sealed(omd, request)
        self.assertEqual(reply, STATUS)
        self.assertEqual(envelope["hmac"], mac_of(envelope, SECRET))
        envelope, reply = self.sealed(omd, request, with_mac=False)
        self.assertEqual(reply, STATUS)
        self.assertNotIn("hmac", envelope)
        for number, change in enumerate(({"nodename": "node1"}, {"hmac": "A" * 43 + "="},
                                         {"hmac": None}), 1):
            self.assertEqual(self.sealed(omd, request, change=change), (None, None))
            self.assertEqual(list(omd.blacklist().values()), [number])
        omd.clear_blacklist()

    def test_once_it_is_required_packets_without_one_get_silence(self):
        omd = self.start_omd(nodes=("node1", "node2"),
                             node_conf={"compat": {"require_mac": "true"}})
        request = {"action": "daemon_blacklist_status"}
        self.assertEqual(self.sealed(omd, request, with_mac=False), (None, None))
        self.assertEqual(omd.blacklist(), {})
        self.assertEqual(self.sealed(omd, request)[1], STATUS)
        for arguments, code in ((["--mac"], 0), ([], 3)):
            done = subprocess.run(
                [omd.program("om-packet"), "--root", omd.root, "--server",
                 "127.0.0.1:%d" % omd.port, "--nodename", "node2", "--action",
                 "daemon_blacklist_status", *arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                encoding="utf-8", check=False)
            self.assertEqual(done.returncode, code, done)

    def test_the_list_of_actions_holds_for_packets_and_not_for_the_local_root(self):
        omd = self.start_omd(nodes=("node1", "node2"),
                             node_conf={"compat": {"actions": "read set_node_monitor bogus"}})
        client = omd.packet("node2")
        self.assertEqual(client.request("daemon_blacklist_status"), STATUS)
        for _ in range(3):
            self.assertEqual(client.request("daemon_blacklist_clear"), {
                "error": "action daemon_blacklist_clear is not accepted by this node "
                         "(compat.actions)", "status": 1})
        self.assertEqual(client.request("join")["status"], 1)
        self.assertEqual(client.request("node_monitor", {"global_expect": "thawed"})["status"], 0)
        self.assertEqual(omd.local.request("daemon_blacklist_clear"), {"status": 0})
        self.assertEqual(omd.counters()["packet.actions_refused"], 4)
        self.assertEqual(omd.log_text().count("OM-PACKET-ACTION"), 1)
        self.assertIn('"bogus"', omd.log_text())


class RotationTest(MembershipCase):
    """The procedure of deploy/SECURITY.md, step by step."""

    def heard(self, omd, secret):
        return self.sealed(omd, {"action": "daemon_blacklist_status"}, secret)[1] is not None

    def alerts(self, omd):
        return [text for text in omd.grpc.call("DaemonService.GetStatus").daemon.alerts
                if "previous_secret" in text]

    def set_keywords(self, omd, **values):
        omd.grpc.call("ConfigService.UpdateConfig", target={"cluster": True},
                      set=[{"name": "cluster." + name, "value": value}
                           for name, value in values.items() if value],
                      unset=["cluster." + name for name, value in values.items() if not value])

    def test_the_secret_is_changed_without_a_request_lost(self):
        omd = self.start_omd(nodes=("node1", "node2"))
        self.assertTrue(self.heard(omd, SECRET))
        stream = omd.packet("node2").stream("events")
        # 1. Every node accepts the new one besides the old one.
        self.set_keywords(omd, previous_secret=NEW_SECRET)
        wait_for(lambda: self.alerts(omd), "the second secret is in force")
        self.assertIn("not used", self.alerts(omd)[0])
        self.assertTrue(self.heard(omd, NEW_SECRET))
        self.assertTrue(self.heard(omd, SECRET))
        # 2. Every node takes the new one, and still accepts the old one.
        self.set_keywords(omd, secret=NEW_SECRET, previous_secret=SECRET)

        def old_one_is_the_previous():
            used = omd.counters()["packet.previous_secret"]
            self.assertTrue(self.heard(omd, SECRET))
            return omd.counters()["packet.previous_secret"] > used

        wait_for(old_one_is_the_previous, "the secrets have changed places")
        self.assertTrue(self.heard(omd, NEW_SECRET))
        wait_for(lambda: any("last used at" in text and "node2" in text
                             for text in self.alerts(omd)), "the alert tells of the last use")
        self.assertEqual(omd.blacklist(), {})
        # 3. Once it is no longer used, the old one goes.
        self.set_keywords(omd, previous_secret=None)
        wait_for(lambda: not self.alerts(omd), "the alert is gone")
        self.assertFalse(self.heard(omd, SECRET))
        self.assertTrue(self.heard(omd, NEW_SECRET))
        # The connection of before goes on, under the key that it began with.
        omd.clear_blacklist()
        for message in stream.messages(30):
            data = message.get("data")
            if isinstance(data, dict) and data.get("id") == "blacklist_clear":
                break
        stream.close()
        for text in (SECRET, NEW_SECRET):
            self.assertNotIn(text, omd.log_text())

    def test_a_secret_that_gives_no_key_is_refused(self):
        omd = self.start_omd()
        error = self.assert_rpc_error(
            grpc.StatusCode.INVALID_ARGUMENT, omd.grpc.call, "ConfigService.UpdateConfig",
            target={"cluster": True}, set=[{"name": "cluster.previous_secret", "value": "short"}])
        self.assertNotIn("short\"", repr(error))


if __name__ == "__main__":
    unittest.main()
