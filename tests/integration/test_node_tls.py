#!/usr/bin/python3
"""The client for Node.js (tests/client/node) over the TLS port; skipped where npm is absent."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import wait_for  # noqa: E402
import test_node_client  # noqa: E402
from test_tls import TlsCase  # noqa: E402


class NodeTlsCase(TlsCase):
    @classmethod
    def setUpClass(cls):
        cls.modules = test_node_client.install()
        super().setUpClass()

    def client(self, command, pair=None, token=None, authority=None, **options):
        tls = {"authority": (authority or self.authority).certificate}
        if pair is not None:
            tls.update(certificate=pair.certificate, key=pair.key)
        if token is not None:
            tls["token"] = os.path.join(self.folder, "token")
            with open(tls["token"], "w", encoding="ascii") as stream:
                stream.write(token + "\n")
        client = test_node_client.NodeClient(self.modules, self.omd, command, tls=tls,
                                             address="localhost:%d" % self.omd.grpc_port, **options)
        self.addCleanup(client.close)
        return client

    def whoami(self, **options):
        who, end = self.client("whoami", **options).rest()
        self.assertEqual(end["status"], "OK")
        return who

    def refusal(self, **options):
        """How a call ends that is not served; None if it is."""
        *told, end = self.client("status", **options).rest()
        return end["status"] if not told else None


class NodeWithACertificateTest(NodeTlsCase):
    def test_users_and_nodes_are_who_their_certificates_say(self):
        who = self.whoami(pair=self.authority.user("olaf"))
        self.assertEqual((who["kind"], who["name"], who["grants"]), ("user", "olaf", "operator:root"))
        self.assertEqual(self.whoami(pair=self.authority.node())["kind"], "node")
        state, end = self.client("status", pair=self.authority.user("boss"), selector="svc*").rest()
        self.assertEqual(end["status"], "OK")
        self.assertEqual([item["path"] for item in state["objects"]], ["svc1"])

    def test_what_is_not_granted_is_denied(self):
        end = self.client("action", pair=self.authority.user("none"), path="svc1",
                          words=["print_status"]).rest()[-1]
        self.assertEqual(end["status"], "PERMISSION_DENIED")

    def test_a_stream_goes_on_over_a_restart(self):
        client = self.client("events", pair=self.authority.user("boss"),
                             ids=["node_config_*"], until="node_config_change")
        self.omd.restart()

        def ends():
            self.omd.touch(self.omd.node_conf_path)  # Again and again: it may not watch yet.
            return client.process.poll() is not None
        wait_for(ends, "an event is told", interval=0.3)
        self.assertEqual(client.rest()[-1]["status"], "OK")

    def test_bad_certificates_are_refused_in_the_handshake(self):
        revoked = self.authority.user("boss")
        self.assertEqual(self.whoami(pair=revoked)["name"], "boss")
        self.authority.revoke(revoked)
        wait_for(lambda: self.refusal(pair=revoked) == "UNAVAILABLE", "the revocation is known")
        for why, pair in (("none", None), ("wrong authority", self.stranger.user("boss")),
                          ("expired", self.authority.user("boss", begin=-48, end=-24)),
                          ("not yet valid", self.authority.user("boss", begin=24, end=48))):
            with self.subTest(why):
                self.assertEqual(self.refusal(pair=pair), "UNAVAILABLE")
        self.assertEqual(self.refusal(pair=self.authority.user("nobody")), "UNAUTHENTICATED")
        self.assertEqual(self.whoami(pair=self.authority.user("boss"))["name"], "boss")

    def test_it_does_not_trust_a_server_of_another_authority(self):
        self.assertEqual(self.refusal(pair=self.authority.user("boss"), authority=self.stranger),
                         "UNAVAILABLE")


class NodeWithATokenTest(NodeTlsCase):
    MORE = {"grpc_client_cert": "optional"}

    def test_a_token_is_good_until_it_is_revoked(self):
        token = self.omd.grpc.call("AuthService.CreateToken", user="adam").token
        who = self.whoami(token=token)
        self.assertEqual((who["kind"], who["name"], who["grants"]), ("user", "adam", "admin:*"))
        self.omd.grpc.call("AuthService.RevokeTokens", user="adam")
        self.assertEqual(self.refusal(token=token), "UNAUTHENTICATED")
        self.assertEqual(self.refusal(token="a.b.c"), "UNAUTHENTICATED")
        self.assertEqual(self.whoami()["kind"], "guest")


if __name__ == "__main__":
    unittest.main()
