"""The guard against a real TLS server, on a private prefix that a policy names."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runtime.egress.egress import Egress
from runtime.egress.policy import EgressLimits, EgressPolicy, PrivatePrefix
from runtime.egress.refusal import EgressRefused, EgressTrouble
from runtime.egress.resolver import Resolver

NAME = "store.example"
CLIP = bytes(range(256)) * 32 * 1024
"""8 MiB."""
SHORT = EgressLimits(answer_s=0.2, window_s=0.2)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hosts: ClassVar[list[str]] = []
    ended: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        self.hosts.append(self.headers["Host"])
        if self.path == "/silent":
            self.ended.wait(30.0)
            return
        self.send_response(302 if self.path == "/inward" else 200)
        self.send_header("Location", f"https://127.0.0.2:{self.hosts[-1].rpartition(':')[2]}/")
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", str(len(CLIP)))
        self.end_headers()
        if self.path == "/stops":
            self.wfile.write(CLIP[:1000])
            self.ended.wait(30.0)
        elif self.path == "/clip.mp4":
            self.wfile.write(CLIP)

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202 if said == b"{}" else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients here hang up in the middle."""


class Store(NamedTuple):
    port: int
    ca: Path

    def egress(self, name: str = NAME, limits: EgressLimits = EgressLimits(), address: str = "127.0.0.1/32") -> Egress:
        """A guard whose resolver knows one name."""
        prefix = PrivatePrefix("store", ip_network(address), frozenset({self.port}))
        return Egress(
            EgressPolicy(prefixes=(prefix,)),
            limits,
            tls=ssl.create_default_context(cafile=str(self.ca)),
            resolver=Resolver(lambda asked: ["127.0.0.1"] if asked == name else []),
        )

    def url(self, path: str, name: str = NAME) -> str:
        return f"https://{name}:{self.port}{path}"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("tls")
    _write_certificates(folder)
    with QuietServer(("127.0.0.1", 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield Store(int(server.server_address[1]), folder / "ca.pem")
        Handler.ended.set()
        server.shutdown()
        serving.join()


def _write_certificates(folder: Path) -> None:
    """An authority in ca.pem; a certificate that it gave for NAME, and its key, in server.pem."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    ca = (
        _certificate(issuer, issuer, authority.public_key(), authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(authority, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    server = (
        _certificate(subject, issuer, key.public_key(), authority.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(authority, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "server.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + server.public_bytes(serialization.Encoding.PEM)
    )


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def test_a_clip_comes_in_small_pieces_from_the_store_that_the_policy_names(store: Store, tmp_path: Path) -> None:
    sizes: list[int] = []
    with (tmp_path / "clip.mp4").open("wb") as file:
        fetched = store.egress().fetch(
            store.url("/clip.mp4"), lambda piece: sizes.append(file.write(piece)), bytes_max=2**24, types=["video/*"]
        )
    assert fetched == (len(CLIP), sha256(CLIP).hexdigest(), "video/mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == CLIP
    assert max(sizes) <= 2**16 + 2**10
    assert Handler.hosts[-1] == f"{NAME}:{store.port}"


def test_a_hook_is_posted(store: Store) -> None:
    assert store.egress().post(store.url("/hook"), b"{}", {"Content-Type": "application/json"}) == 202


@pytest.mark.parametrize(
    ("path", "name", "address", "trouble"),
    [
        ("/clip.mp4", "other.example", "127.0.0.1/32", EgressTrouble.CERTIFICATE),
        ("/clip.mp4", "127.0.0.1", "127.0.0.1/32", EgressTrouble.CERTIFICATE),
        ("/clip.mp4", NAME, "127.0.0.2/32", EgressTrouble.HOST),
        ("/inward", NAME, "127.0.0.1/32", EgressTrouble.HOST),
        ("/silent", NAME, "127.0.0.1/32", EgressTrouble.SLOW),
        ("/stops", NAME, "127.0.0.1/32", EgressTrouble.SLOW),
    ],
)
def test_what_is_refused(store: Store, path: str, name: str, address: str, trouble: EgressTrouble) -> None:
    asked = len(Handler.hosts)
    with pytest.raises(EgressRefused) as refused:
        store.egress(name, SHORT, address).fetch(
            store.url(path, name), lambda _: None, bytes_max=2**24, types=["video/*"]
        )
    assert refused.value.trouble is trouble
    assert "127.0.0" not in str(refused.value)
    assert len(Handler.hosts) - asked == (path != "/clip.mp4")


def test_a_server_that_does_not_speak_tls_is_not_waited_for(store: Store) -> None:
    """Connections to a listening port wait to be accepted for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = int(silent.getsockname()[1])
        egress = Store(port, store.ca).egress(limits=EgressLimits(connect_s=0.1))
        with pytest.raises(EgressRefused) as refused:
            egress.fetch(f"https://{NAME}:{port}/", lambda _: None, bytes_max=1, types=["video/*"])
    assert refused.value.trouble is EgressTrouble.UNREACHABLE


def test_the_resolver_of_the_machine_is_asked() -> None:
    assert all(address.is_loopback for address in Resolver().addresses("localhost", 30.0))
    assert ip_address("127.0.0.1") in Resolver().addresses("localhost", 30.0)
