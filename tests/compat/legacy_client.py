#!/usr/bin/python3
"""A client of the legacy packet protocol that shares no code with the daemon.

It seals and opens envelopes with python3-cryptography and can read replies the way the 1.9 command
line does, including what that command line throws away. The tests use it as a library, and are more
patient, as no daemon can help how long a machine stands still; people may use it as a command:

    legacy_client.py --unix /run/x/var/lsnr/lsnr.sock daemon_status
    legacy_client.py --tcp 127.0.0.1:1214 --secret ... --cluster demo --nodename node2 \\
        set_service_monitor svcpath=svc1 global_expect=started
"""

import argparse
import base64
import json
import os
import select
import socket
import sys
import time
import zlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK = 16
# How the 1.9 client waits: one select a second, then a pause; together one step of its timeout.
SILENCE_SECONDS = 1.0
PAUSE_SECONDS = 0.2
# How long a test waits for what must come: a bound for a hopeless case.
PATIENCE_SECONDS = 60


class ReplyTimeout(Exception):
    """No complete reply within the client's own timeout."""


class BrokenReply(Exception):
    """The bytes of the reply are no JSON, or no envelope of the expected cluster."""


class StreamBroken(Exception):
    """A stream message did not arrive whole: the 1.9 client ends here."""


# ------------------------------------------------------------------------------------- envelope


def key_of(secret):
    """AES key of a cluster secret: the first 32 bytes of its text."""
    raw = secret.encode() if isinstance(secret, str) else secret
    return raw[:32]


def encrypt(key, iv, padded):
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


def decrypt(key, iv, ciphertext):
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    return decryptor.update(ciphertext) + decryptor.finalize()


def pad(data):
    count = BLOCK - len(data) % BLOCK
    return data + bytes([count]) * count


def unpad(data):
    if not data or not 1 <= data[-1] <= BLOCK:
        raise BrokenReply("padding byte %r" % data[-1:])
    return data[: -data[-1]]


def seal_compressed(compressed, secret, clustername, nodename, iv=None):
    """The envelope, as an object, of an already compressed plaintext."""
    iv = os.urandom(BLOCK) if iv is None else iv
    data = encrypt(key_of(secret), iv, pad(compressed))
    return {
        "clustername": clustername,
        "nodename": nodename,
        "iv": base64.urlsafe_b64encode(iv).decode(),
        "data": base64.urlsafe_b64encode(data).decode(),
    }


def seal_text(text, secret, clustername, nodename, iv=None, level=6):
    raw = text.encode() if isinstance(text, str) else text
    return seal_compressed(zlib.compress(raw, level), secret, clustername, nodename, iv)


def seal(value, secret, clustername, nodename, iv=None):
    """The bytes of a request or reply, without the final NUL; each call draws a fresh IV."""
    return json.dumps(seal_text(json.dumps(value), secret, clustername, nodename, iv)).encode()


def open_text(envelope, secret, clustername=None):
    """Plaintext of an envelope object. Raises BrokenReply for whatever is wrong with it."""
    try:
        if clustername is not None and envelope["clustername"] != clustername:
            raise BrokenReply("reply of cluster %r" % envelope["clustername"])
        iv = base64.urlsafe_b64decode(envelope["iv"])
        data = base64.urlsafe_b64decode(envelope["data"])
        return zlib.decompress(unpad(decrypt(key_of(secret), iv, data)))
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise BrokenReply("envelope: %s" % error) from error


def open_sealed(raw, secret, clustername=None):
    """Value in the bytes of an envelope."""
    try:
        envelope = json.loads(raw)
    except ValueError as error:
        raise BrokenReply("reply is no JSON: %s" % error) from error
    if not isinstance(envelope, dict):
        raise BrokenReply("reply is no envelope but %.60r" % (envelope,))
    try:
        return json.loads(open_text(envelope, secret, clustername).decode())
    except ValueError as error:
        raise BrokenReply("plaintext is no JSON: %s" % error) from error


# --------------------------------------------------------------------------------------- reading


class SocketSource:
    """Bytes and time of a real socket; tests put a scripted one in its place."""

    def __init__(self, sock):
        self.sock = sock

    def readable(self, seconds):
        return bool(select.select([self.sock], [], [], seconds)[0])

    def recv(self, size):
        try:
            return self.sock.recv(size)
        except ConnectionResetError:
            return b""

    def pause(self, seconds):
        time.sleep(seconds)


def read_reply(source, timeout=None, forgets=False):
    """Raw bytes of one reply, as the 1.9 client collects them.

    Ends at EOF or at a read that is exactly one NUL. With `forgets` a second of silence throws away
    what was read so far, as that client does. Raises ReplyTimeout after more than `timeout` seconds
    of waiting.
    """
    parts = []
    waited = 0.0
    while True:
        if not source.readable(SILENCE_SECONDS):
            if forgets:
                parts = []
            source.pause(PAUSE_SECONDS)
            waited += SILENCE_SECONDS + PAUSE_SECONDS
            if timeout is not None and waited > timeout:
                raise ReplyTimeout("no reply within %.1f s" % waited)
            continue
        part = source.recv(65536)
        if part in (b"", b"\0"):
            return b"".join(parts)
        parts.append(part)


def split_messages(raw):
    """The non-empty messages in the bytes of a stream, and what follows the last NUL."""
    *messages, rest = raw.split(b"\0")
    return [message for message in messages if message], rest


class Stream:
    """An open event or log stream."""

    def __init__(self, client, sock):
        self.client = client
        self.sock = sock
        self.buffer = b""

    def messages(self, deadline_seconds=PATIENCE_SECONDS):
        """Yields decoded messages until EOF; lone NULs are skipped.

        Raises ReplyTimeout after `deadline_seconds` without a message. Like 1.9, answers a second
        without data with one clear byte.
        """
        end = time.monotonic() + deadline_seconds
        while True:
            ready, self.buffer = split_messages(self.buffer)
            for message in ready:
                yield self.client.decode(message)
                end = time.monotonic() + deadline_seconds
            if time.monotonic() > end:
                raise ReplyTimeout("no message within %d s" % deadline_seconds)
            if not select.select([self.sock], [], [], 1)[0]:
                try:
                    self.sock.sendall(b".")
                except OSError:
                    pass  # The read says what became of it.
                continue
            part = SocketSource(self.sock).recv(65536)
            if not part:
                if self.buffer:
                    raise StreamBroken("stream ended inside a message: %.60r" % self.buffer)
                return
            self.buffer += part

    def close(self):
        self.sock.close()


# --------------------------------------------------------------------------------------- clients


class Client:
    """What the clear and the sealed connection have in common."""

    # The 1.9 client gives a TCP connection one second; tests run on loaded machines.
    connect_timeout = PATIENCE_SECONDS
    # Whether a second of silence within a reply loses what came before it, as with 1.9.
    forgets = False

    def connect(self):
        raise NotImplementedError

    def encode(self, value):
        """Bytes of a request, without the final NUL."""
        raise NotImplementedError

    def decode(self, raw):
        """Value of the bytes of a reply."""
        raise NotImplementedError

    def raw(self, data, half_close=False, timeout=PATIENCE_SECONDS):
        """Sends bytes as they are and returns the reply's bytes, the final NUL included."""
        with self.connect() as sock:
            try:
                sock.sendall(data)
                if half_close:
                    sock.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError, OSError):
                pass  # The server closed before it had read everything: its right.
            return read_reply(SocketSource(sock), timeout, self.forgets)

    def request_value(self, value, timeout=PATIENCE_SECONDS):
        """Sends a value and returns the reply's value; None if the server sent nothing."""
        raw = self.raw(self.encode(value) + b"\0", timeout=timeout)
        raw = raw.rstrip(b"\0")
        return self.decode(raw) if raw else None

    def request(self, action, options=None, timeout=PATIENCE_SECONDS, **more):
        """Sends {"action", "options", ...} and returns the reply's value, None if there is none."""
        value = {"action": action}
        if options is not None:
            value["options"] = options
        value.update(more)
        return self.request_value(value, timeout)

    def stream(self, action, options=None, **more):
        """Opens a stream."""
        value = {"action": action, "options": options or {}}
        value.update(more)
        sock = self.connect()
        sock.sendall(self.encode(value) + b"\0")
        return Stream(self, sock)


class ClearClient(Client):
    """Talks clear JSON on the local Unix socket."""

    def __init__(self, path):
        self.path = path

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.connect_timeout)
            deadline = time.monotonic() + self.connect_timeout
            while True:
                try:
                    sock.connect(self.path)
                    break
                except BlockingIOError:  # Full backlog: the legacy client retries as well.
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(PAUSE_SECONDS)
            sock.settimeout(None)
            return sock
        except BaseException:
            sock.close()
            raise

    def encode(self, value):
        return json.dumps(value).encode()

    def decode(self, raw):
        try:
            return json.loads(raw)
        except ValueError as error:
            raise BrokenReply("reply is no JSON: %s: %.80r" % (error, raw)) from error


class SealedClient(Client):
    """Talks sealed packets over TCP."""

    def __init__(self, host, port, secret, clustername, nodename, reply_cluster=None):
        self.host = host
        self.port = port
        self.secret = secret
        self.clustername = clustername
        self.nodename = nodename
        # Under `join` any cluster may answer.
        self.reply_cluster = reply_cluster or (None if clustername == "join" else clustername)
        self.source_address = None

    def connect(self):
        source = (self.source_address, 0) if self.source_address else None
        sock = socket.create_connection((self.host, self.port), self.connect_timeout, source)
        sock.settimeout(None)
        return sock

    def encode(self, value):
        return seal(value, self.secret, self.clustername, self.nodename)

    def decode(self, raw):
        return open_sealed(raw, self.secret, self.reply_cluster)


# ---------------------------------------------------------------------------------- command line


def parse_option(word):
    name, separator, text = word.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("%r is not name=value" % word)
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Sends one legacy request, prints the reply.")
    door = parser.add_mutually_exclusive_group(required=True)
    door.add_argument("--unix", metavar="PATH", help="clear JSON on this Unix socket")
    door.add_argument("--tcp", metavar="HOST:PORT", help="sealed packets to this address")
    parser.add_argument("--secret", default=os.environ.get("OM_SECRET", ""),
                        help="cluster secret; OM_SECRET in the environment does not show in ps")
    parser.add_argument("--cluster", default="default")
    parser.add_argument("--nodename", default=socket.gethostname().lower())
    parser.add_argument("--node", help="node selector of the request")
    parser.add_argument("--method", choices=("GET", "POST", "DELETE"))
    parser.add_argument("--timeout", type=float, default=5)
    parser.add_argument("--stream", action="store_true", help="print messages until interrupted")
    parser.add_argument("--forget", action="store_true",
                        help="lose what came before a second of silence, as 1.9 does")
    parser.add_argument("action")
    parser.add_argument("options", nargs="*", type=parse_option, metavar="name=value")
    given = parser.parse_args(arguments)
    if given.unix:
        client = ClearClient(given.unix)
    else:
        host, _, port = given.tcp.rpartition(":")
        client = SealedClient(host, int(port), given.secret, given.cluster, given.nodename)
    more = {name: value for name in ("node", "method")
            if (value := getattr(given, name)) is not None}
    client.forgets = given.forget
    options = dict(given.options)
    try:
        if given.stream:
            for message in client.stream(given.action, options, **more).messages(1 << 30):
                print(json.dumps(message), flush=True)
            return 0
        reply = client.request(given.action, options, given.timeout, **more)
    except (OSError, ReplyTimeout, BrokenReply, StreamBroken) as error:
        print("%s: %s" % (type(error).__name__, error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(json.dumps(reply, indent=4, sort_keys=True))
    if reply is None:
        return 1
    return 1 if isinstance(reply, dict) and reply.get("status", 0) not in (0,) else 0


if __name__ == "__main__":
    sys.exit(main())
