#!/usr/bin/python3
"""The audit log of the real daemon: one line a change, before its answer, through every door."""

import glob
import json
import os
import resource
import shutil
import stat
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import grpc_api  # noqa: E402
from harness import SECRET, OmdTestCase, grpc, wait_for  # noqa: E402

CODE = grpc.StatusCode


def audit_lines(omd, pattern="audit.log*"):
    """All whole lines, oldest file first."""
    def age(path):
        end = path.rpartition(".")[2]
        return -int(end) if end.isdigit() else 0
    lines = []
    for path in sorted(glob.glob(os.path.join(omd.log, pattern)), key=age):
        with open(path, encoding="utf-8") as stream:
            lines += [json.loads(line) for line in stream]
    return lines


class AuditTest(OmdTestCase):
    def last(self, omd, operation):
        found = [line for line in audit_lines(omd) if line.get("operation", "").endswith(operation)]
        self.assertTrue(found, "no line of %s in %s" % (operation, audit_lines(omd)))
        return found[-1]

    def test_each_change_of_each_door_is_one_line_when_its_answer_is_there(self):
        omd = self.start_omd()
        omd.write_service("svc1", {})
        wait_for(lambda: any(item.path == "svc1" for item in
                             omd.grpc.call("DaemonService.GetStatus").objects), "svc1 is known")
        before = len(audit_lines(omd))
        omd.grpc.call("MonitorService.SetInstanceMonitor", path="svc1", global_expect="frozen",
                      request_id="r-1")
        line = self.last(omd, "SetInstanceMonitor")
        self.assertEqual(
            {key: line.get(key) for key in ("node", "caller", "transport", "target", "words",
                                            "request_id", "result")},
            {"node": "node1", "caller": "root", "transport": "grpc-unix", "target": "svc1",
             "words": "global_expect=frozen", "request_id": "r-1", "result": "ok"})
        # The same over both packet sockets.
        for client, transport in ((omd.local, "packet-unix"), (omd.packet(), "packet")):
            reply = client.request("set_service_monitor",
                                   {"svcpath": "svc1", "global_expect": "thawed"})
            self.assertEqual(reply.get("status"), 0, reply)
            line = self.last(omd, "SetInstanceMonitor")
            self.assertEqual((line["transport"], line["words"], line["result"]),
                             (transport, "global_expect=thawed", "ok"))
        self.assertEqual(line["claimed_node"], "node1")
        # What is refused for what it says, and what is asked by somebody who may not.
        self.assert_rpc_error(CODE.NOT_FOUND, omd.grpc.call, "DaemonService.StopThread",
                              thread_id="nothing")
        self.assertEqual(self.last(omd, "StopThread")["result"], "UNKNOWN_THREAD")
        guest = omd.guest()
        self.addCleanup(guest.close)
        self.assert_rpc_error(CODE.PERMISSION_DENIED, guest.call, "DaemonService.StopThread",
                              thread_id="monitor")
        line = self.last(omd, "StopThread")
        self.assertEqual((line["caller"], line["result"], line["code"]),
                         ("guest", "ROLE_MISSING", "PERMISSION_DENIED"))
        # Values of configurations are in no line; names are.
        omd.grpc.call("ConfigService.UpdateConfig", target={"object_path": "svc1"},
                      set=[{"name": "DEFAULT.comment", "value": "hush-hush-value"}])
        self.assertEqual(self.last(omd, "UpdateConfig")["words"], "DEFAULT.comment")
        # Reads are none, and nothing else has been written.
        omd.grpc.call("DaemonService.GetStatus")
        omd.status()
        self.assertEqual(len(audit_lines(omd)) - before, 6)
        with open(os.path.join(omd.log, "audit.log"), encoding="utf-8") as stream:
            text = stream.read()
        for secret in (SECRET, "hush-hush-value"):
            self.assertNotIn(secret, text)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(omd.log, "audit.log")).st_mode), 0o600)

    def test_a_streamed_command_has_a_line_when_it_begins_and_one_when_it_ends(self):
        omd = self.start_omd(node_conf={"crm": {"node_command": "sh -c"}})
        for message in omd.grpc.stream("ActionService.StreamAction",
                                       command={"arguments": [b"echo out; exit 3"]}):
            if message.HasField("action"):
                lines = [line for line in audit_lines(omd)
                         if line["operation"].endswith("StreamAction")]
                self.assertEqual([line["result"] for line in lines][:1], ["ok"])
        wait_for(lambda: [line["result"] for line in audit_lines(omd)
                          if line["operation"].endswith("StreamAction")] == ["ok", "exited 3"],
                 lambda: "a line of the end; the log: %s" % audit_lines(omd))

    def test_strangers_cannot_fill_the_log(self):
        omd = self.start_omd()
        guest = omd.guest()
        self.addCleanup(guest.close)
        for _ in range(40):
            self.assert_rpc_error(CODE.PERMISSION_DENIED, guest.call, "DaemonService.StopDaemon")
        self.assertEqual(len(audit_lines(omd)), 10)
        self.assertEqual(omd.counters()["audit.suppressed"], 30)
        # Root is heard all the same.
        omd.grpc.call("BlacklistService.ClearEntries")
        self.assertEqual(len(audit_lines(omd)), 11)

    def test_who_cannot_show_who_he_is_gets_a_line_too(self):
        omd = self.start_omd()
        secret = "Z" * 32

        def line(operation, **wanted):
            wanted["operation"] = operation
            wait_for(lambda: [line for line in audit_lines(omd) if wanted.items() <= line.items()],
                     lambda: "%s is among %s" % (wanted, audit_lines(omd)))

        self.assertIsNone(omd.packet(secret=secret).request("daemon_status"))
        line("packet", caller="guest", address="127.0.0.1", transport="packet",
             words="does not decrypt", result="CREDENTIAL_REFUSED")
        self.assertIsNone(omd.packet(nodename="intruder").request("daemon_status"))
        line("packet", words="sender is no cluster node")
        token = "ey.made-up-by-a-stranger.x"
        api = grpc_api.Api("unix:" + omd.grpc_socket, token=token)
        self.addCleanup(api.close)
        self.assert_rpc_error(CODE.UNAUTHENTICATED, api.call, "DaemonService.GetStatus")
        line("rpc", caller="guest", code="UNAUTHENTICATED", result="CREDENTIAL_REFUSED")
        text = "".join(json.dumps(line) for line in audit_lines(omd))
        for hidden in (secret, token, "intruder"):
            self.assertNotIn(hidden, text)

    def test_messages_that_are_no_requests_cannot_fill_it(self):
        omd = self.start_omd()
        for _ in range(40):
            self.assertEqual(omd.packet().raw(b"no envelope\0"), b"")
        wait_for(lambda: omd.counters()["audit.suppressed"] == 30, "30 get no line")
        self.assertEqual(len(audit_lines(omd)), 10)

    def test_nothing_is_lost_or_torn_by_rotation_and_sigkill(self):
        omd = self.start_omd(node_conf={"audit": {"max_size": "64k", "keep": "1000"}})
        done = []

        def change(number):
            api = grpc_api.Api("unix:" + omd.grpc_socket)
            try:
                for count in range(10000):
                    sender = "10.%d.%d.%d" % (number, count // 250, count % 250)
                    api.call("BlacklistService.ClearEntries", sender=sender)
                    done.append(sender)
            except grpc.RpcError:
                pass
            finally:
                api.close()

        threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(done) > 1500, "1500 changes were answered")
        omd.kill()
        for thread in threads:
            thread.join()
        acknowledged = list(done)
        omd.start()
        omd.grpc.call("BlacklistService.ClearEntries", sender="192.0.2.1")
        targets = []
        files = glob.glob(os.path.join(omd.log, "audit.log*"))
        self.assertGreater(len(files), 3)
        for path in files:
            self.assertLessEqual(os.path.getsize(path), 64 << 10)
            with open(path, encoding="utf-8") as stream:
                for line in stream:
                    self.assertTrue(line.endswith("\n"))
                    try:
                        targets.append(json.loads(line)["target"])
                    except ValueError:
                        pass  # What the kill has left of a line.
        self.assertEqual(set(acknowledged) - set(targets), set())
        self.assertEqual(len(targets), len(set(targets)))
        self.assertEqual(self.last_target(omd), "192.0.2.1")

    @staticmethod
    def last_target(omd):
        with open(os.path.join(omd.log, "audit.log"), encoding="utf-8") as stream:
            return json.loads(stream.read().splitlines()[-1])["target"]

    def put_in_the_way(self, omd):
        """Makes audit.log impossible to write."""
        path = os.path.join(omd.log, "audit.log")
        os.rename(path, path + ".aside")
        os.mkdir(path)
        return path

    def test_with_continue_changes_go_on_and_their_lines_come_later(self):
        omd = self.start_omd()
        omd.grpc.call("BlacklistService.ClearEntries", sender="10.0.0.1")
        path = self.put_in_the_way(omd)
        omd.grpc.call("BlacklistService.ClearEntries", sender="10.0.0.2")
        wait_for(lambda: any("audit log" in alert for alert in self.alerts(omd)),
                 "an alert tells of it")
        self.assertGreater(omd.counters()["audit.write_errors"], 0)
        os.rmdir(path)
        wait_for(lambda: os.path.isfile(path) and self.last_target(omd) == "10.0.0.2",
                 "the line has come")
        wait_for(lambda: not any("audit log" in alert for alert in self.alerts(omd)),
                 "the alert is gone")
        self.assertEqual(omd.counters()["audit.lost"], 0)
        self.assertIn("OM-AUDIT-FAILED", omd.log_text())

    @staticmethod
    def alerts(omd):
        return list(omd.grpc.call("DaemonService.GetStatus").daemon.alerts)

    def test_with_refuse_nothing_is_changed_until_lines_can_be_written_again(self):
        omd = self.start_omd(node_conf={"audit": {"on_failure": "refuse"}})
        omd.write_service("svc1", {})
        wait_for(lambda: any(item.path == "svc1" for item in
                             omd.grpc.call("DaemonService.GetStatus").objects), "svc1 is known")
        omd.grpc.call("BlacklistService.ClearEntries", sender="10.0.0.1")
        path = self.put_in_the_way(omd)

        def refused():
            try:
                omd.grpc.call("BlacklistService.ClearEntries", sender="10.0.0.2")
            except grpc.RpcError as error:
                self.assertEqual(error.code(), CODE.UNAVAILABLE)
                return True
            return False  # The first that finds out has been made; its line comes later.

        wait_for(refused, "a change is refused")
        config = os.path.join(omd.etc, "svc1.conf")
        with open(config, "rb") as stream:
            before = stream.read()
        self.assert_rpc_error(CODE.UNAVAILABLE, omd.grpc.call, "ConfigService.UpdateConfig",
                              target={"object_path": "svc1"}, reason="AUDIT_UNAVAILABLE",
                              set=[{"name": "DEFAULT.comment", "value": "x"}])
        reply = omd.local.request("set_service_monitor",
                                  {"svcpath": "svc1", "global_expect": "frozen"})
        self.assertNotEqual(reply.get("status"), 0, reply)
        with open(config, "rb") as stream:
            self.assertEqual(stream.read(), before)
        omd.grpc.call("DaemonService.GetStatus")  # Reads go on.
        os.rmdir(path)

        def accepted():
            try:
                omd.grpc.call("BlacklistService.ClearEntries", sender="10.0.0.3")
                return True
            except grpc.RpcError:
                return False

        wait_for(accepted, "changes are taken again")
        self.assertEqual(self.last_target(omd), "10.0.0.3")
        self.assertGreater(omd.counters()["audit.refused"], 0)

    def test_with_refuse_a_file_at_its_limit_gets_a_line_of_every_change_that_is_made(self):
        omd = self.start_omd(node_conf={"audit": {"on_failure": "refuse"}})
        made = []
        resource.prlimit(omd.pid, resource.RLIMIT_FSIZE, (256 << 10, resource.RLIM_INFINITY))

        def full():
            try:
                for _ in range(50):
                    sender = "10.0.%d.%d" % (len(made) // 250, len(made) % 250)
                    omd.grpc.call("BlacklistService.ClearEntries", sender=sender)
                    made.append(sender)
            except grpc.RpcError as error:
                self.assertEqual(error.code(), CODE.UNAVAILABLE)
                return True
            return False

        wait_for(full, "the file is full", interval=0)
        self.assertEqual([line["target"] for line in audit_lines(omd)], made)
        self.assertEqual(omd.counters()["audit.lost"], 0)
        resource.prlimit(omd.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_for(lambda: not full(), "changes are taken again")

    def test_logrotate_may_move_the_file_and_settings_change_while_it_runs(self):
        omd = self.start_omd()
        path = os.path.join(omd.log, "audit.log")
        omd.grpc.call("BlacklistService.ClearEntries", sender="10.0.0.1")
        shutil.move(path, path + ".moved")
        omd.grpc.call("BlacklistService.ClearEntries", sender="10.0.0.2")
        self.assertEqual(self.last_target(omd), "10.0.0.2")
        omd.node_conf["audit"] = {"on_failure": "refuse", "sync": "true"}
        omd.write_node_conf()
        # Room ahead of the lines is taken only with refuse.
        wait_for(lambda: os.stat(path).st_blocks * 512 > 1 << 20, "room has been taken")
        omd.grpc.call("BlacklistService.ClearEntries", sender="10.0.0.3")
        self.assertEqual(self.last_target(omd), "10.0.0.3")


if __name__ == "__main__":
    unittest.main()
