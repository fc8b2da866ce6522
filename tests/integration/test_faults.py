#!/usr/bin/python3
"""Resource managers that hang, crash, write nonsense and find their disk full.

The instance shows what is known of it, and nothing else waits.
"""

import json
import os
import shutil
import subprocess
import sys
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
SUPPORT = os.path.join(HERE, "..", "support")
sys.path.insert(0, SUPPORT)
import grpc_api  # noqa: E402
from harness import (OmdTestCase, grpc, processes_with, wait_for)  # noqa: E402

FAKE_CRM = os.path.abspath(os.path.join(SUPPORT, "fake_crm.py"))
CRM = {"crm": {"command": "/usr/bin/python3 -B %s" % FAKE_CRM, "timeout": "3",
               "status_timeout": "4"}}


class FaultCase(OmdTestCase):
    @staticmethod
    def prepare_services(omd, names=("good", "bad")):
        os.makedirs(os.path.join(omd.root, "fake"), exist_ok=True)
        for name in names:
            omd.write_service(name, {"DEFAULT": {"lock_timeout": "1"}, "app#1": {}})

    def fake(self, name, suffix):
        return os.path.join(self.omd.root, "fake", name + suffix)

    def set_mode(self, name, **modes):
        with open(self.fake(name, ".mode.new"), "w", encoding="utf-8") as stream:
            json.dump(modes, stream)
        os.replace(self.fake(name, ".mode.new"), self.fake(name, ".mode"))

    def journal(self, name):
        try:
            with open(self.fake(name, ".journal"), encoding="ascii") as stream:
                return stream.read().splitlines()
        except OSError:
            return []

    def order(self, name, value):
        reply = self.omd.local.request("set_service_monitor",
                                       {"svcpath": name, "global_expect": value})
        self.assertEqual(reply["status"], 0, reply)

    def word(self, name):
        return self.omd.instance(name)["monitor"]["status"]

    def evaluate(self, name):
        """Runs a status by hand and says so, as resource managers do."""
        subprocess.run(["/usr/bin/python3", "-B", FAKE_CRM, "-s", name, "status"], check=True,
                       env=dict(self.omd.environment, OM_ROOT=self.omd.root))
        self.omd.local.request("wake_monitor", {"svcpath": name})

    def clear(self, name):
        self.omd.grpc.call("MonitorService.ClearInstance", path=name)

    def wait_word(self, name, word):
        wait_for(lambda: self.word(name) == word,
                 lambda: "%s is %s; it is %s" % (name, word, self.word(name)))

    def wait_known(self):
        for name in ("good", "bad"):
            wait_for(lambda name=name: self.omd.instance(name), "%s is known" % name)

    def good_lives(self):
        """The other service can be started and stopped, whatever goes on."""
        self.order("good", "started")
        self.omd.wait_instance("good", "up")
        self.order("good", "stopped")
        self.omd.wait_instance("good", "down")

    def commands_on(self, name):
        return [process for process in processes_with(self.omd.marker.encode())
                if "fake_crm.py -s %s " % name in process.command + " "]


class ActionFaultTest(FaultCase):
    OMD = {"node_conf": CRM}

    @classmethod
    def prepare(cls, omd):
        cls.prepare_services(omd)

    def setUp(self):
        self.wait_known()
        self.set_mode("bad")
        if self.word("bad") != "idle":
            self.clear("bad")
        if os.path.exists(self.fake("bad", ".up")):
            self.order("bad", "stopped")
        self.omd.wait_instance("bad", "down")
        self.omd.wait_instance("good", "down")

    def test_a_start_that_hangs_is_ended_at_its_limit(self):
        for fault in ("hang", "flood"):
            with self.subTest(fault):
                self.clear("bad")
                self.set_mode("bad", start=fault)
                self.order("bad", "started")
                wait_for(lambda: self.commands_on("bad"), "the start runs")
                self.assertEqual(self.word("bad"), "starting")
                self.good_lives()
                self.wait_word("bad", "start failed")
                self.assertEqual(self.omd.instance("bad")["avail"], "down")
                wait_for(lambda: not self.commands_on("bad"), "the command is gone")

    def test_a_command_that_does_not_heed_sigterm_is_killed(self):
        self.set_mode("bad", start="stubborn")
        self.order("bad", "started")
        self.good_lives()
        self.wait_word("bad", "start failed")
        wait_for(lambda: not self.commands_on("bad"), "the command is gone")

    def test_a_command_that_crashes_has_failed(self):
        for fault in ("crash", "fail"):
            with self.subTest(fault):
                self.clear("bad")
                self.set_mode("bad", start=fault)
                self.order("bad", "started")
                self.wait_word("bad", "start failed")
                self.assertEqual(self.omd.instance("bad")["avail"], "down")
        self.good_lives()
        self.set_mode("bad")
        self.clear("bad")
        self.order("bad", "started")
        self.omd.wait_instance("bad", "up")

    def test_noise_on_its_output_does_not_matter(self):
        self.set_mode("bad", start="noise", stop="noise")
        self.order("bad", "started")
        self.omd.wait_instance("bad", "up")

    def test_a_status_file_that_makes_no_sense_leaves_what_was_known(self):
        self.order("bad", "started")
        self.omd.wait_instance("bad", "up")
        for fault in ("torn", "garbage", "wrong types", "deep", "huge", "no status"):
            with self.subTest(fault):
                self.set_mode("bad", status=fault, stop=fault)
                self.order("bad", "stopped")
                # It was stopped, and nobody can tell.
                self.wait_word("bad", "stop failed")
                self.assertEqual(self.omd.instance("bad")["avail"], "up")
                self.good_lives()
                self.set_mode("bad")
                self.clear("bad")
                self.evaluate("bad")
                self.omd.wait_instance("bad", "down")
                self.order("bad", "started")
                self.omd.wait_instance("bad", "up")


class EvaluationFaultTest(FaultCase):
    def start_with(self, **modes):
        def prepare(omd):
            self.omd = omd
            self.prepare_services(omd)
            self.set_mode("bad", **modes)
        return self.start_omd(node_conf=CRM, prepare=prepare)

    def test_an_evaluation_that_hangs_at_the_start_holds_up_nobody_for_long(self):
        omd = self.start_with(status="stubborn")
        omd.wait_idle()
        self.good_lives()
        # Once it can be evaluated again it takes part again.
        self.set_mode("bad")
        for process in self.commands_on("bad"):
            os.kill(process.pid, 9)
        omd.wait_instance("bad", "down")
        self.order("bad", "started")
        omd.wait_instance("bad", "up")

    def test_evaluations_that_crash_or_write_nonsense_leave_the_others_alone(self):
        for fault in ("crash", "garbage"):
            omd = self.start_with(status=fault)
            omd.wait_idle()
            self.good_lives()
            self.assertIsNone(omd.instance("bad").get("avail"))
            omd.stop()

    def test_a_resource_manager_that_is_not_there_is_told_of(self):
        def prepare(omd):
            self.omd = omd
            self.prepare_services(omd)
        omd = self.start_omd(node_conf={"crm": {"command": "/nonexistent/crm"}}, prepare=prepare)
        omd.wait_idle()
        self.assertIn("/nonexistent/crm", omd.log_text())
        self.assertIsNone(omd.instance("bad").get("avail"))


class FullDiskTest(FaultCase):
    def setUp(self):
        super().setUp()
        self.mounts = []
        self.addCleanup(self.unmount)

    def unmount(self):
        for path in self.mounts:
            subprocess.run(["umount", "-l", path], check=False)
        if self.mounts:
            shutil.rmtree(self.omd.root, ignore_errors=True)

    def mount(self, path, size):
        """A small file system; without the right to mount one there is no disk to fill."""
        os.makedirs(path, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "omd-test", path],
                              stderr=subprocess.PIPE, check=False, encoding="utf-8")
        if done.returncode != 0:
            self.skipTest("cannot mount a tmpfs: %s" % done.stderr.strip())
        self.mounts.append(path)

    @staticmethod
    def fill(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            while os.write(descriptor, b"x" * 512):
                pass
        except OSError:
            pass
        finally:
            os.close(descriptor)

    def test_an_instance_whose_disk_is_full_keeps_what_was_known(self):
        def prepare(omd):
            self.omd = omd
            self.prepare_services(omd)
            self.mount(os.path.join(omd.var, "svc", "bad"), "64k")
        omd = self.start_omd(node_conf=CRM, prepare=prepare)
        omd.wait_instance("bad", "down")
        filler = os.path.join(omd.var, "svc", "bad", "filler")
        self.fill(filler)
        self.order("bad", "started")
        self.wait_word("bad", "start failed")
        self.assertEqual(omd.instance("bad")["avail"], "down")
        self.good_lives()
        os.unlink(filler)
        self.clear("bad")
        self.order("bad", "started")
        omd.wait_instance("bad", "up")

    def test_with_the_daemons_own_disk_full_orders_are_refused_and_the_status_is_told(self):
        def prepare(omd):
            self.omd = omd
            self.prepare_services(omd)
            self.mount(os.path.join(omd.var, "omd"), "256k")
        omd = self.start_omd(node_conf=CRM, prepare=prepare)
        omd.wait_instance("good", "down")
        filler = os.path.join(omd.var, "omd", "filler")
        self.fill(filler)
        # The last page of the journal has room for some: each is remembered for its id.
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in range(1000):
                omd.grpc.call("MonitorService.SetInstanceMonitor", path="good",
                              global_expect="thawed", request_id=str(uuid.uuid4()))
        error = grpc_api.Error(caught.exception)
        self.assertEqual((error.code, error.reason),
                         (grpc.StatusCode.RESOURCE_EXHAUSTED, "JOURNAL_FULL"), error)
        self.assert_rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, omd.grpc.call,
                              "MonitorService.SetInstanceMonitor", path="good",
                              global_expect="started", request_id=str(uuid.uuid4()))
        self.assertEqual(omd.instance("good")["avail"], "down")
        self.assertEqual(self.journal("good").count("begin start"), 0)
        os.unlink(filler)
        self.good_lives()


if __name__ == "__main__":
    unittest.main()
