#!/usr/bin/python3
"""What omd can do without capabilities, and which it needs for what; as deploy/README.md says."""

import os
import pwd
import shutil
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import App, OmdTestCase, read_bytes, wait_for  # noqa: E402

NOBODY = pwd.getpwnam("nobody").pw_uid
# Of linux/capability.h.
NUMBERS = {"dac_read_search": 2, "kill": 5, "setgid": 6, "setuid": 7, "sys_ptrace": 19}

PROGRAM = """#!/bin/sh
while :; do sleep 1; done
"""


def only(*capabilities):
    """A launcher that leaves root with these capabilities, for good."""
    return ["setpriv", "--no-new-privs", "--inh-caps=-all",
            "--bounding-set=" + ",".join(["-all", *("+" + name for name in capabilities)])]


def mask(*capabilities):
    return sum(1 << NUMBERS[name] for name in capabilities)


def fields(pid):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as stream:
        return dict(line.rstrip("\n").split(":\t", 1) for line in stream if ":\t" in line)


@unittest.skipUnless(os.geteuid() == 0, "only root has capabilities to give up")
class CapabilitiesTest(OmdTestCase):
    def start_with(self, *capabilities, prepare=None):
        omd = self.start_omd(launcher=only(*capabilities), prepare=prepare)
        status = fields(omd.pid)
        for name in ("CapEff", "CapPrm", "CapBnd"):
            self.assertEqual(int(status[name], 16), mask(*capabilities), name)
        self.assertEqual(status["NoNewPrivs"], "1")
        return omd

    def write_app_of_nobody(self, omd):
        folder = tempfile.mkdtemp(prefix="omd-program-")
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        self.program = os.path.join(folder, "program.sh")
        with open(self.program, "w", encoding="ascii") as stream:
            stream.write(PROGRAM)
        os.chmod(self.program, 0o755)
        omd.write_service("svc1", {"app#1": {
            "type": "simple", "start": self.program, "user": "nobody"}})

    def order(self, omd, value):
        return omd.grpc.call("MonitorService.SetInstanceMonitor", path="svc1", global_expect=value)

    def service_log(self, omd):
        path = os.path.join(omd.log, "svc1.log")
        return read_bytes(path).decode() if os.path.exists(path) else ""

    def programs(self, omd):
        return [process for process in omd.children() if self.program in process.command]

    def test_services_of_root_need_none(self):
        omd = self.start_with(prepare=lambda omd: setattr(self, "app", App(omd)))
        omd.wait_instance("svc1", "down")
        self.assertEqual(self.app.order("started")["status"], 0)  # Over the packets' socket.
        omd.wait_instance("svc1", "up")
        (process,) = self.app.processes()
        self.assertEqual(int(fields(process.pid)["CapEff"], 16), 0)
        self.assertEqual(omd.packet().request("daemon_status")["monitor"]["nodes"]["node1"]
                         ["services"]["status"]["svc1"]["avail"], "up")
        omd.grpc.call("ConfigService.UpdateConfig", target={"node": True},
                      set=[{"name": "node.env", "value": "PRD"}])
        # Killed in the midst, it finds what it left.
        omd.kill()
        omd.start()
        self.assertEqual(omd.wait_instance("svc1", "up")["avail"], "up")
        self.order(omd, "stopped")
        omd.wait_instance("svc1", "down")
        wait_for(lambda: not self.app.processes(), "the app has ended")
        self.app.check_journal()
        omd.terminate()

    def test_without_them_no_program_runs_as_another_user(self):
        omd = self.start_with(prepare=self.write_app_of_nobody)
        omd.wait_instance("svc1", "down")
        self.order(omd, "started")
        wait_for(lambda: "becoming user nobody: Operation not permitted; omd lacks CAP_SETGID"
                 in self.service_log(omd), "its log says why it does not start")
        self.assertEqual(self.programs(omd), [])

    def test_a_program_whose_owner_cannot_be_told_is_not_started_again(self):
        omd = self.start_with("setuid", "setgid", "kill", prepare=self.write_app_of_nobody)
        omd.wait_instance("svc1", "down")
        for _ in range(2):
            omd.omctl("svc1", "action", "start")
        self.assertEqual(len(self.programs(omd)), 1)
        self.assertIn("omd lacks CAP_SYS_PTRACE", self.service_log(omd))

    def test_programs_of_other_users_need_five(self):
        omd = self.start_with("setuid", "setgid", "kill", "sys_ptrace", "dac_read_search",
                              prepare=self.write_app_of_nobody)
        omd.wait_instance("svc1", "down")
        self.order(omd, "started")
        omd.wait_instance("svc1", "up")
        for process in self.programs(omd):
            status = fields(process.pid)
            self.assertEqual(set(status["Uid"].split()), {str(NOBODY)})
            self.assertEqual(int(status["CapEff"], 16), 0)
        self.order(omd, "stopped")
        omd.wait_instance("svc1", "down")
        wait_for(lambda: not self.programs(omd), "the program has ended")
        omd.terminate()


if __name__ == "__main__":
    unittest.main()
