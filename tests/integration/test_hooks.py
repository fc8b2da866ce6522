#!/usr/bin/python3
"""Commands hooked to events: run with the event, and harmless when they misbehave."""

import json
import os
import stat
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import App, OmdTestCase, read_bytes, wait_for  # noqa: E402

# Appends its input as a line, in one write: commands of a hook may run side by side.
RECORD = 'text=$(cat); printf "%s\\n" "$text" >> OUT\n'


class HooksTest(OmdTestCase):
    def start_with(self, hooks):
        """A daemon whose node.conf has these hooks: {section: (events, script text)}."""
        self.folders = {}

        def prepare(omd):
            text = read_bytes(omd.node_conf_path).decode()
            for section, (events, script) in hooks.items():
                path = os.path.join(omd.root, section.replace("#", "-"))
                with open(path, "w", encoding="utf-8") as stream:
                    stream.write("#!/bin/sh\n" + script.replace("OUT", path + ".out"))
                os.chmod(path, stat.S_IRWXU)
                text += "\n[%s]\nevents = %s\ncommand = %s\n" % (section, events, path)
            omd.write_node_conf(text)
            self.app = App(omd, "svc1")
        return self.start_omd(prepare=prepare)

    @staticmethod
    def events(omd, name):
        """What the commands of a hook have read."""
        text = read_bytes(os.path.join(omd.root, name + ".out")).decode()
        return [json.loads(line) for line in text.splitlines()]

    def test_a_hook_gets_its_events_in_the_form_that_hooks_know(self):
        omd = self.start_with({"hook#1": ("instance_start instance_stop", RECORD),
                               "hook#2": ("all", RECORD)})
        omd.wait_instance("svc1", "down")
        omd.omctl("svc1", "start", "--wait", check=0)
        omd.omctl("svc1", "stop", "--wait", check=0)
        wait_for(lambda: len(self.events(omd, "hook-1")) >= 2, "the first hook was run twice")
        start, stop = self.events(omd, "hook-1")
        self.assertEqual((start["nodename"], start["kind"]), ("node1", "event"))
        self.assertIsInstance(start["ts"], float)
        self.assertEqual((start["data"]["id"], start["data"]["svcpath"]), ("instance_start", "svc1"))
        self.assertEqual((stop["data"]["id"], stop["data"]["reason"]), ("instance_stop", "target"))
        for key in ("monitor", "service", "instance"):
            self.assertIsInstance(start["data"][key], dict, key)
        wait_for(lambda: {"monitor_started", "instance_start", "instance_stop"} <=
                 {event["data"]["id"] for event in self.events(omd, "hook-2")}, "all events")
        # Each is in the service's log as well.
        wait_for(lambda: b" - node1.svc1 - INFO - event instance_stop target\n" in
                 read_bytes(os.path.join(omd.log, "svc1.log")), "the line in the service's log")

    def test_hooks_that_hang_fail_or_are_not_there_hold_up_nobody(self):
        omd = self.start_with({"hook#1": ("all", "exec sleep 86399\n"),
                               "hook#2": ("all", "exit 7\n"),
                               "hook#3": ("instance_start", RECORD)})
        os.unlink(os.path.join(omd.root, "hook-2"))
        omd.wait_instance("svc1", "down")
        for _ in range(3):
            omd.omctl("svc1", "start", "--wait", check=0)
            omd.omctl("svc1", "stop", "--wait", check=0)
        wait_for(lambda: len(self.events(omd, "hook-3")) == 3, "the good hook was run each time")
        sleepers = [process for process in omd.children() if process.command == "sleep 86399 "
                    or process.command == "sleep 86399"]
        self.assertLessEqual(len(sleepers), 4)
        self.assertGreater(omd.counters()["hooks.failures"], 0)
        self.assertEqual(omd.log_text().count("OM-HOOK-FAILED hook#2"), 1)

    def test_changed_hooks_apply(self):
        omd = self.start_with({"hook#1": ("instance_start", RECORD)})
        omd.wait_instance("svc1", "down")
        omd.omctl("node", "set", "--param", "hook#1.events", "--value", "instance_stop", check=0)
        wait_for(lambda: "event node_config_change" in omd.log_text(), "the change was noticed")
        omd.omctl("svc1", "start", "--wait", check=0)
        omd.omctl("svc1", "stop", "--wait", check=0)
        wait_for(lambda: self.events(omd, "hook-1"), "the hook was run")
        self.assertEqual([event["data"]["id"] for event in self.events(omd, "hook-1")],
                         ["instance_stop"])


if __name__ == "__main__":
    unittest.main()
