#!/usr/bin/python3
"""Empty packets and `dequeue_actions`: anyone may send them, so one run at a time, coalesced."""

import os
import socket
import stat
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import OmdTestCase, read_bytes, wait_for  # noqa: E402

SCRIPT = """#!/bin/sh
# Writes down begin and end of each run; runs until it is let go.
cd %(folder)s || exit 1
if ! mkdir running 2> /dev/null; then echo overlap >> journal; fi
echo "begin $*" >> journal
while [ -e hold ]; do sleep 0.02; done
echo end >> journal
rmdir running
"""


class DequeueTest(OmdTestCase):
    OMD = {}

    @classmethod
    def prepare(cls, omd):
        cls.folder = os.path.join(omd.root, "dequeue")
        os.makedirs(cls.folder)
        script = os.path.join(cls.folder, "run me.sh")
        with open(script, "w", encoding="ascii") as stream:
            stream.write(SCRIPT % {"folder": cls.folder})
        os.chmod(script, stat.S_IRWXU)
        # Words as a shell splits them: the path has a blank.
        omd.node_conf["node"] = {"dequeue_actions_command": '"%s" one "two three"' % script}
        omd.write_node_conf()

    def journal(self):
        lines = read_bytes(os.path.join(self.folder, "journal")).decode().splitlines()
        self.assertNotIn("overlap", lines)
        return lines

    def runs(self, word):
        return sum(line.startswith(word) for line in self.journal())

    def hold(self, held):
        path = os.path.join(self.folder, "hold")
        if held:
            with open(path, "w", encoding="ascii"):
                pass
        elif os.path.exists(path):
            os.unlink(path)

    def setUp(self):
        self.hold(False)
        self.wait_quiet()
        self.before = self.runs("begin")

    def tearDown(self):
        self.hold(False)

    def wait_quiet(self):
        wait_for(lambda: not os.path.exists(os.path.join(self.folder, "running"))
                 and self.runs("begin") == self.runs("end"), "nothing runs")

    def ask(self, data=b"", local=False):
        """One magic packet; the server closes without a byte."""
        client = self.omd.local if local else self.omd.packet()
        with client.connect() as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(sock.recv(100), b"")

    def wait_runs(self, count):
        wait_for(lambda: self.runs("end") == self.before + count, lambda: "%d runs; journal %s" % (
            count, self.journal()))
        self.assertEqual(self.runs("begin"), self.before + count)

    def test_each_form_runs_the_command_with_its_words(self):
        forms = ((b"", False), (b"dequeue_actions", False), (b"dequeue_actions", True))
        for number, (data, local) in enumerate(forms, 1):
            self.ask(data, local)
            self.wait_runs(number)
        self.assertIn("begin one two three", self.journal())

    def test_any_number_of_requests_during_a_run_cause_one_more(self):
        self.hold(True)
        self.ask()
        wait_for(lambda: self.runs("begin") == self.before + 1, "the first runs")
        for number in range(25):
            self.ask(b"dequeue_actions" if number % 2 else b"")
        self.hold(False)
        self.wait_runs(2)
        # Nothing is left over: the next request is the third run, not the fourth.
        self.ask()
        self.wait_runs(3)

    def test_what_only_looks_like_it_runs_nothing(self):
        for data in (b"dequeue_actions\0", b"\0", b"\0\0\0", b"dequeue_actions2", b"dequeue_action",
                     b" ", b"null\0"):
            with self.omd.packet().connect() as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(sock.recv(100), b"", data)
        # Order is kept: had one of them been taken, there would be two runs now.
        self.ask()
        self.wait_runs(1)

    def test_magic_packets_are_not_counted_as_invalid(self):
        self.omd.clear_blacklist()
        for _ in range(8):
            self.ask()
        self.assertEqual(self.omd.blacklist(), {})
        self.wait_quiet()


class NotForStrangersTest(OmdTestCase):
    def test_where_the_list_or_the_mac_keeps_strangers_out_it_runs_for_none(self):
        for compat, taken in (({"actions": "read"}, 0), ({"actions": "daemon_status join"}, 0),
                              ({"require_mac": "true"}, 0), ({"actions": "dequeue_actions"}, 3)):
            with self.subTest(compat):
                omd = self.start_omd(node_conf={
                    "compat": compat, "node": {"dequeue_actions_command": "/bin/true"}})
                for data in (b"", b"dequeue_actions"):
                    self.assertEqual(omd.packet().raw(data, half_close=True), b"")
                # On the local socket it is root who asks.
                self.assertEqual(omd.local.raw(b"dequeue_actions", half_close=True), b"")
                counters = omd.counters()
                self.assertEqual(counters["packet.dequeue_actions"], taken or 1)
                self.assertEqual(counters["packet.actions_refused"], 0 if taken else 2)


class CommandMissingTest(OmdTestCase):
    def test_a_missing_command_is_logged_and_counted(self):
        omd = self.start_omd(node_conf={
            "node": {"dequeue_actions_command": "/nowhere/at-all dequeue"}})
        before = omd.counters()
        with omd.packet().connect() as sock:
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(sock.recv(10), b"")
        wait_for(lambda: "/nowhere/at-all" in omd.log_text(), "the log names the command")

        def counted():
            after = omd.counters()
            return [name for name in after
                    if "dequeue" in name and after[name] > before.get(name, 0)]

        wait_for(counted, lambda: "it is counted: %s" % omd.counters())
        self.assertEqual(omd.packet().request("daemon_blacklist_status")["status"], 0)

    def test_a_failing_command_is_logged_and_the_next_request_runs_again(self):
        omd = self.start_omd(prepare=lambda omd: (
            omd.node_conf.update(node={"dequeue_actions_command":
                                       "/bin/sh -c 'echo x >> %s/journal; exit 3'" % omd.root}),
            omd.write_node_conf()))
        for number in (1, 2):
            with omd.packet().connect() as sock:
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(sock.recv(10), b"")
            wait_for(lambda number=number: read_bytes(
                os.path.join(omd.root, "journal")).count(b"x") == number, "run %d" % number)
        wait_for(lambda: "dequeue" in omd.log_text(), "the log tells")


if __name__ == "__main__":
    unittest.main()
