"""As whom a client of ours speaks to Kafka, and how librdkafka is told. Faust is told by streams.hosting."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from runtime import kafka_iam

Security = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
Mechanism = Literal["SCRAM-SHA-512", "PLAIN", "OAUTHBEARER"]

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]{2,12}){1,3}-[0-9]{1,2}")


@dataclass(frozen=True)
class KafkaCredentials:
    """What a client shows to a broker, and how it knows the broker. `repr` shows no secret."""

    security: Security = "plaintext"
    mechanism: Mechanism = "SCRAM-SHA-512"
    user: str = ""
    """With OAUTHBEARER: the id of the client at the token endpoint."""
    password: str = field(default="", repr=False)
    """With OAUTHBEARER: the secret of the client at the token endpoint."""
    ca: str = ""
    """File with the certificates (PEM) of the authorities that vouch for brokers and the token endpoint. Empty: those
    that the system trusts."""
    token_url: str = ""
    """With OAUTHBEARER: where tokens are fetched, by the grant `client_credentials` of RFC 6749."""
    token_scope: str = ""
    iam_region: str = ""
    """With OAUTHBEARER: brokers of AWS in this region know their clients by IAM. The token is made of the credentials
    that this machine has (AWS_…, a profile, its role), so that there is neither user nor password."""

    @property
    def has_sasl(self) -> bool:
        return self.security.startswith("sasl_")

    @property
    def has_tls(self) -> bool:
        return self.security.endswith("ssl")

    def fault(self, addresses: str) -> str:
        """What is wrong with this combination, in a sentence that names the settings; empty when nothing is.

        A credential that would not be sent is a fault: whoever set it believes that the broker knows this client."""
        return self._fault_of_sasl() or self._fault_of_tokens() or self._fault_of_tls(addresses)

    def _fault_of_sasl(self) -> str:
        if self.iam_region:
            return self._fault_of_iam()
        if self.has_sasl and not (self.user and self.password):
            missing = "HEADRACE_KAFKA_PASSWORD" if self.user else "HEADRACE_KAFKA_USER"
            return (
                "expected HEADRACE_KAFKA_USER and HEADRACE_KAFKA_PASSWORD with"
                f" HEADRACE_KAFKA_SECURITY={self.security}, found no {missing}"
            )
        if not self.has_sasl and (self.user or self.password):
            return (
                "expected HEADRACE_KAFKA_SECURITY=sasl_ssl or sasl_plaintext with HEADRACE_KAFKA_USER or"
                f" HEADRACE_KAFKA_PASSWORD, found {self.security}, which shows them to no broker"
            )
        return ""

    def _fault_of_iam(self) -> str:
        if (self.security, self.mechanism) != ("sasl_ssl", "OAUTHBEARER"):
            return (
                "expected HEADRACE_KAFKA_SECURITY=sasl_ssl and HEADRACE_KAFKA_MECHANISM=OAUTHBEARER with"
                f" HEADRACE_KAFKA_IAM_REGION, found {self.security} and {self.mechanism}"
            )
        if self.user or self.password or self.token_url or self.token_scope:
            return (
                "expected no HEADRACE_KAFKA_USER, HEADRACE_KAFKA_PASSWORD or HEADRACE_KAFKA_TOKEN_… with"
                " HEADRACE_KAFKA_IAM_REGION, by which clients show what AWS gave to this machine; found some"
            )
        if not _REGION.fullmatch(self.iam_region):
            return "expected HEADRACE_KAFKA_IAM_REGION like eu-west-1, found another text"
        return kafka_iam.fault()

    def _fault_of_tokens(self) -> str:
        by_token = self.has_sasl and self.mechanism == "OAUTHBEARER" and not self.iam_region
        if by_token and not self.token_url:
            return (
                "expected HEADRACE_KAFKA_TOKEN_URL or HEADRACE_KAFKA_IAM_REGION with"
                " HEADRACE_KAFKA_MECHANISM=OAUTHBEARER, found none"
            )
        if not by_token and (self.token_url or self.token_scope):
            return (
                "expected HEADRACE_KAFKA_MECHANISM=OAUTHBEARER and a SASL security with HEADRACE_KAFKA_TOKEN_URL or"
                f" HEADRACE_KAFKA_TOKEN_SCOPE, found {self.mechanism} and {self.security}"
            )
        if by_token:
            try:
                parts = urlsplit(self.token_url)
                host = parts.hostname or ""
            except ValueError:
                return "expected HEADRACE_KAFKA_TOKEN_URL like https://host/path, found another text"
            if not (host and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))):
                return (
                    "expected HEADRACE_KAFKA_TOKEN_URL like https://host/path (http only for this machine), since the"
                    " secret goes there; found another URL"
                )
        return ""

    def _fault_of_tls(self, addresses: str) -> str:
        if self.ca and not (self.has_tls or self.token_url):
            return (
                "expected HEADRACE_KAFKA_SECURITY=ssl or sasl_ssl with HEADRACE_KAFKA_CA, found"
                f" {self.security}, which asks no broker for a certificate"
            )
        if self.ca and not Path(self.ca).is_file():
            return f"expected HEADRACE_KAFKA_CA to name a file of certificates (PEM), found none at {self.ca[:200]!r}"
        if self.security == "sasl_plaintext" and self.mechanism != "SCRAM-SHA-512":
            far = [one for one in addresses.split(",") if not is_loopback(_host(one))]
            if far:
                return (
                    f"expected HEADRACE_KAFKA_SECURITY=sasl_ssl with HEADRACE_KAFKA_MECHANISM={self.mechanism}, found"
                    f" sasl_plaintext, which sends the secret in clear to {far[0]}"
                )
        return ""


PLAINTEXT = KafkaCredentials()
"""A client without a name. Brokers call it User:ANONYMOUS."""


@dataclass(frozen=True)
class Brokers:
    """Which brokers a client asks first, and as whom."""

    addresses: str
    """host:port, separated by commas."""
    credentials: KafkaCredentials = PLAINTEXT

    def librdkafka(self) -> dict[str, Any]:
        """librdkafka's settings for them. Every client of ours is made with these, so that none speaks to a broker
        without its credentials."""
        shown = self.credentials
        config: dict[str, Any] = {"bootstrap.servers": self.addresses}
        if shown.security == "plaintext":
            return config
        config["security.protocol"] = shown.security.upper()
        if shown.has_tls and shown.ca:
            config["ssl.ca.location"] = shown.ca
        if not shown.has_sasl:
            return config
        config["sasl.mechanism"] = shown.mechanism
        if shown.iam_region:
            return config | {"oauth_cb": partial(kafka_iam.token_for_librdkafka, shown.iam_region)}
        if shown.mechanism != "OAUTHBEARER":
            return config | {"sasl.username": shown.user, "sasl.password": shown.password}
        config |= {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": shown.user,
            "sasl.oauthbearer.client.secret": shown.password,
            "sasl.oauthbearer.token.endpoint.url": shown.token_url,
        }
        if shown.token_scope:
            config["sasl.oauthbearer.scope"] = shown.token_scope
        if shown.ca:
            config["https.ca.location"] = shown.ca
        return config


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host(address: str) -> str:
    """The host of host:port, without the brackets of IPv6."""
    return urlsplit(f"//{address.strip()}").hostname or ""
