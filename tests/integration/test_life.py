#!/usr/bin/python3
"""Starting, stopping and shutting down, and what is found by the daemon that starts next."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import (App, OmdTestCase, wait_for)  # noqa: E402


class LifeCase(OmdTestCase):
    def start_with_apps(self, *names, start=True, up=True, pause="0", default=None, **arguments):
        """A daemon with an app for each name, running unless `up` is false."""
        self.apps = {}

        def prepare(omd):
            for name in names:
                self.apps[name] = App(omd, name, pause=pause, **(default or {}).get(name, {}))

        omd = self.start_omd(start=start, prepare=prepare, **arguments)
        if start:
            self.wait_down(omd)
            if up:
                for name, app in self.apps.items():
                    self.assertEqual(app.order("started")["status"], 0)
                    omd.wait_instance(name, "up")
        return omd

    def wait_down(self, omd):
        for name in self.apps:
            omd.wait_instance(name, "down")

    def word(self, omd, name):
        return omd.instance(name)["monitor"]["status"]

    def running(self):
        return sorted(name for name, app in self.apps.items() if app.processes())

    def begin(self, name, action):
        wait_for(lambda: "begin-" + action in self.apps[name].journal(),
                 "%s of %s has begun" % (action, name), interval=0.01)


class ShutdownTest(LifeCase):
    def test_a_shutdown_stops_the_services_and_then_the_daemon(self):
        for door in ("packet", "local"):
            with self.subTest(door):
                omd = self.start_with_apps("svc1", "svc2")
                client = omd.packet() if door == "packet" else omd.local
                self.assertEqual(client.request("daemon_shutdown"), {"status": 0})
                self.assertEqual(omd.wait_exit(), 0)
                self.assertEqual(self.running(), [])
                for app in self.apps.values():
                    app.check_journal()
                # What was stopped that way is no order to stay down, nor to come up.
                omd.start()
                self.wait_down(omd)
                self.assertEqual(omd.instance("svc1")["frozen"], 0)

    def test_children_go_first_and_frozen_ones_go_too(self):
        omd = self.start_with_apps("db", "web", "cold", default={"web": {"parents": "db"},
                                                                 "db": {"children": "web"}})
        self.assertEqual(self.apps["cold"].order("frozen")["status"], 0)
        wait_for(lambda: omd.instance("cold")["frozen"] > 0, "cold is frozen")
        reply = omd.grpc.call("DaemonService.ShutdownDaemon", timeout=60)
        self.assertEqual(reply.pid, omd.pid)
        self.assertEqual(list(reply.failed_paths), [])
        self.assertEqual(omd.wait_exit(), 0)
        self.assertEqual(self.running(), [])

        def ended(name):
            return os.stat(os.path.join(self.apps[name].folder, "journal")).st_mtime_ns
        self.assertLess(ended("web"), ended("db"))

    def test_what_runs_is_waited_for_and_a_second_request_waits_for_the_first(self):
        omd = self.start_with_apps("svc1", up=False, pause="1")
        self.assertEqual(self.apps["svc1"].order("started")["status"], 0)
        self.begin("svc1", "start")
        replies = []
        threads = [threading.Thread(target=lambda: replies.append(
            omd.local.request("daemon_shutdown"))) for _ in range(2)]
        for thread in threads:
            thread.start()
        wait_for(lambda: omd.status()["monitor"]["nodes"]["node1"]["monitor"]["status"] ==
                 "shutting", "peers are told", interval=0.01)
        for thread in threads:
            thread.join()
        self.assertEqual(replies, [{"status": 0}] * 2)
        self.assertEqual(omd.wait_exit(), 0)
        self.assertEqual(self.apps["svc1"].journal(),
                         ["begin-start", "end-start", "begin-stop", "end-stop"])

    def test_what_cannot_be_shut_down_is_named_and_left(self):
        omd = self.start_with_apps("svc1", "svc2")
        script = os.path.join(self.apps["svc1"].folder, "app.sh")
        with open(script, encoding="utf-8") as stream:
            text = stream.read()
        with open(script, "w", encoding="utf-8") as stream:
            stream.write(text.replace("\nstop)\n", "\nstop)\nexit 1\n"))
        done = omd.omctl("daemon", "shutdown", check=0)
        self.assertIn("not shut down: svc1", done.stdout)
        self.assertEqual(omd.wait_exit(), 0)
        self.assertEqual(self.running(), ["svc1"])

    def test_only_root_shuts_down(self):
        omd = self.start_with_apps("svc1")
        guest = omd.guest()
        self.addCleanup(guest.close)
        self.assert_rpc_error(self.denied(), guest.call, "DaemonService.ShutdownDaemon")
        self.assertEqual(self.running(), ["svc1"])

    @staticmethod
    def denied():
        from harness import grpc
        return grpc.StatusCode.PERMISSION_DENIED


class StopTest(LifeCase):
    def test_a_stop_leaves_what_runs_and_the_next_daemon_finds_it(self):
        omd = self.start_with_apps("svc1")
        self.assertEqual(omd.local.request("daemon_stop"), {"status": 0})
        self.assertEqual(omd.wait_exit(), 0)
        self.assertEqual(self.running(), ["svc1"])
        omd.start()
        omd.wait_instance("svc1", "up")
        self.assertEqual(self.apps["svc1"].starts(), 1)

    def test_sigterm_stops_or_shuts_down_as_configured(self):
        for environment, node_conf, left in (
                ({}, {}, ["svc1"]),
                ({"OMD_SIGTERM": "shutdown"}, {}, []),
                ({"OMD_SIGTERM": "shutdown"}, {"daemon": {"sigterm": "stop"}}, ["svc1"]),
                ({}, {"daemon": {"sigterm": "shutdown"}}, [])):
            with self.subTest(environment=environment, node_conf=node_conf):
                omd = self.start_with_apps("svc1", environment=environment, node_conf=node_conf)
                self.assertEqual(omd.terminate(), 0)
                self.assertEqual(self.running(), left)

    def test_a_second_sigterm_ends_a_shutdown_that_takes_too_long(self):
        omd = self.start_with_apps("svc1", pause="0.5",
                                   environment={"OMD_SIGTERM": "shutdown"})
        hold = os.path.join(self.apps["svc1"].folder, "hold")
        script = os.path.join(self.apps["svc1"].folder, "app.sh")
        with open(script, encoding="utf-8") as stream:
            text = stream.read()
        with open(hold, "w", encoding="ascii"):
            pass
        with open(script, "w", encoding="utf-8") as stream:
            stream.write(text.replace('echo "begin-stop" >> "$here/journal"',
                                      'echo "begin-stop" >> "$here/journal"\n'
                                      'while [ -e "$here/hold" ]; do sleep 0.05; done'))
        omd.process.send_signal(signal.SIGTERM)
        self.begin("svc1", "stop")
        self.assertTrue(omd.running())
        omd.process.send_signal(signal.SIGTERM)
        self.assertEqual(omd.wait_exit(), 0)
        self.assertEqual(self.running(), ["svc1"])
        # The stop goes on by itself, and the next daemon waits for it.
        omd.start()
        wait_for(lambda: self.word(omd, "svc1") == "shutting", "the stop is seen")
        os.unlink(hold)
        omd.wait_instance("svc1", "down")


class TakeoverTest(LifeCase):
    def test_a_start_that_goes_on_without_its_daemon_is_taken_over(self):
        omd = self.start_with_apps("svc1", "svc2", up=False, pause="4")
        self.assertEqual(self.apps["svc1"].order("started")["status"], 0)
        self.begin("svc1", "start")
        omd.kill()
        omd.start()
        wait_for(lambda: omd.instance("svc1"), "svc1 is known")
        self.assertEqual(self.word(omd, "svc1"), "starting")
        self.assertEqual(omd.instance("svc1")["monitor"].get("global_expect"), "started")
        omd.wait_instance("svc1", "up")
        self.assertEqual(self.apps["svc1"].starts(), 1)
        self.assertEqual(omd.counters()["monitor.taken_over"], 1)

    def test_an_order_waits_for_a_persons_command(self):
        omd = self.start_with_apps("svc1", up=False, pause="2")
        person = subprocess.Popen(
            [omd.program("omcrm"), "-s", "svc1", "start", "--local"],
            env=dict(omd.environment, OM_ROOT=omd.root, OMD_NODENAME=omd.nodename),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.begin("svc1", "start")
        self.assertEqual(self.word(omd, "svc1"), "starting")
        # As if the person's command had not been able to say so.
        omd.local.request("set_service_monitor", {"svcpath": "svc1", "status": "idle"})
        self.assertEqual(self.apps["svc1"].order("started")["status"], 0)
        omd.wait_instance("svc1", "up")
        self.assertEqual(person.wait(), 0)
        self.assertEqual(self.apps["svc1"].starts(), 1)
        self.apps["svc1"].check_journal()


class StartTest(LifeCase):
    def test_the_first_start_after_a_boot_cleans_up(self):
        omd = self.start_with_apps("svc1")
        record = os.path.join(omd.var, "omd", "boot_id")
        wait_for(lambda: os.path.exists(record), "the boot is remembered")
        with open(record, encoding="ascii") as stream:
            this_boot = stream.read()
        omd.stop()
        self.assertNotIn("boot --parallel", omd.log_text())
        with open(record, "w", encoding="ascii") as stream:
            stream.write("another boot\n")
        omd.start()
        omd.wait_instance("svc1", "up")
        self.assertIn("boot --parallel --local", omd.log_text())

        def remembered():
            with open(record, encoding="ascii") as stream:
                return stream.read() == this_boot
        wait_for(remembered, "this boot is remembered")
        self.assertTrue(os.path.exists(os.path.join(omd.var, "last_boot_id")))

    def test_an_upgrade_freezes_the_node_until_it_is_complete(self):
        omd = self.start_with_apps("svc1", up=False,
                                   environment={"OPENSVC_AGENT_UPGRADE": "1"})
        wait_for(lambda: "event node_thaw upgrade" in omd.log_text(), "the node is thawed")
        self.assertIn("event node_freeze upgrade", omd.log_text())
        wait_for(lambda: omd.status()["monitor"]["nodes"]["node1"]["frozen"] == 0, "it is thawed")


class CleanedUpTest(LifeCase):
    def test_removed_sockets_and_logs_are_made_anew(self):
        omd = self.start_with_apps("svc1")
        log = os.path.join(omd.log, "node.log")
        wait_for(lambda: os.path.exists(log), "the log is written")
        shutil.rmtree(os.path.join(omd.var, "lsnr"))
        shutil.rmtree(omd.log)
        omd.drop_channel()
        for path in (omd.local_socket, omd.grpc_socket):
            wait_for(lambda path=path: os.path.exists(path), path + " is there again")
        self.assertEqual(self.apps["svc1"].order("stopped")["status"], 0)
        omd.wait_instance("svc1", "down")
        wait_for(lambda: os.path.exists(log), "the log is there again")

    def test_a_link_to_nothing_is_an_error_and_no_empty_configuration(self):
        omd = self.start_with_apps("svc1")
        os.rename(omd.cluster_conf_path, omd.cluster_conf_path + ".away")
        os.symlink("/nonexistent/cluster.conf", omd.cluster_conf_path)
        wait_for(lambda: "symbolic link to nothing" in omd.log_text(), "it is told")
        # What was configured stays in force.
        self.assertIn("svc1", omd.packet().request("daemon_status")["monitor"]["services"])


class InventoryTest(LifeCase):
    def status_of(self, omd, path):
        for item in omd.grpc.call("DaemonService.GetStatus").objects:
            if item.path == path:
                return item
        return None

    def test_a_broken_file_is_one_objects_error(self):
        omd = self.start_with_apps("svc1", "svc2")
        path = os.path.join(omd.etc, "svc2.conf")
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        omd.replace_file(path, text + "\n[app#1\nbroken\n")
        wait_for(lambda: self.status_of(omd, "svc2").config_error, "the error is told")
        document = omd.status()["monitor"]["nodes"]["node1"]["services"]
        self.assertIn("svc2", document["config"])
        # What runs is still known to run, and the others live on.
        self.assertEqual(document["status"]["svc2"]["avail"], "up")
        self.assertEqual(self.status_of(omd, "svc1").config_error, "")
        self.assertEqual(self.apps["svc1"].order("stopped")["status"], 0)
        omd.wait_instance("svc1", "down")
        omd.replace_file(path, text)
        wait_for(lambda: not self.status_of(omd, "svc2").config_error, "it is fine again")
        self.assertEqual(self.apps["svc2"].order("stopped")["status"], 0)
        omd.wait_instance("svc2", "down")

    def test_objects_of_all_kinds_and_namespaces_are_listed(self):
        omd = self.start_with_apps("svc1")
        for kind in ("vol", "cfg", "sec", "usr"):
            for folder in (kind, os.path.join("namespaces", "test", kind)):
                os.makedirs(os.path.join(omd.etc, folder), exist_ok=True)
                omd.write_service(os.path.join(folder, "thing"), {})
        os.makedirs(os.path.join(omd.etc, "namespaces", "test", "svc"))
        omd.write_service("namespaces/test/svc/web", {"app#1": {"type": "simple",
                                                                "start": "/bin/sleep 86397"}})
        wanted = {"svc1", "cluster", "test/svc/web"}
        wanted |= {prefix + kind + "/thing" for kind in ("vol", "cfg", "sec", "usr")
                   for prefix in ("", "test/")}

        def listed():
            return {item.path for item in omd.grpc.call("DaemonService.GetStatus").objects}
        wait_for(lambda: listed() == wanted, lambda: "listed: %s" % sorted(listed()))
        self.assertEqual(set(omd.status()["monitor"]["nodes"]["node1"]["services"]["config"]),
                         wanted)
        # Services and volumes run.
        omd.wait_instance("test/svc/web", "down")
        omd.local.request("set_service_monitor",
                          {"svcpath": "test/svc/web", "global_expect": "started"})
        omd.wait_instance("test/svc/web", "up")
        os.unlink(os.path.join(omd.etc, "namespaces", "test", "cfg", "thing.conf"))
        wait_for(lambda: listed() == wanted - {"test/cfg/thing"}, "one is gone")


if __name__ == "__main__":
    unittest.main()
