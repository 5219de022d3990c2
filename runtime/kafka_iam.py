"""Tokens for brokers of AWS (MSK) that know their clients by IAM: a signed URL, which AWS's own library makes.

The library is an extra of ours: `headrace[iam]`.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

LIBRARY = "aws_msk_iam_sasl_signer"


class NoToken(Exception):
    """There is none to be had now. The message says why, and nothing of a credential."""


class IamToken(NamedTuple):
    text: str
    ends_s: float
    """Seconds since 1970."""


def fault() -> str:
    """Why no token can be made here, in a sentence; empty when nothing is known to be in the way."""
    if find_spec(LIBRARY) is None:
        return (
            "expected the library aws-msk-iam-sasl-signer-python with HEADRACE_KAFKA_IAM_REGION, found none; install"
            " headrace[iam]"
        )
    return ""


def token(region: str) -> IamToken:
    """Made of the credentials that this machine has; no server of the brokers is asked. NoToken."""
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    from botocore.exceptions import BotoCoreError

    try:
        text, ends_ms = MSKAuthTokenProvider.generate_auth_token(region)
    except (AttributeError, ValueError):  # the library asks nobody whether there are credentials
        raise NoToken("expected credentials of AWS (AWS_…, a profile, a role of this machine), found none") from None
    except BotoCoreError as failure:
        raise NoToken(f"expected credentials of AWS, found {type(failure).__name__}") from None
    return IamToken(text, ends_ms / 1000)


def token_for_librdkafka(region: str, _config: str) -> tuple[str, float]:
    """As librdkafka's `oauth_cb`, which tries again later after an exception."""
    return token(region)
