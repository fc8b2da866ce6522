#!/usr/bin/python3
"""Tokens over the TLS port: made here by hand, so that omd is not its own witness."""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import grpc_api  # noqa: E402
from harness import CLUSTER_ID, grpc, wait_for  # noqa: E402
from test_tls import TlsCase  # noqa: E402

CODE = grpc.StatusCode
OTHER_CLUSTER = "99999999-9d0f-4c6e-9b57-0242ac120002"


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def document(value):
    return encode(json.dumps(value, separators=(",", ":")).encode())


def mac(key, text, digest="sha256"):
    return hmac.new(key, text if isinstance(text, bytes) else text.encode(), digest).digest()


class TokensOverTlsTest(TlsCase):
    MORE = {"grpc_client_cert": "optional"}

    def setUp(self):
        # The first token makes the key file.
        self.made = self.create()
        with open(os.path.join(self.omd.var, "omd", "tokens.key"), encoding="ascii") as stream:
            key = json.load(stream)["keys"][0]
        self.key_id, self.secret = key["id"], decode(key["secret"])
        self.shown = set()
        self.addCleanup(self.assert_nothing_shown_is_logged)

    def create(self, user="boss"):
        return self.omd.grpc.call("AuthService.CreateToken", user=user).token

    def claims(self, **changes):
        now = int(time.time())
        claims = {"iss": CLUSTER_ID, "aud": "om:" + CLUSTER_ID, "sub": "boss", "uid": "", "iat": now,
                  "nbf": now, "exp": now + 600, "jti": "made-by-hand", "grants": ""}
        claims.update(changes)
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, header=None, secret=None, digest="sha256", **claims):
        """What the daemon would sign, but for what is named."""
        head = {"alg": "HS256", "typ": "JWT", "kid": self.key_id, **(header or {})}
        text = document(head) + "." + document(self.claims(**claims))
        key = mac(secret or self.secret, "om bearer token HS256 v1")
        return text + "." + encode(mac(key, text, digest))

    def with_token(self, token):
        self.shown.add(token)
        return self.api(token=token)

    def assert_taken(self, token):
        self.assertIn("[listener]", self.node_config(self.with_token(token)))

    def assert_refused_because(self, token, why):
        """The caller hears nothing but "refused"; the log says why."""
        api = self.with_token(token)
        said = "token refused: " + why
        before = self.omd.log_text().count(said)

        def told():
            # A line a second at most, so that one refusal may go without.
            self.assert_refused(api, "ConfigService.GetConfig", target={"node": True})
            return self.omd.log_text().count(said) > before
        refusals = self.omd.counters()["rpc.refused_credentials"]
        wait_for(told, "the log says: " + said, interval=0.2)
        self.assertGreater(self.omd.counters()["rpc.refused_credentials"], refusals)

    def assert_nothing_shown_is_logged(self):
        text = self.omd.log_text() + self.omd.output_text()
        for token in self.shown:
            # The header is the same in all good tokens and no secret.
            for part in [token, *token.split(".")[1:]]:
                if len(part) >= 16:
                    self.assertNotIn(part, text)

    def test_what_the_daemon_makes_and_what_is_made_alike_is_taken(self):
        self.assert_taken(self.made)
        self.assert_taken(self.token())

    def test_times_out_of_place_are_refused(self):
        now = int(time.time())
        for why, times in (("expired", {"iat": now - 7200, "nbf": now - 7200, "exp": now - 3600}),
                           ("not yet valid", {"nbf": now + 300}),
                           ("issued in the future", {"iat": now + 300}),
                           ("its claims are out of bounds", {"exp": now + 400 * 86400}),
                           ("its claims are out of bounds", {"exp": now}),
                           ("no time in its claim exp", {"exp": None}),
                           ("no time in its claim exp", {"exp": str(now + 600)})):
            with self.subTest(times):
                self.assert_refused_because(self.token(**{"iat": now, "nbf": now, **times}), why)

    def test_tokens_for_others_are_refused(self):
        for why, claims in (("for another audience", {"aud": "om:" + OTHER_CLUSTER}),
                            ("for another audience", {"aud": CLUSTER_ID}),
                            ("no text in its claim aud", {"aud": ["om:" + CLUSTER_ID]}),
                            ("no text in its claim aud", {"aud": None}),
                            ("another issuer's", {"iss": OTHER_CLUSTER}),
                            ("no text in its claim iss", {"iss": None})):
            with self.subTest(claims):
                self.assert_refused_because(self.token(**claims), why)

    def test_tokens_signed_by_others_are_refused(self):
        stranger = os.urandom(32)
        head, body, _ = self.token().split(".")
        raw = head + "." + body + "." + encode(mac(self.secret, head + "." + body))
        for why, token in (
                ("its signature is wrong", self.token(secret=stranger)),
                # The key file's secret itself is not what signs.
                ("its signature is wrong", raw),
                ("its key is not known here", self.token({"kid": "0" * 16}, secret=stranger)),
                ("its key is not known here", self.token({"kid": None}))):
            with self.subTest(why):
                self.assert_refused_because(token, why)

    def test_no_other_algorithm_is_taken(self):
        for name in ("none", "None", "NONE", "", None, "hs256", "HS384", "HS512", "RS256", "ES256"):
            digest = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(name, hashlib.sha256)
            with self.subTest(name):
                token = self.token({"alg": name}, digest=digest)
                self.assert_refused_because(token, "its algorithm is not HS256")
        for name in ("none", "HS256"):
            with self.subTest("unsigned " + name):
                unsigned = self.token({"alg": name}).rpartition(".")[0]
                why = {"none": "its algorithm is not HS256", "HS256": "its signature is wrong"}
                self.assert_refused_because(unsigned + ".", why[name])
                self.assert_refused_because(unsigned, "not three parts")
        self.assert_refused_because(self.token({"crit": ["exp"]}), "it has critical extensions")

    def test_what_is_cut_or_changed_is_refused_wherever_it_is(self):
        head, body, signature = self.made.split(".")
        more = document({**json.loads(decode(body)), "sub": "adam"})
        changed = ["%s.%s.%s" % (head, more, signature), self.made + "A", self.made + "=",
                   self.made + ".", "%s.%s" % (self.made, signature), " " + self.made]
        step = max(1, len(self.made) // 40)
        changed += [self.made[:size] for size in range(1, len(self.made), step)]
        changed += [self.made[:-1], self.made[:-2]]
        for place in (0, len(head) + 1, len(self.made) - len(signature)):
            other = "A" if self.made[place] != "A" else "B"
            changed.append(self.made[:place] + other + self.made[place + 1:])
        for token in changed:
            with self.subTest(len(token)):
                self.assert_refused(self.with_token(token), "ConfigService.GetConfig",
                                    target={"node": True})
        self.assert_taken(self.made)

    def test_a_stolen_token_is_worthless_once_tokens_of_its_user_are_revoked(self):
        stolen, other = self.create("adam"), self.create("boss")
        thief = self.with_token(stolen)
        order = {"path": "svc1", "global_expect": "thawed"}
        self.assertTrue(thief.call("MonitorService.SetInstanceMonitor", **order).message)
        stream = thief.stream("DaemonService.WatchStatus")
        next(stream)
        self.omd.grpc.call("AuthService.RevokeTokens", user="adam")
        # On the connection that took it, and on a new one.
        self.assert_refused(thief, "MonitorService.SetInstanceMonitor", **order)
        self.assert_refused_because(stolen, "revoked")
        # What it has open ends with the next thing that it would be told.
        self.omd.touch(self.omd.node_conf_path)
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in stream:
                pass
        error = grpc_api.Error(caught.exception)
        self.assertEqual((error.code, error.reason), (CODE.UNAUTHENTICATED, "CREDENTIAL_ENDED"))
        self.assert_taken(other)
        # A restart forgets none of it.
        self.omd.restart()
        self.assert_refused_because(stolen, "revoked")
        self.assert_taken(other)

    def test_keys_that_are_not_kept_take_their_tokens_with_them(self):
        before = self.create()
        self.omd.grpc.call("AuthService.RotateTokenKeys", keep_count=1)
        self.assert_taken(before)
        after = self.create()
        self.omd.grpc.call("AuthService.RotateTokenKeys", keep_count=0)
        for token in (before, after):
            self.assert_refused_because(token, "its key is not known here")
        self.assert_taken(self.create())

    def test_a_token_of_nobody_known_is_refused_as_any_other(self):
        api = self.with_token(self.token(sub="nobody"))
        self.assert_refused(api, "ConfigService.GetConfig", target={"node": True})

    def test_the_next_user_of_a_name_does_not_get_the_tokens_of_the_one_before(self):
        def hire():
            self.omd.grpc.call("ActionService.CreateObjects", objects=[{
                "path": "system/usr/temp",
                "keywords": [{"section": "DEFAULT", "name": "grant", "value": "root"}]}])
            return self.create("temp")
        first = hire()
        self.assert_taken(first)
        conf = os.path.join(self.omd.etc, "namespaces", "system", "usr", "temp.conf")
        os.unlink(conf)
        second = hire()
        self.assert_refused_because(first, "of another user, who was called temp")
        self.assert_taken(second)
        # A token made by hand names an id, too.
        self.assert_refused_because(self.token(sub="temp"), "of another user")
        self.assert_refused_because(self.token(sub="temp", uid=None), "no text in its claim uid")
        os.unlink(conf)

    def test_a_token_gives_no_more_than_its_user_holds(self):
        for grants in ("root", "admin:*", "operator:root admin:ns1"):
            with self.subTest(grants):
                api = self.with_token(self.token(sub="olaf", grants=grants))
                self.assert_refused(api, "ConfigService.GetConfig", target={"node": True})
        api = self.with_token(self.token(sub="boss", grants="operator:*"))
        self.assert_denied(api, "ConfigService.GetConfig", target={"node": True})


if __name__ == "__main__":
    unittest.main()
