#!/usr/bin/python3
"""Certificates and tokens on the real daemon, over the local socket."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import OmdTestCase, grpc  # noqa: E402

CODE = grpc.StatusCode


class AuthTest(OmdTestCase):
    OMD = {}

    @classmethod
    def prepare(cls, omd):
        folder = os.path.join(omd.etc, "namespaces", "system", "usr")
        os.makedirs(folder)
        with open(os.path.join(folder, "alice.conf"), "w", encoding="utf-8") as conf:
            conf.write("[DEFAULT]\nid = 11111111-0000-4000-8000-000000000001\n"
                       "grant = operator:ns1 blacklistadmin\n")

    def path(self, *parts):
        return os.path.join(self.omd.var, "omd", *parts)

    def setUp(self):
        self.out = tempfile.mkdtemp(prefix="omd-pki-")
        self.addCleanup(shutil.rmtree, self.out)
        if not os.path.exists(self.path("pki", "ca.crt")):
            self.omctl("pki", "init", "--address", "om1.example.org")

    def omctl(self, *arguments, check=0):
        return self.omd.omctl(*arguments, check=check)

    def listed(self, *arguments):
        answer = json.loads(self.omctl("pki", "list", *arguments, "--json").stdout)
        return answer.get("certificates", [])

    def openssl(self, *arguments, good=True):
        done = subprocess.run(["openssl", *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, text=True)
        self.assertEqual(done.returncode == 0, good, done.stdout)
        return done.stdout

    def verify(self, certificate, purpose, good=True):
        """As openssl sees it, against the authority and its revocation list."""
        return self.openssl("verify", "-x509_strict", "-purpose", purpose, "-crl_check",
                            "-CAfile", self.path("pki", "ca.crt"),
                            "-CRLfile", self.path("pki", "crl.pem"), certificate, good=good)

    def assert_pair(self, certificate, key):
        self.assertEqual(self.openssl("x509", "-in", certificate, "-noout", "-pubkey"),
                         self.openssl("pkey", "-in", key, "-pubout"))

    def test_the_authority_is_made_once_and_this_node_gets_its_pair(self):
        self.assertIn("ALREADY_EXISTS", self.omctl("pki", "init", check=1).stderr)
        for name in ("ca.key", "node.key", "node.crt"):
            self.assertEqual(os.stat(self.path("pki", name)).st_mode & 0o777, 0o600, name)
        certificate = self.path("pki", "node.crt")
        self.verify(certificate, "sslserver")
        self.assert_pair(certificate, self.path("pki", "node.key"))
        text = self.openssl("x509", "-in", certificate, "-noout", "-ext", "subjectAltName")
        for word in ("URI:om:node:node1", "DNS:node1", "DNS:om1.example.org", "DNS:localhost",
                     "IP Address:127.0.0.1"):
            self.assertIn(word, text)
        with self.omd.guest() as guest:
            with open(self.path("pki", "ca.crt"), encoding="ascii") as authority:
                self.assertEqual(guest.call("PkiService.GetAuthority").certificate_pem,
                                 authority.read())
        self.assertEqual(self.omctl("pki", "ca").stdout,
                         self.omd.grpc.call("PkiService.GetAuthority").certificate_pem)

    def test_certificates_are_issued_renewed_and_revoked(self):
        certificate = os.path.join(self.out, "carol.crt")
        key = os.path.join(self.out, "carol.key")
        self.omctl("pki", "issue", "user", "carol", "--lifetime", "20d", "--out", self.out)
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
        self.verify(certificate, "sslclient")
        self.assertIn("unsuitable certificate purpose",
                      self.verify(certificate, "sslserver", good=False).lower())
        self.assert_pair(certificate, key)
        self.assertIn("carol", [item["name"] for item in self.listed("--expiring", "30d")])
        self.omctl("pki", "issue", "user", "carol", "--out", self.out, check=1)
        renewed = os.path.join(self.out, "renewed")
        self.omctl("pki", "renew", "carol", "--out", renewed)
        self.assert_pair(os.path.join(renewed, "carol.crt"), os.path.join(renewed, "carol.key"))
        self.verify(certificate, "sslclient")
        self.verify(os.path.join(renewed, "carol.crt"), "sslclient")
        serial = self.openssl("x509", "-in", certificate, "-noout",
                              "-serial").partition("=")[2].strip()
        self.omctl("pki", "revoke", serial, "--reason", "superseded")
        self.assertIn("revoked", self.verify(certificate, "sslclient", good=False))
        self.verify(os.path.join(renewed, "carol.crt"), "sslclient")
        self.omctl("pki", "revoke", serial)
        self.omctl("pki", "revoke", "carol")
        self.verify(os.path.join(renewed, "carol.crt"), "sslclient", good=False)
        self.assertIn("revoked", self.omctl("pki", "renew", "carol", check=1).stderr)
        with open(key, encoding="ascii") as file:
            self.assertNotIn(file.read().splitlines()[1], self.omd.log_text())

    def test_this_nodes_own_certificate_is_renewed_in_place(self):
        def served():
            with open(self.path("pki", "node.crt"), encoding="ascii") as certificate:
                return certificate.read()
        before = served()
        self.assertIn("its ports use it", self.omctl("pki", "renew", "node1").stdout)
        self.assertNotEqual(served(), before)
        self.assert_pair(self.path("pki", "node.crt"), self.path("pki", "node.key"))
        self.verify(self.path("pki", "node.crt"), "sslserver")

    def test_a_token_is_signed_for_this_cluster_and_forgotten(self):
        made = self.omctl("auth", "token", "--user", "alice", "--lifetime", "2h", "--grants",
                          "guest:ns1")
        token = made.stdout.strip()
        self.assertEqual(made.stdout, token + "\n")
        header, claims, _ = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
                             if i < 2 else part for i, part in enumerate(token.split("."))]
        self.assertEqual(header["alg"], "HS256")
        self.assertEqual((claims["sub"], claims["grants"], claims["exp"] - claims["iat"]),
                         ("alice", "guest:ns1", 7200))
        self.assertEqual(claims["aud"], "om:" + claims["iss"])
        for folder, _, names in os.walk(self.omd.var):
            for file_name in (os.path.join(folder, name) for name in names):
                if not os.path.isfile(file_name):
                    continue  # A socket.
                with open(file_name, "rb") as file:
                    self.assertNotIn(token.encode(), file.read(), file_name)
        self.assertNotIn(token, self.omd.log_text())
        self.assertIn("grants", self.omctl("auth", "token", "--user", "alice", "--grants", "root",
                                           check=1).stderr)

    def test_keys_and_revocations_outlive_a_restart(self):
        self.omctl("auth", "token", "--user", "alice")
        self.omctl("auth", "revoke-tokens", "--user", "alice")
        first = self.omctl("auth", "rotate-keys", "--keep", "1").stdout.split()[0]
        self.assertEqual(os.stat(self.path("token_revocations.json")).st_mode & 0o777, 0o600)
        self.omd.restart()
        self.assertIn(first, self.omctl("auth", "rotate-keys", "--keep", "1").stdout)
        with open(self.path("token_revocations.json"), encoding="utf-8") as file:
            self.assertIn("alice", json.load(file)["users"])

    def test_tokens_are_made_for_users_only(self):
        made = self.omd.grpc.call("AuthService.CreateToken", user="alice")
        self.assertEqual(made.token.count("."), 2)
        self.assertEqual(os.stat(self.path("tokens.key")).st_mode & 0o777, 0o600)
        self.assert_rpc_error(CODE.NOT_FOUND, self.omd.grpc.call, "AuthService.CreateToken",
                              user="nobody", reason="USER_UNKNOWN")
        self.assertNotIn(made.token, self.omd.log_text())

    def test_root_and_strangers_are_told_who_they_are(self):
        root = self.omd.grpc.call("AuthService.WhoAmI")
        self.assertEqual((root.kind, root.grants, root.node), ("root", "root", "node1"))
        with self.omd.guest() as guest:
            self.assertEqual(guest.call("AuthService.WhoAmI").kind, "guest")


if __name__ == "__main__":
    unittest.main()
