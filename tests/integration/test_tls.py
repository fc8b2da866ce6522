#!/usr/bin/python3
"""TLS on the gRPC port: handshakes of several clients, identities, files that change, revocation."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import grpc_api  # noqa: E402
from certificates import Authority, read  # noqa: E402
from harness import App, OmdTestCase, grpc, wait_for  # noqa: E402

CODE = grpc.StatusCode
USERS = {"olaf": "operator:root", "adam": "admin:*", "boss": "root", "none": ""}


class TlsCase(OmdTestCase):
    MORE = {}  # Of [listener].

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="omd-tls-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.authority = Authority(os.path.join(cls.folder, "good"))
        cls.stranger = Authority(os.path.join(cls.folder, "other"))
        cls.server = cls.authority.node()
        cls.files = {"grpc_cert": os.path.join(cls.folder, "server.crt"),
                     "grpc_key": os.path.join(cls.folder, "server.key"),
                     "grpc_ca": cls.authority.certificate, "grpc_crl": cls.authority.crl}
        cls.install(cls.server)
        cls.OMD = {"nodes": ("node1",),
                   "node_conf": {"listener": dict(cls.files, grpc_tls="required", **cls.MORE)}}
        super().setUpClass()

    @classmethod
    def install(cls, pair):
        """Puts a pair where omd finds it, certificate last, each in one step."""
        for source, target in ((pair.key, cls.files["grpc_key"]),
                               (pair.certificate, cls.files["grpc_cert"])):
            shutil.copy(source, target + ".new")
            os.chmod(target + ".new", 0o600)
            os.rename(target + ".new", target)

    @classmethod
    def prepare(cls, omd):
        cls.app = App(omd)
        cls.write_users(omd, USERS)

    @staticmethod
    def write_users(omd, users):
        folder = os.path.join(omd.etc, "namespaces", "system", "usr")
        os.makedirs(folder, exist_ok=True)
        for name, grant in users.items():
            path = os.path.join(folder, name + ".conf")
            with open(path + ".new", "w", encoding="ascii") as stream:
                stream.write("[DEFAULT]\ngrant = %s\n" % grant)
            os.rename(path + ".new", path)

    def api(self, pair=None, authority=None, token=None, **options):
        """A client; its certificate and what it trusts."""
        chain, key = pair.pem() if pair else (None, None)
        credentials = grpc.ssl_channel_credentials(
            read((authority or self.authority).certificate), key, chain)
        api = grpc_api.Api("localhost:%d" % self.omd.grpc_port, credentials=credentials,
                           token=token, **options)
        self.addCleanup(api.close)
        return api

    def assert_refused_in_handshake(self, api):
        with self.assertRaises(grpc.RpcError) as caught:
            api.call("DaemonService.GetStatus", timeout=10, wait_for_ready=False)
        self.assertEqual(caught.exception.code(), CODE.UNAVAILABLE)

    def assert_refused(self, api, method="DaemonService.GetStatus", **fields):
        with self.assertRaises(grpc.RpcError) as caught:
            api.call(method, **fields)
        error = grpc_api.Error(caught.exception)
        self.assertEqual((error.code, error.reason, error.text),
                         (CODE.UNAUTHENTICATED, "CREDENTIAL_REFUSED", "refused"))

    def assert_denied(self, api, method, **fields):
        with self.assertRaises(grpc.RpcError) as caught:
            api.call(method, **fields)
        self.assertEqual(grpc_api.Error(caught.exception).code, CODE.PERMISSION_DENIED)

    def node_config(self, api):
        return api.call("ConfigService.GetConfig", target={"node": True}).text

    def all_is_well(self):
        api = self.api(self.authority.node())
        self.assertIn("[listener]", self.node_config(api))

    def serial_served(self):
        text = self.s_client("-tls1_3")[1]
        certificate = text[text.index("-----BEGIN"):text.index("-----END")]
        done = subprocess.run(["openssl", "x509", "-noout", "-serial"], stdout=subprocess.PIPE,
                              input=certificate + "-----END CERTIFICATE-----\n",
                              encoding="ascii", check=True)
        return done.stdout.strip().partition("=")[2].lower().lstrip("0")

    def s_client(self, *words, pair="own"):
        if pair == "own":
            pair = self.server
        own = ["-cert", pair.certificate, "-key", pair.key] if pair else []
        done = subprocess.run(
            ["openssl", "s_client", "-connect", "127.0.0.1:%d" % self.omd.grpc_port, "-alpn", "h2",
             "-CAfile", self.authority.certificate, *own, *words], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False)
        return done.returncode, done.stdout.decode(errors="replace")


class TlsTest(TlsCase):
    # Handshakes.
    def test_versions_of_tls_before_1_2_are_refused(self):
        for version, good in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
            with self.subTest(version):
                # Old versions are off in this machine's library unless it is told otherwise.
                _, text = self.s_client(version, "-cipher", "DEFAULT:@SECLEVEL=0")
                self.assertEqual("Verify return code: 0 (ok)" in text and "ALPN protocol: h2" in text
                                 and "Cipher is (NONE)" not in text, good, text)

    def test_without_a_certificate_nobody_is_served(self):
        self.assert_refused_in_handshake(self.api())

    def test_failed_handshakes_cannot_fill_the_log(self):
        for _ in range(40):
            self.s_client("-tls1_3", pair=None)

        def told():
            self.s_client("-tls1_3", pair=None)
            return "more not told" in "".join(
                line for line in self.omd.log_text().splitlines() if "OM-RPC-LIBRARY" in line)
        wait_for(told, "a line tells of several")
        # The library's own form is in no line.
        self.assertNotIn("ssl_transport_security.cc", self.omd.output_text())

    def test_bad_certificates_are_refused_and_cost_others_nothing(self):
        revoked = self.authority.user("boss")
        self.authority.revoke(revoked)
        good = self.api(self.authority.user("boss"))
        wait_for(lambda: self.refused_handshake(revoked), "the revocation is known")
        bad = {"wrong authority": self.stranger.user("boss"),
               "expired": self.authority.user("boss", begin=-48, end=-24),
               "not yet valid": self.authority.user("boss", begin=24, end=48),
               "revoked": revoked,
               "no name of ours": self.authority.issue(None),
               "a malformed name": self.authority.issue("om:user:b%2Foss")}
        for why, pair in bad.items():
            with self.subTest(why):
                self.assert_refused_in_handshake(self.api(pair))
                self.assertIn("[listener]", self.node_config(good))
        self.assertGreater(self.omd.counters()["tls.refused_certificates"], 0)

    def refused_handshake(self, pair):
        try:
            self.api(pair).call("DaemonService.GetStatus", timeout=10, wait_for_ready=False)
            return False
        except grpc.RpcError as error:
            return error.code() == CODE.UNAVAILABLE

    def test_a_client_that_trusts_another_authority_goes_away(self):
        self.assert_refused_in_handshake(self.api(self.server, authority=self.stranger))

    def test_garbage_and_silence_cost_others_nothing(self):
        silent = []
        for number in range(20):
            sock = socket.create_connection(("127.0.0.1", self.omd.grpc_port), timeout=30)
            silent.append(sock)
            sock.sendall((b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", os.urandom(64), b"")[number % 4])
        self.all_is_well()
        for sock in silent:
            sock.close()

    # Who it is.
    def test_a_node_of_the_cluster_is_root_and_another_is_refused(self):
        self.all_is_well()
        self.assert_refused(self.api(self.authority.node("node9")))

    def test_users_hold_what_their_objects_grant(self):
        order = {"path": "svc1", "global_expect": "thawed"}
        boss, olaf, none = (self.api(self.authority.user(name)) for name in ("boss", "olaf", "none"))
        self.assertIn("[listener]", self.node_config(boss))
        self.assertTrue(olaf.call("MonitorService.SetInstanceMonitor", **order).message)
        self.assert_denied(olaf, "ConfigService.GetConfig", target={"node": True})
        self.assert_denied(none, "MonitorService.SetInstanceMonitor", **order)
        self.assert_refused(self.api(self.authority.user("nobody")))

    def test_a_user_may_have_certificates_under_another_name(self):
        path = os.path.join(self.omd.etc, "namespaces", "system", "usr", "robot.conf")
        with open(path, "w", encoding="ascii") as stream:
            stream.write("[DEFAULT]\ncn = build.robot\ngrant = root\n")
        api = self.api(self.authority.user("build.robot"))
        wait_for(lambda: self.allowed(api), "the user is known")
        self.assert_refused(self.api(self.authority.user("robot")))

    def allowed(self, api):
        try:
            return bool(self.node_config(api))
        except grpc.RpcError:
            return False

    def test_a_broken_grant_gives_nothing_and_is_told(self):
        path = os.path.join(self.omd.etc, "namespaces", "system", "usr", "torn.conf")
        with open(path, "w", encoding="ascii") as stream:
            stream.write("[DEFAULT]\ngrant = root:a:b\n")
        self.addCleanup(os.unlink, path)
        told = wait_for(lambda: [alert for alert in self.alerts() if "torn" in alert], "the fault is told")
        self.assertIn("holds nothing", told[0])
        self.assert_denied(self.api(self.authority.user("torn")), "DaemonService.StopDaemon")

    def alerts(self):
        return list(self.omd.grpc.call("DaemonService.GetStatus").daemon.alerts)

    # What changes.
    def test_a_new_certificate_is_served_while_streams_go_on(self):
        watcher = self.api(self.authority.node())
        stream = watcher.stream("DaemonService.WatchStatus")
        next(stream)
        failures, done = [], threading.Event()

        def call_on():
            while not done.is_set():
                try:
                    self.node_config(self.long_lived)
                except grpc.RpcError as error:
                    failures.append(error)
        self.long_lived = self.api(self.authority.node())
        caller = threading.Thread(target=call_on)
        caller.start()
        fresh = self.authority.node()
        self.install(fresh)
        wait_for(lambda: self.serial_served() == fresh.serial(), "the new certificate is served")
        done.set()
        caller.join()
        self.assertEqual(failures, [])
        self.omd.touch(self.omd.node_conf_path)
        next(stream)
        stream.cancel()
        self.all_is_well()

    def test_half_a_pair_leaves_the_old_one_in_service(self):
        before, fresh = self.serial_served(), self.authority.node()
        key = read(self.files["grpc_key"])
        shutil.copy(fresh.key, self.files["grpc_key"])
        wait_for(lambda: any("is not the key of" in alert for alert in self.alerts()),
                 "it is told")
        self.assertEqual(self.serial_served(), before)
        self.all_is_well()
        with open(self.files["grpc_key"], "wb") as stream:
            stream.write(key[:len(key) // 2])
        wait_for(lambda: any(self.files["grpc_key"] in alert
                             and "is not the key of" not in alert
                             for alert in self.alerts()), "the torn key is told")
        self.all_is_well()
        self.install(fresh)
        wait_for(lambda: self.serial_served() == fresh.serial(), "the whole pair is served")
        wait_for(lambda: not any("older certificates" in alert
                                 for alert in self.alerts()), "all is well again")
        for line in (self.omd.log_text() + self.omd.output_text()).splitlines():
            self.assertNotIn("PRIVATE KEY", line)

    def test_a_revoked_certificate_ends_what_it_has_open(self):
        pair = self.authority.user("boss")
        api = self.api(pair)
        stream = api.stream("DaemonService.WatchStatus")
        next(stream)
        self.authority.revoke(pair)
        wait_for(lambda: not self.allowed(api), "its calls are refused")
        self.assert_refused(api)
        # The next thing that it would be told ends it.
        self.omd.touch(self.omd.node_conf_path)
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in stream:
                pass
        error = grpc_api.Error(caught.exception)
        self.assertEqual((error.code, error.reason), (CODE.UNAUTHENTICATED, "CREDENTIAL_ENDED"))

    def test_grants_that_change_end_streams_and_count_for_the_next_call(self):
        self.write_users(self.omd, {"mover": "operator:*"})
        api = self.api(self.authority.user("mover"))
        wait_for(lambda: self.can_order(api), "the user may give orders")
        stream = api.stream("DaemonService.WatchStatus")
        next(stream)
        self.write_users(self.omd, {"mover": "guest:*"})
        wait_for(lambda: not self.can_order(api), "the user may give no orders")
        self.omd.touch(self.omd.node_conf_path)
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in stream:
                pass
        self.assertEqual(grpc_api.Error(caught.exception).reason, "CREDENTIAL_ENDED")

    def can_order(self, api):
        try:
            api.call("MonitorService.SetInstanceMonitor", path="svc1", global_expect="thawed")
            return True
        except grpc.RpcError as error:
            self.assertIn(error.code(), (CODE.PERMISSION_DENIED, CODE.UNAUTHENTICATED))
            return False

    # Calls that a node passes on.
    def originator(self, **fields):
        return (("om-originator-bin", grpc_api.originator(**fields)),)

    def call_for(self, api, method="ConfigService.GetConfig", **originator):
        function, request = api.method(method)
        fields = {"target": {"node": True}} if method.startswith("Config") else {
            "path": "svc1", "global_expect": "thawed"}
        return function(request(**fields), timeout=30, wait_for_ready=True,
                        metadata=self.originator(**originator))

    def test_a_forwarded_call_is_authorised_for_the_original_caller(self):
        node = self.api(self.authority.node())
        order = "MonitorService.SetInstanceMonitor"
        self.assertIn("[listener]", self.call_for(node, kind="USER", name="boss").text)
        self.assertTrue(self.call_for(node, order, kind="USER", name="olaf").message)
        for originator, code in (({"kind": "USER", "name": "olaf"}, CODE.PERMISSION_DENIED),
                                 ({"kind": "GUEST"}, CODE.PERMISSION_DENIED),
                                 ({"kind": "USER", "name": "nobody"}, CODE.UNAUTHENTICATED),
                                 ({"kind": "USER", "name": "boss", "grants": "operator:root"},
                                  CODE.PERMISSION_DENIED),
                                 ({"kind": "USER", "name": "olaf", "grants": "root"},
                                  CODE.UNAUTHENTICATED),
                                 ({"kind": "NODE", "name": "node9"}, CODE.UNAUTHENTICATED),
                                 ({}, CODE.UNAUTHENTICATED)):
            with self.subTest(originator):
                with self.assertRaises(grpc.RpcError) as caught:
                    self.call_for(node, **originator)
                self.assertEqual(caught.exception.code(), code)

    def test_only_nodes_pass_calls_on(self):
        for api in (self.api(self.authority.user("boss")), self.omd.grpc):
            with self.assertRaises(grpc.RpcError) as caught:
                self.call_for(api, kind="ROOT")
            self.assertEqual(caught.exception.code(), CODE.UNAUTHENTICATED)


class OptionalCertificateTest(TlsCase):
    MORE = {"grpc_client_cert": "optional"}

    def test_without_a_certificate_one_is_a_guest_who_sees_nothing(self):
        api = self.api()
        self.assertEqual(api.call("AuthService.WhoAmI").kind, "guest")
        self.assertEqual(self.omd.health("", api), "SERVING")
        for method in ("DaemonService.GetStatus", "MonitorService.ListOrders",
                       "BlacklistService.ListEntries"):
            self.assert_denied(api, method)
        self.assert_denied(api, "ConfigService.GetConfig", target={"node": True})

    def test_a_bad_certificate_is_no_way_to_be_a_guest(self):
        self.assert_refused_in_handshake(self.api(self.stranger.user("boss")))
        self.assert_refused(self.api(self.authority.user("nobody")))

    def test_what_is_no_token_is_refused(self):
        for token in ("", "x", "a.b.c", "x" * 5000):
            with self.subTest(token[:10]):
                self.assert_refused(self.api(token=token))

    def allowed(self, api):
        try:
            return bool(self.node_config(api))
        except grpc.RpcError:
            return False

    def token(self):
        return self.omd.grpc.call("AuthService.CreateToken", user="boss").token

    def test_a_token_is_enough_and_does_not_heal_a_revoked_certificate(self):
        pair, token = self.authority.user("boss"), self.token()
        alone, plain, both = self.api(token=token), self.api(pair), self.api(pair, token=token)
        for api in (alone, plain, both):
            self.assertTrue(self.allowed(api))
        stream = both.stream("DaemonService.WatchStatus")
        next(stream)
        self.authority.revoke(pair)
        wait_for(lambda: not self.allowed(plain), "the revocation is known")
        self.assertFalse(self.allowed(both))
        self.assertTrue(self.allowed(alone))
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in stream:
                pass
        self.assertEqual(caught.exception.code(), CODE.UNAUTHENTICATED)

    def test_a_revocation_counts_while_the_pair_is_torn(self):
        pair = self.authority.user("boss")
        api = self.api(pair)
        self.assertTrue(self.allowed(api))
        self.addCleanup(self.install, self.server)
        with open(self.files["grpc_key"], "wb") as stream:
            stream.write(b"torn")
        wait_for(lambda: any("older certificates" in alert for alert in self.omd.grpc.call(
            "DaemonService.GetStatus").daemon.alerts), "the torn key is told")
        self.authority.revoke(pair)
        wait_for(lambda: not self.allowed(api), "its calls are refused")

    def test_nobody_passes_calls_on_with_a_token(self):
        node, token = self.api(self.authority.node()), self.token()
        function, request = node.method("ConfigService.GetConfig")
        with self.assertRaises(grpc.RpcError) as caught:
            function(request(target={"node": True}), timeout=30, wait_for_ready=True, metadata=(
                ("authorization", "Bearer " + token),
                ("om-originator-bin", grpc_api.originator(kind="USER", name="boss"))))
        self.assertEqual(caught.exception.code(), CODE.UNAUTHENTICATED)


class LateFilesTest(TlsCase):
    """TLS is wanted, and there is nothing to serve yet."""

    @classmethod
    def install(cls, pair):
        if cls.omd is not None:
            super().install(pair)

    omd = None

    def test_the_port_opens_by_itself_when_there_is_a_pair(self):
        alerts = self.omd.grpc.call("DaemonService.GetStatus").daemon.alerts
        self.assertTrue(any("the gRPC port is closed" in alert for alert in alerts), alerts)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.omd.grpc_port), timeout=30).close()
        self.install(self.server)
        self.all_is_well()
        # What was published outlives a start without files.
        os.unlink(self.files["grpc_key"])
        self.omd.restart()
        self.all_is_well()


if __name__ == "__main__":
    unittest.main()
