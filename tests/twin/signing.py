"""The twin's installation key: everybody in the twin signs, and its schedulers take nothing else."""

from __future__ import annotations

from contract.codec import body_of
from contract.inputs import Wire
from contract.signers import INTAKE, MAY_SAY, OPERATOR, operator_signer
from contract.signing import InstallationKey, RecordSigner
from runtime.settings import Settings

KEY = InstallationKey(b"k" * 32)


def signer_of(name: str) -> RecordSigner:
    return RecordSigner(KEY.of(name))


def writer_of(said: Wire) -> RecordSigner:
    """Somebody who may say this, if it is nothing that a node says."""
    role = MAY_SAY.get(type(body_of(said)), (OPERATOR,))[0]
    return signer_of(operator_signer("twin") if role == OPERATOR else role)


def scheduler_settings(bootstrap: str) -> Settings:
    return Settings(kafka=bootstrap, snapshot_dir="", installation_keys=KEY.secret.hex())


def intake_settings(bootstrap: str) -> Settings:
    return Settings(kafka=bootstrap, signer=INTAKE, signing_key=KEY.of(INTAKE).text)
