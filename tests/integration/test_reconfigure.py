#!/usr/bin/python3
"""Changes of node.conf and cluster.conf while the daemon runs."""

import os
import socket
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import (CLUSTER, SECRET, OmdTestCase, free_port, grpc, legacy, wait_for)  # noqa: E402


def answers(client):
    """Whether a client's request is answered with success."""
    try:
        reply = client.request("daemon_blacklist_status")
    except (OSError, legacy.BrokenReply):
        return False
    return reply is not None and reply["status"] == 0


class Watch:
    """A status stream that has caught up; events() yields what happens from then on."""

    def __init__(self, omd):
        self.call = omd.grpc.stream("DaemonService.WatchStatus")
        for message in self.call:
            if message.WhichOneof("kind") == "state_end":
                break

    def wait_event(self, event_id):
        for message in self.call:
            for event in message.change.events:
                if event.id == event_id:
                    return event
        raise AssertionError("the stream ended without %s" % event_id)

    def close(self):
        self.call.cancel()


class ReconfigureTest(OmdTestCase):
    OMD = {}

    def tearDown(self):
        self.omd.node_conf["listener"]["port"] = self.omd.port
        self.omd.write_node_conf()
        self.omd.write_cluster_conf()

        def as_before():
            self.omd.clear_blacklist()
            return answers(self.omd.packet())

        wait_for(as_before, "everything is as before")

    def test_touching_either_file_is_an_event(self):
        for path in (self.omd.node_conf_path, self.omd.cluster_conf_path):
            watch = Watch(self.omd)
            self.omd.touch(path)
            event = watch.wait_event("node_config_change")
            self.assertEqual(event.node, "node1")
            watch.close()

    def test_a_changed_port_moves_the_listener(self):
        new = free_port()
        self.omd.node_conf["listener"]["port"] = new
        self.omd.write_node_conf()
        wait_for(lambda: answers(self.omd.packet(port=new)), "the new port answers")

        def closed():
            try:
                socket.create_connection(("127.0.0.1", self.omd.port), 5).close()
            except ConnectionRefusedError:
                return True
            return False

        wait_for(closed, "the old port is closed")
        self.assertEqual(self.omd.status()["listener"]["config"]["port"], new)
        threads = {item.id: item for item in self.omd.grpc.call("DaemonService.ListThreads").threads}
        self.assertEqual(list(threads["listener"].endpoints), ["127.0.0.1:%d" % new])

    def test_a_request_in_flight_is_finished_when_the_port_moves(self):
        client = self.omd.packet()
        data = client.encode({"action": "daemon_status"}) + b"\0"
        new = free_port()
        with client.connect() as sock:
            sock.sendall(data[:-1])
            self.omd.node_conf["listener"]["port"] = new
            self.omd.write_node_conf()
            wait_for(lambda: answers(self.omd.packet(port=new)), "the new port answers")
            sock.sendall(data[-1:])
            raw = legacy.read_reply(legacy.SocketSource(sock), 60)
        self.assertEqual(client.decode(raw.rstrip(b"\0"))["cluster"]["name"], CLUSTER)

    def test_a_change_without_effect_on_the_listener_leaves_it_alone(self):
        created = self.omd.status()["listener"]["created"]
        with self.omd.packet().connect() as sock:
            watch = Watch(self.omd)
            self.omd.node_conf["labels"] = {"colour": "blue"}
            self.omd.write_node_conf()
            watch.wait_event("node_config_change")
            watch.close()
            wait_for(lambda: self.omd.status()["monitor"]["nodes"]["node1"]["labels"] == {
                "colour": "blue"}, "the label is published")
            client = self.omd.packet()
            sock.sendall(client.encode({"action": "daemon_blacklist_status"}) + b"\0")
            raw = legacy.read_reply(legacy.SocketSource(sock), 60)
            self.assertEqual(client.decode(raw.rstrip(b"\0"))["status"], 0)
        self.assertEqual(self.omd.status()["listener"]["created"], created)

    def alerts(self):
        return " ".join(self.omd.grpc.call("DaemonService.GetStatus").daemon.alerts)

    def test_a_broken_file_keeps_the_last_good_configuration_and_says_so(self):
        text = self.omd.conf_text(self.omd.node_conf)
        before = self.omd.counters()
        for broken in ("[listener\nport = 1\n", "[listener]\nport = nonsense\n",
                       "[listener]\nport = 70000\n"):
            with self.subTest(broken):
                self.omd.write_node_conf(broken)
                wait_for(lambda: "node.conf" in self.alerts(), "an alert names the file")
                self.assertTrue(answers(self.omd.packet()))
                self.assertEqual(self.omd.status()["listener"]["config"]["port"], self.omd.port)
                wait_for(lambda: "node.conf" in self.omd.log_text(), "the log names the file")
                self.omd.write_node_conf(text)
                wait_for(lambda: "node.conf" not in self.alerts(), "the alert is gone")
        after = self.omd.counters()
        grown = [name for name in after
                 if "config" in name and after[name] >= before.get(name, 0) + 3]
        self.assertTrue(grown, "no counter of the configuration grew: %s" % after)

    def test_an_error_names_file_line_keyword_value_and_what_was_expected(self):
        self.omd.write_node_conf("[listener]\naddr = 127.0.0.1\nport = nonsense\n")
        alert = wait_for(lambda: "nonsense" in self.alerts() and self.alerts(), "an alert")
        for word in ("node.conf", "3", "listener.port", "nonsense"):
            self.assertIn(word, alert)

    def test_a_new_secret_is_used_at_once(self):
        other = SECRET[::-1]
        self.omd.write_cluster_conf(self.omd.conf_text(self.omd.cluster_conf).replace(SECRET, other))

        def opens():
            self.omd.clear_blacklist()  # Asking too early is an invalid packet.
            return answers(self.omd.packet(secret=other))

        wait_for(opens, "the new secret opens")
        self.omd.clear_blacklist()
        self.assertIsNone(self.omd.packet().request("daemon_blacklist_status"))
        self.omd.clear_blacklist()

    def test_a_port_that_is_taken_is_an_alert_and_is_retried(self):
        taken = free_port()
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", taken))
            holder.listen()
            self.omd.node_conf["listener"]["port"] = taken
            self.omd.write_node_conf()

            def alert():
                reply = self.omd.grpc.call("DaemonService.GetStatus")
                texts = list(reply.daemon.alerts)
                for thread in reply.threads:
                    texts += thread.alerts
                return str(taken) in " ".join(texts)

            wait_for(alert, "an alert names the port")
            self.assertEqual(self.omd.local.request("daemon_blacklist_status")["status"], 0)
        wait_for(lambda: answers(self.omd.packet(port=taken)), "bound once it was free")
        wait_for(lambda: not alert(), "the alert is gone")

    def test_omctl_node_set_moves_the_port_and_keeps_comments(self):
        new = free_port()
        self.omd.write_node_conf(
            "# of the operator\n" + self.omd.conf_text(self.omd.node_conf))
        self.omd.omctl("node", "set", "--param", "listener.port", "--value", str(new), check=0)
        wait_for(lambda: answers(self.omd.packet(port=new)), "the new port answers")
        with open(self.omd.node_conf_path, encoding="utf-8") as stream:
            text = stream.read()
        self.assertIn("# of the operator", text)
        self.assertRegex(text, r"(?m)^port\s*=\s*%d$" % new)
        done = self.omd.omctl("node", "get", "--param", "listener.port", check=0)
        self.assertEqual(done.stdout.strip(), str(new))

    def test_a_value_that_does_not_fit_is_refused_and_nothing_is_written(self):
        with open(self.omd.node_conf_path, encoding="utf-8") as stream:
            before = stream.read()
        done = self.omd.omctl("node", "set", "--param", "listener.port", "--value", "nonsense")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("listener.port", done.stderr)
        self.assertIn("nonsense", done.stderr)
        error = self.assert_rpc_error(
            grpc.StatusCode.INVALID_ARGUMENT, self.omd.grpc.call, "ConfigService.UpdateConfig",
            target={"node": True}, set=[{"name": "listener.port", "value": "70000"}])
        self.assertIn("70000", error.text)
        with open(self.omd.node_conf_path, encoding="utf-8") as stream:
            self.assertEqual(stream.read(), before)

    def test_an_update_of_an_old_revision_is_refused(self):
        call = self.omd.grpc.call
        revision = call("ConfigService.GetConfig", target={"node": True}).revision
        reply = call("ConfigService.UpdateConfig", target={"node": True},
                     set=[{"name": "labels.shape", "value": "round"}], expected_revision=revision)
        self.assertTrue(reply.changed)
        self.assert_rpc_error(grpc.StatusCode.ABORTED, call, "ConfigService.UpdateConfig",
                              target={"node": True}, expected_revision=revision,
                              set=[{"name": "labels.shape", "value": "square"}],
                              reason="REVISION_MISMATCH")
        values = call("ConfigService.GetKeywords", target={"node": True}, evaluate=True,
                      names=["labels.shape", "node.env"]).values
        self.assertEqual((values[0].value, values[0].is_default), ("round", False))
        self.assertEqual((values[1].value, values[1].is_default), ("TST", True))
        call("ConfigService.UpdateConfig", target={"node": True}, unset=["labels.shape"])
        text = call("ConfigService.GetConfig", target={"node": True}).text
        self.assertNotIn("shape", text)


class AddressTest(OmdTestCase):
    def test_several_addresses_and_a_name_are_listened_on(self):
        omd = self.start_omd(node_conf={"listener": {"addr": "127.0.0.1 127.0.0.5"}})
        for address in ("127.0.0.1", "127.0.0.5"):
            client = omd.packet()
            client.host = address
            wait_for(lambda client=client: answers(client), "%s answers" % address)
        omd = self.start_omd(node_conf={"listener": {"addr": "localhost"}})
        wait_for(lambda: answers(omd.packet()), "localhost answers")

    def test_an_address_that_is_not_there_yet_is_an_error_in_the_status(self):
        omd = self.start_omd(node_conf={"listener": {"addr": "192.0.2.7"}})
        self.assertEqual(omd.local.request("daemon_blacklist_status")["status"], 0)

        def told():
            reply = omd.grpc.call("DaemonService.GetStatus")
            texts = list(reply.daemon.alerts)
            for thread in reply.threads:
                texts += thread.alerts
            return "192.0.2.7" in " ".join(texts)

        wait_for(told, "the status tells")
        omd.node_conf["listener"]["addr"] = "127.0.0.1"
        omd.write_node_conf()
        wait_for(lambda: answers(omd.packet()), "the address that is there answers")


if __name__ == "__main__":
    unittest.main()
