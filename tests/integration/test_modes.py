#!/usr/bin/python3
"""Modes of all that omd and its commands write, whatever umask they are started with; and its systemd unit."""

import fnmatch
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import SOURCE, App, OmdTestCase, wait_for  # noqa: E402

# The first pattern that fits a path below the root decides.
TABLE = [
    # Secrets, keys, records of what was asked for, configurations, and locks.
    (0o600, ["etc/*.conf", "log/audit.log*", "var/last_shutdown", "var/lock/*", "*/lock",
             "*/lock.*", "var/omd/journal", "var/omd/tokens.key*",
             "var/omd/token_revocations.json", "var/omd/pki/*.key", "var/omd/pki/index.json",
             "var/omd/pki/lock", "var/omd/pki/node.crt", "var/lsnr/lsnr.sock", "alice/*.key"]),
    (0o640, ["log/node.log"]),
    # What tools of other users read, or is for everybody anyway.
    (0o644, ["log/*.log", "var/last_boot_id", "var/osvcd.pid", "var/node/frozen", "*/frozen",
             "*/status.json", "*/status.last", "*/status.history", "var/omd/boot_id",
             "var/omd/pki/*.crt", "var/omd/pki/crl.pem", "var/omd/pki/issued/*.crt",
             "alice/*.crt"]),
    # Who connects shows who he is.
    (0o666, ["var/lsnr/grpc.sock"]),
]
# Folders of secrets; others are 0755.
PRIVATE = ["var/omd", "var/omd/pki"]


def listing(root):
    """Mode by path below the root, of what is no symbolic link."""
    found = {}
    for folder, _, names in os.walk(root):
        for path in [folder] + [os.path.join(folder, name) for name in names]:
            try:
                info = os.lstat(path)
            except FileNotFoundError:
                continue
            if not stat.S_ISLNK(info.st_mode):
                found[os.path.relpath(path, root)] = info.st_mode
    return found


class ModesTest(OmdTestCase):
    def test_nothing_is_wider_than_it_must_be(self):
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        omd = self.start_omd(generate=False)
        app = App(omd)
        omd.wait_instance("svc1", "down")
        app.order("started")
        omd.wait_instance("svc1", "up")
        app.order("frozen")
        root = omd.grpc
        root.call("ConfigService.UpdateConfig", target={"object_path": "svc1"},
                  set=[{"name": "DEFAULT.comment", "value": "x"}])
        root.call("ActionService.CreateObjects", namespace="web",
                  objects=[{"path": "web/svc/a", "keywords": [
                      {"section": "DEFAULT", "name": "nodes", "value": "node1"}]}])
        root.call("ActionService.CreateObjects", objects=[{"path": "system/usr/alice", "keywords": [
            {"section": "DEFAULT", "name": "grant", "value": "guest:web"}]}])
        root.call("PkiService.InitAuthority")
        omd.omctl("pki", "issue", "user", "alice", "--out", os.path.join(omd.root, "alice"), check=0)
        root.call("AuthService.CreateToken", user="alice")
        root.call("AuthService.RevokeTokens", user="alice")
        root.call("NodeService.SetNodeMonitor", global_expect="frozen")
        wait_for(lambda: os.path.exists(os.path.join(omd.var, "node", "frozen")), "node is frozen")
        omd.restart()
        modes = {path: mode for path, mode in listing(omd.root).items()
                 if not path.startswith(("app-svc1", "output.txt"))}
        wrong = []
        for path, mode in sorted(modes.items()):
            if path in (".", "etc", "alice"):
                continue  # Made by the test.
            if stat.S_ISDIR(mode):
                wanted = 0o700 if path in PRIVATE else 0o755
            else:
                wanted = next((wanted for wanted, patterns in TABLE if any(
                    fnmatch.fnmatch(path, pattern) for pattern in patterns)), None)
            if wanted is None:
                wrong.append("%s is not in the table" % path)
            elif stat.S_IMODE(mode) != wanted:
                wrong.append("%s is %04o, expected %04o" % (path, stat.S_IMODE(mode), wanted))
        self.assertEqual(wrong, [])
        for path in ("var/omd/journal", "var/omd/tokens.key", "var/omd/pki/ca.key",
                     "log/audit.log", "alice/alice.key", "etc/svc1.conf", "var/svc/svc1/status.json"):
            self.assertIn(path, modes)  # It was driven through what writes them.


class UnitTest(unittest.TestCase):
    UNIT = os.path.join(SOURCE, "deploy", "omd.service")

    def test_systemd_understands_the_unit(self):
        if shutil.which("systemd-analyze") is None:
            self.skipTest("no systemd-analyze here")
        with tempfile.TemporaryDirectory() as folder:
            with open(self.UNIT, encoding="utf-8") as stream:
                text = stream.read()
            # The program need not be installed here, nor what the unit is ordered after.
            unit = os.path.join(folder, "omd.service")
            with open(unit, "w", encoding="utf-8") as stream:
                stream.write(text.replace("/usr/bin/omd", "/bin/true"))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  encoding="utf-8", check=False)
        complaints = [line for line in done.stdout.splitlines() if "omd.service" in line]
        self.assertEqual(complaints, [], done.stdout)

    def test_the_unit_keeps_services_alive_and_says_why_it_does_not_harden_more(self):
        with open(self.UNIT, encoding="utf-8") as stream:
            lines = stream.read().splitlines()
        for line in ("Type=notify", "Restart=on-failure", "KillMode=process", "UMask=0022"):
            self.assertIn(line, lines)
        # Every one of these would bind services, too: none may be set.
        for word in ("NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp",
                     "CapabilityBoundingSet", "RestrictNamespaces", "MemoryMax"):
            self.assertFalse([line for line in lines if line.startswith(word + "=")], word)
            self.assertTrue([line for line in lines if line.startswith("#") and word in line], word)


if __name__ == "__main__":
    unittest.main()
