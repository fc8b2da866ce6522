#!/usr/bin/python3
"""A client in another language, @grpc/grpc-js on the Unix socket: tests/client/node/client.js."""

import json
import os
import stat
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import SOURCE, OmdTestCase, wait_for  # noqa: E402

NODE_CLIENT = os.path.join(SOURCE, "tests", "client", "node")
SKIPPED = 77  # What install.sh exits with where there is no Node client to be had.

CRM = r"""#!/bin/sh
case "$3" in
both) echo out; echo err >&2; exit 3 ;;
forever) echo ready; exec sleep 86394 ;;
*) exec %(omcrm)s "$@" ;;
esac
"""


def line(number):
    return "2026-11-22 00:00:%02d,000 - node1.quiet.fs#1 - INFO - line %d\n" % (number % 60, number)


def install():
    """The folder of the client's packages. Skips the test where they cannot be had."""
    done = subprocess.run([os.path.join(NODE_CLIENT, "install.sh")], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                          check=False)
    if done.returncode == SKIPPED:
        raise unittest.SkipTest(done.stderr.strip())
    if done.returncode != 0:
        raise AssertionError("tests/client/node/install.sh: %s" % done.stderr)
    return done.stdout.strip()


class NodeClient:
    """One run of the client; its documents are read as they come."""

    def __init__(self, modules, omd, command, address=None, **options):
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            ["node", os.path.join(NODE_CLIENT, "client.js"), address or omd.grpc_socket, command,
             json.dumps(options)], env={**omd.environment, "NODE_PATH": modules},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8")

    def next(self):
        return json.loads(self.process.stdout.readline())

    def rest(self):
        """What is still to come, the end last."""
        return [json.loads(text) for text in self.process.stdout]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class NodeClientTest(OmdTestCase):
    OMD = {}

    @classmethod
    def setUpClass(cls):
        cls.modules = install()
        super().setUpClass()

    @classmethod
    def prepare(cls, omd):
        omd.write_service("quiet", {"fs#1": {"type": "flag"}})
        crm = os.path.join(omd.root, "crm.sh")
        with open(crm, "w", encoding="utf-8") as stream:
            stream.write(CRM % {"omcrm": omd.program("omcrm")})
        os.chmod(crm, stat.S_IRWXU)
        omd.node_conf["crm"] = {"command": crm}
        omd.write_node_conf()

    def setUp(self):
        self.omd.wait_instance("quiet", "down")

    def client(self, command, omd=None, **options):
        client = NodeClient(self.modules, omd or self.omd, command, **options)
        self.addCleanup(client.close)
        return client

    def test_status_is_read(self):
        state, end = self.client("status", selector="qui*").rest()
        self.assertEqual(end["status"], "OK")
        self.assertEqual([item["path"] for item in state["objects"]], ["quiet"])

    def test_action_is_streamed(self):
        *messages, end = self.client("action", path="quiet", words=["both"]).rest()
        self.assertEqual(end["status"], "OK")
        self.assertEqual(messages[0]["kind"], "action")
        output = {message["output"]["stream"]: message["output"]["data"]
                  for message in messages[1:-1]}
        self.assertEqual(output, {"OUTPUT_STREAM_STDOUT": "out\n", "OUTPUT_STREAM_STDERR": "err\n"})
        self.assertEqual(messages[-1]["end"]["exitCode"], 3)
        end = self.client("action", path="nope", words=["both"]).rest()[-1]
        self.assertEqual(end["status"], "NOT_FOUND")

    def test_cancelled_action_is_killed(self):
        begin, *_, end = self.client("action", path="quiet", words=["forever"],
                                     cancelAt="ready").rest()
        self.assertEqual(end["status"], "CANCELLED")

        def state():
            return self.omd.grpc.call("ActionService.GetAction",
                                      action_id=begin["action"]["id"]).action

        wait_for(lambda: state().end_time.seconds, lambda: "the action has ended: %s" % state())
        self.assertEqual(state().signal, 15)

    def test_log_is_followed_over_a_restart(self):
        omd = self.start_omd(prepare=self.prepare)
        omd.wait_instance("quiet", "down")

        def write(first, last):
            with open(os.path.join(omd.log, "quiet.log"), "a", encoding="utf-8") as stream:
                stream.write("".join(line(number) for number in range(first, last)))

        write(0, 3)
        client = self.client("logs", omd=omd, path="quiet", until="line 8")
        found = []
        while "line 2" not in found:
            found.append(client.next().get("message"))
        write(3, 6)
        omd.terminate()
        write(6, 7)
        omd.start()
        write(7, 9)
        *entries, end = client.rest()
        found += [entry.get("message") for entry in entries]
        self.assertEqual(end["status"], "OK")
        self.assertEqual([text for text in found if text and text.startswith("line")],
                         ["line %d" % number for number in range(9)])


    def test_events_are_watched_and_resumed(self):
        omd = self.start_omd(prepare=self.prepare)
        omd.wait_instance("quiet", "down")
        filters = {"ids": ["node_config_*"], "until": "node_config_change"}

        def ends(client):
            omd.touch(omd.node_conf_path)  # Again and again: the watch may not be open yet.
            return client.process.poll() is not None

        client = self.client("events", omd=omd, **filters)
        wait_for(lambda: ends(client), "an event is told", interval=0.3)
        *messages, end = client.rest()
        self.assertEqual(end["status"], "OK")
        token = messages[-1]["resumeToken"]
        # Happens while nobody looks.
        omd.touch(omd.node_conf_path)
        *messages, end = self.client("events", omd=omd, resumeToken=token, **filters).rest()
        self.assertEqual(end["status"], "OK")
        self.assertEqual([message for message in messages if "gap" in message], [])
        omd.terminate()
        omd.start()
        client = self.client("events", omd=omd, resumeToken=token, **filters)
        wait_for(lambda: ends(client), "an event is told", interval=0.3)
        *messages, end = client.rest()
        self.assertEqual((list(messages[0]), end["status"]), (["gap"], "OK"))


if __name__ == "__main__":
    unittest.main()
