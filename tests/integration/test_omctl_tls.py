#!/usr/bin/python3
"""omctl over the TLS port, with a certificate and with a token; nodes that join and leave."""

import copy
import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from test_tls import TlsCase  # noqa: E402

DONE, FAILED, USAGE, NO_CONNECTION = 0, 1, 2, 3


class OmctlTlsCase(TlsCase):
    def omctl(self, *words, check=DONE, pair=None, token=None, authority=None, host="localhost",
              environment=None):
        """Runs omctl against the TLS port with what the arguments say."""
        options = ["--server", "%s:%d" % (host, self.omd.grpc_port),
                   "--tls-ca", (authority or self.authority).certificate]
        if pair is not None:
            options += ["--tls-cert", pair.certificate, "--tls-key", pair.key]
        if token is not None:
            path = os.path.join(self.folder, "token")
            with open(path, "w", encoding="ascii") as stream:
                stream.write(token + "\n")
            os.chmod(path, 0o600)
            options += ["--token-file", path]
        done = subprocess.run(
            [self.omd.program("omctl"), *options, *words], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", timeout=60,
            env={**self.omd.environment, **(environment or {})}, check=False)
        self.assertEqual(done.returncode, check, done)
        return done

    def whoami(self, **options):
        return json.loads(self.omctl("auth", "whoami", "--json", **options).stdout)


class WithACertificateTest(OmctlTlsCase):
    def test_a_user_is_who_his_certificate_says(self):
        pair = self.authority.user("olaf")
        who = self.whoami(pair=pair)
        self.assertEqual((who["kind"], who["name"], who["grants"]), ("user", "olaf", "operator:root"))
        self.assertEqual(self.whoami(pair=self.authority.node())["kind"], "node")
        self.assertIn("svc1", self.omctl("daemon", "status", pair=pair).stdout)
        self.omctl("svc1", "thaw", pair=pair)
        self.assertIn("PERMISSION_DENIED", self.omctl("node", "get", "--param", "listener.port",
                                                      pair=pair, check=FAILED).stderr)
        self.assertEqual(self.omctl("node", "get", "--param", "listener.grpc_tls",
                                    pair=self.authority.user("boss")).stdout.strip(), "required")

    def test_the_environment_serves_as_well_as_options(self):
        pair = self.authority.user("olaf")
        who = self.whoami(environment={"OMCTL_TLS_CERT": pair.certificate,
                                       "OMCTL_TLS_KEY": pair.key})
        self.assertEqual(who["name"], "olaf")

    def test_what_is_not_good_ends_omctl_with_a_word_about_it(self):
        good = self.authority.user("boss")
        for options, check in (({}, NO_CONNECTION),
                               ({"pair": self.stranger.user("boss")}, NO_CONNECTION),
                               ({"pair": self.authority.user("boss", begin=-48, end=-24)},
                                NO_CONNECTION),
                               # It is the server that we do not trust.
                               ({"pair": good, "authority": self.stranger}, NO_CONNECTION),
                               ({"pair": self.authority.user("nobody")}, FAILED)):
            with self.subTest(options):
                done = self.omctl("auth", "whoami", check=check, **options)
                self.assertEqual(done.stdout, "")
                self.assertTrue(done.stderr.startswith("omctl: "), done.stderr)
        self.assertIn("refused", self.omctl("auth", "whoami", check=FAILED,
                                            pair=self.authority.user("nobody")).stderr)

    def test_a_pair_that_cannot_be_used_is_told_as_that(self):
        pair, other = self.authority.user("boss"), self.authority.user("olaf")
        for certificate, key, check, said in (
                (pair.certificate, other.key, NO_CONNECTION, "is --tls-key the key of --tls-cert?"),
                (pair.certificate, "/nonexistent", USAGE, "/nonexistent"),
                (self.omd.node_conf_path, pair.key, USAGE, "PEM")):
            with self.subTest((certificate, key)):
                mixed = copy.copy(pair)
                mixed.certificate, mixed.key = certificate, key
                done = self.omctl("auth", "whoami", pair=mixed, check=check)
                self.assertIn(said, done.stderr)

    def test_a_server_is_known_by_its_name(self):
        pair = self.authority.user("boss")
        self.assertEqual(self.whoami(pair=pair, host="127.0.0.1")["name"], "boss")
        done = self.omctl("--tls-server-name", "elsewhere.example", "auth", "whoami", pair=pair,
                          check=NO_CONNECTION)
        self.assertEqual(done.stdout, "")


class MembershipTest(OmctlTlsCase):
    def nodes(self, **options):
        return self.omctl("cluster", "get", "--param", "cluster.nodes", **options).stdout.split()

    def test_nodes_join_and_leave_and_doing_it_twice_is_no_error(self):
        pair = self.authority.node()
        for said in ("node2 is a member now\n", "node2 was a member already\n"):
            self.assertEqual(self.omctl("cluster", "join", "node2", pair=pair).stdout, said)
            self.assertEqual(self.nodes(pair=pair), ["node1", "node2"])
        answer = json.loads(self.omctl("cluster", "join", "node2", "--json", pair=pair).stdout)
        section, = (part for part in answer["clusterSections"] if part["name"] == "cluster")
        self.assertEqual(section["keywords"]["secret"], self.omd.secret)
        for said in ("node2 is no member any more\n", "node2 was no member\n"):
            self.assertEqual(self.omctl("cluster", "leave", "node2", pair=pair).stdout, said)
            self.assertEqual(self.nodes(pair=pair), ["node1"])

    def test_the_local_root_may_do_it_as_well(self):
        self.assertEqual(self.omd.omctl("cluster", "join", "node3", check=DONE).stdout,
                         "node3 is a member now\n")
        self.assertEqual(self.omd.omctl("cluster", "leave", "node3", check=DONE).stdout,
                         "node3 is no member any more\n")

    def test_what_cannot_be_is_told(self):
        before, pair = self.nodes(pair=self.authority.node()), self.authority.node()
        for words, code in ((("join", "Node_2"), "INVALID_ARGUMENT"),
                            (("join", ""), "INVALID_ARGUMENT"),
                            (("leave", "node1"), "INVALID_ARGUMENT")):
            with self.subTest(words):
                self.assertIn(code, self.omctl("cluster", *words, pair=pair, check=FAILED).stderr)
        self.omctl("cluster", "join", pair=pair, check=USAGE)
        for user in ("adam", "olaf", "none"):
            for word in ("join", "leave"):
                with self.subTest((user, word)):
                    done = self.omctl("cluster", word, "node2", pair=self.authority.user(user),
                                      check=FAILED)
                    self.assertIn("PERMISSION_DENIED", done.stderr)
                    self.assertNotIn(self.omd.secret, done.stdout + done.stderr)
        self.assertEqual(self.nodes(pair=pair), before)


class WithATokenTest(OmctlTlsCase):
    MORE = {"grpc_client_cert": "optional"}

    def made(self, *words):
        return self.omd.omctl("auth", "token", *words, check=DONE).stdout.strip()

    def test_a_token_made_by_omctl_is_good_over_tls_until_it_is_revoked(self):
        token = self.made("--user", "adam", "--lifetime", "10m")
        who = self.whoami(token=token)
        self.assertEqual((who["kind"], who["name"], who["grants"]), ("user", "adam", "admin:*"))
        self.assertIn("expireTime", who)
        self.omctl("svc1", "thaw", token=token)
        self.omctl("auth", "revoke-tokens", token=token)
        done = self.omctl("auth", "whoami", token=token, check=FAILED)
        self.assertIn("refused", done.stderr)
        for text in (done.stdout, done.stderr, self.omd.log_text(), self.omd.output_text()):
            self.assertNotIn(token.rpartition(".")[2], text)

    def test_a_token_with_fewer_grants_gives_those(self):
        token = self.made("--user", "boss", "--grants", "guest:root")
        self.assertEqual(self.whoami(token=token)["grants"], "guest:root")
        self.assertIn("PERMISSION_DENIED", self.omctl("svc1", "thaw", token=token,
                                                      check=FAILED).stderr)

    def test_the_environment_may_hold_the_token(self):
        token = self.made("--user", "olaf")
        self.assertEqual(self.whoami(environment={"OMCTL_TOKEN": token})["name"], "olaf")

    def test_a_bad_token_is_refused_and_none_makes_a_guest(self):
        for token in ("x", "a.b.c", self.made("--user", "boss") + "A"):
            with self.subTest(token[:5]):
                done = self.omctl("auth", "whoami", token=token, check=FAILED)
                self.assertIn("refused", done.stderr)
                self.assertEqual(done.stdout, "")
        self.assertEqual(self.whoami()["kind"], "guest")

    def test_a_token_is_not_shown_to_a_server_that_is_not_trusted(self):
        before = self.omd.counters().get("tokens.accepted", 0)
        self.omctl("auth", "whoami", token=self.made("--user", "boss"), authority=self.stranger,
                   check=NO_CONNECTION)
        self.assertEqual(self.omd.counters().get("tokens.accepted", 0), before)


if __name__ == "__main__":
    unittest.main()
