"""A certificate authority made by the openssl program, so that omd is not its own witness."""

import datetime
import os
import subprocess

CONFIG = """
[ca]
default_ca = here
[here]
dir = %(dir)s
database = %(dir)s/index.txt
serial = %(dir)s/serial
crlnumber = %(dir)s/crlnumber
new_certs_dir = %(dir)s
certificate = %(dir)s/ca.crt
private_key = %(dir)s/ca.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = anything
unique_subject = no
x509_extensions = authority
[anything]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""


def openssl(*words, **more):
    done = subprocess.run(["openssl", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False, **more)
    if done.returncode != 0:
        raise AssertionError("openssl %s: %s" % (" ".join(words), done.stderr.decode()))
    return done.stdout


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


class Pair:
    """A certificate and its key, as files."""

    def __init__(self, base):
        self.certificate, self.key = base + ".crt", base + ".key"

    def pem(self):
        return read(self.certificate), read(self.key)

    def serial(self):
        text = openssl("x509", "-in", self.certificate, "-noout", "-serial").decode()
        return text.strip().partition("=")[2].lower().lstrip("0")


class Authority:
    def __init__(self, folder):
        os.makedirs(folder)
        self.folder, self.count = folder, 0
        self.certificate = os.path.join(folder, "ca.crt")
        self.crl = os.path.join(folder, "crl.pem")
        self.config = os.path.join(folder, "openssl.cnf")
        for name, text in (("index.txt", ""), ("serial", "1001\n"), ("crlnumber", "01\n"),
                           ("openssl.cnf", CONFIG % {"dir": folder})):
            with open(os.path.join(folder, name), "w", encoding="ascii") as stream:
                stream.write(text)
        key = os.path.join(folder, "ca.key")
        self._key(key)
        openssl("req", "-new", "-x509", "-config", self.config, "-extensions", "authority",
                "-key", key, "-subj", "/CN=test authority", "-days", "100",
                "-out", self.certificate)
        self.make_crl()

    @staticmethod
    def _key(path):
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        os.chmod(path, 0o600)

    def make_crl(self):
        openssl("ca", "-config", self.config, "-gencrl", "-out", self.crl + ".new")
        os.rename(self.crl + ".new", self.crl)

    def issue(self, uri, names=("DNS:localhost", "IP:127.0.0.1"), begin=None, end=None):
        """A pair for `uri` ("om:node:node1"; None: no such name); times in hours from now."""
        self.count += 1
        pair = Pair(os.path.join(self.folder, "pair%d" % self.count))
        self._key(pair.key)
        request, extensions = pair.certificate + ".csr", pair.certificate + ".ext"
        openssl("req", "-new", "-config", self.config, "-key", pair.key, "-subj",
                "/CN=%s" % (uri or "nobody").rpartition(":")[2], "-out", request)
        everything = list(names) + (["URI:" + uri] if uri else [])
        with open(extensions, "w", encoding="ascii") as stream:
            stream.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                         "extendedKeyUsage=serverAuth,clientAuth\nauthorityKeyIdentifier=keyid\n"
                         "subjectAltName=%s\n" % ",".join(everything))
        now = datetime.datetime.now(datetime.timezone.utc)

        def moment(hours):
            return (now + datetime.timedelta(hours=hours)).strftime("%Y%m%d%H%M%SZ")
        openssl("ca", "-batch", "-notext", "-config", self.config, "-in", request,
                "-extfile", extensions, "-startdate", moment(-1 if begin is None else begin),
                "-enddate", moment(24 if end is None else end), "-out", pair.certificate)
        return pair

    def node(self, name="node1", **more):
        return self.issue("om:node:" + name, **more)

    def user(self, name, **more):
        return self.issue("om:user:" + name, **more)

    def revoke(self, pair):
        openssl("ca", "-config", self.config, "-revoke", pair.certificate)
        self.make_crl()
