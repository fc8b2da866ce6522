#!/usr/bin/python3
"""`buf curl` finds the API by reflection and calls it, as people without our protos do."""

import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import SOURCE, OmdTestCase  # noqa: E402

SKIPPED = 77  # What tests/buf.sh exits with where buf is not to be had.


class BufCurlTest(OmdTestCase):
    OMD = {}

    @classmethod
    def setUpClass(cls):
        done = subprocess.run([os.path.join(SOURCE, "tests", "buf.sh"), "--version"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, encoding="utf-8", check=False)
        if done.returncode == SKIPPED:
            raise unittest.SkipTest(done.stderr.strip())
        if done.returncode != 0:
            raise AssertionError("tests/buf.sh --version: %s" % done.stderr)
        super().setUpClass()

    def curl(self, method, data=None, unix=False, schema=None):
        command = [os.path.join(SOURCE, "tests", "buf.sh"), "curl", "--protocol", "grpc",
                   "--http2-prior-knowledge"]
        if schema is None:
            command += ["--reflect", "--reflect-protocol", "grpc-v1alpha"]
        else:
            command += ["--schema", schema]
        if unix:
            command += ["--unix-socket", self.omd.grpc_socket]
        if data is not None:
            command += ["--data", json.dumps(data)]
        command.append("http://%s/%s" % (
            "localhost" if unix else "127.0.0.1:%d" % self.omd.grpc_port, method))
        return subprocess.run(command, cwd=self.omd.root, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                              timeout=120, check=False)

    def test_status_over_both_doors(self):
        for unix in (False, True):
            done = self.curl("om.control.v1.DaemonService/GetStatus", {"pageSize": 5}, unix)
            self.assertEqual(done.returncode, 0, done.stderr)
            status = json.loads(done.stdout)
            self.assertEqual(int(status["daemon"]["pid"]), self.omd.pid)
            self.assertEqual(status["cluster"]["nodes"], ["node1"])

    def test_the_health_service(self):
        # The library's own service: reflection lists it, but has no description of it.
        done = self.curl("grpc.health.v1.Health/Check", {"service": "listener"},
                         schema=os.path.join(SOURCE, "tests", "support", "proto"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout), {"status": "SERVING"})

    def test_a_change_over_tcp_is_denied_and_over_the_unix_socket_done(self):
        method = "om.control.v1.BlacklistService/ClearEntries"
        done = self.curl(method, {})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("permission_denied", done.stderr)
        done = self.curl(method, {}, unix=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_an_error_shows_its_details(self):
        done = self.curl("om.control.v1.DaemonService/StopThread", {"threadId": "foo"}, unix=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("not_found", done.stderr)


if __name__ == "__main__":
    unittest.main()
