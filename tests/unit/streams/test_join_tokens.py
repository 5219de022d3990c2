"""A pool whose policy asks for join tokens lets a machine that is new to it join with a good one, and with no other."""

from __future__ import annotations

import re
from itertools import count
from typing import Any

import msgspec
import pytest

from contract import join_tokens
from contract.events import NodeAdmitted, NodeDeparted, NodeRefused, ReportStale
from contract.inputs import NodeJoined, PolicyApplied
from contract.join_tokens import JOIN_TOKEN_HEADER, TOKEN_LIFE_MAX_MS, good_until_ms, make
from contract.policy import fingerprint
from contract.signers import node_signer
from contract.signing import InstallationKey, RecordSigner, Verifier
from runtime.jobs_writer import with_join_token
from streams.ledger.pool_keeper import PoolKeeper
from tests.unit.streams.led_pools import is_led, keeper_of
from tests.unit.streams.memory_pool import POLICY, MemoryBroker, now_ms, run
from tests.waiting import until_async

KEY, NEXT, STRANGE = (InstallationKey(bytes([number]) * 32) for number in (1, 2, 3))
ASKING = msgspec.structs.replace(POLICY, join_tokens=True)
HERE, THERE = "a" * 32, "b" * 32
"""Identities of two machines."""
MINUTE_MS = 60_000
AT_MS = 1_790_000_000_000
_numbers = count()


def headers(*texts: str | None) -> list[tuple[str, bytes | None]]:
    return [(JOIN_TOKEN_HEADER, text.encode() if text is not None else None) for text in texts]


def good(at_ms: int = AT_MS) -> str:
    return make(KEY, "local", "n1", at_ms + MINUTE_MS)


GOOD: dict[str, tuple[list[tuple[str, bytes | None]], int]] = {
    "as it was made": (headers(good()), AT_MS + MINUTE_MS),
    "by the key that goes": (headers(make(NEXT, "local", "n1", AT_MS + 1)), AT_MS + 1),
    "for as long as can be": (
        headers(make(KEY, "local", "n1", AT_MS + TOKEN_LIFE_MAX_MS)),
        AT_MS + TOKEN_LIFE_MAX_MS,
    ),
    "over, which `judge` sees": (headers(make(KEY, "local", "n1", AT_MS - 1)), AT_MS - 1),
}
BAD = {
    "none": [],
    "without a value": headers(None),
    "empty": headers(""),
    "of another node": headers(make(KEY, "local", "n2", AT_MS + 1)),
    "of another cluster": headers(make(KEY, "east", "n1", AT_MS + 1)),
    "by another installation's key": headers(make(STRANGE, "local", "n1", AT_MS + 1)),
    "for longer than a day": headers(make(KEY, "local", "n1", AT_MS + TOKEN_LIFE_MAX_MS + 1)),
    "twice": headers(good(), good()),
    "with a later end": headers(re.sub(r"^\d+", str(AT_MS + MINUTE_MS + 1), good())),
    "as another key's": headers(good().replace(KEY.id, NEXT.id)),
    "cut": headers(good()[:-1]),
    "of any length": headers("1" * 100_000 + good()),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_token_is_good_until_it_says(name: str) -> None:
    given, until_ms = GOOD[name]
    assert good_until_ms((NEXT, KEY), given, "local", "n1", AT_MS) == until_ms


@pytest.mark.parametrize("name", BAD)
def test_a_token_that_is_not_this_nodes_is_good_for_nothing(name: str) -> None:
    assert good_until_ms((NEXT, KEY), BAD[name], "local", "n1", AT_MS) == 0


def test_a_token_is_made_for_names_only() -> None:
    assert join_tokens.is_token(make(KEY, "local", "n1", 1))
    with pytest.raises(ValueError, match="expected the names of a cluster and a node"):
        make(KEY, "local", "n1/x", 1)


class Pool:
    """A pool in memory whose policy asks for tokens."""

    def __init__(self, broker: MemoryBroker, keeper: PoolKeeper) -> None:
        self.broker, self.keeper = broker, keeper

    async def join(self, session: str, identity: str, token: str = "", *, node: str = "n1", **signature: Any) -> Any:
        """What comes of this join: an event."""
        said = NodeJoined(node, session, "local", "cpu", 1, 0, 1_000, identity=identity)
        say(self.broker, node_signer("local", node), said, token, **signature)
        kinds: tuple[Any, ...] = (NodeAdmitted, NodeRefused)
        await self.all_read()
        found = [event for kind in kinds for event in self.broker.events(kind) if event.session == session]
        return found[-1] if found else None

    async def all_read(self) -> None:
        end = len(self.broker[0].jobs)
        await until_async(lambda: self.broker.batches()[-1].position == end, "all is read")


def say(broker: MemoryBroker, signer: str, said: Any, token: str = "", key: InstallationKey = KEY) -> None:
    number = str(next(_numbers))
    record = RecordSigner(key.of(signer)).record(
        said, partition=0, key=number.encode(), event_id=number, source="/test"
    )
    if token:
        record = with_join_token(record, token)
    broker.say_bytes(record.value, key=record.key, headers=record.headers)


async def opened() -> Pool:
    broker = MemoryBroker()
    say(broker, "operator.ada", PolicyApplied(ASKING, fingerprint(ASKING)))
    keeper = keeper_of(broker, verifier=Verifier((NEXT, KEY)))
    await until_async(lambda: is_led(broker), "the pool is led")
    return Pool(broker, keeper)


def test_a_machine_joins_with_a_good_token_and_comes_back_without_one() -> None:
    async def live() -> None:
        pool = await opened()
        token = good(now_ms())
        assert await pool.join("s1", HERE) == NodeRefused("n1", "s1", "no_token")
        assert isinstance(await pool.join("s2", HERE, token), NodeAdmitted)
        assert isinstance(await pool.join("s3", HERE), NodeAdmitted), "the same machine anew"
        mac = token.rpartition(".")[2].encode()
        assert not any(mac in (record.value or b"") for record in pool.broker[0].ledger), "no token in the ledger"
        until_ms = int(token.partition(".")[0])
        told = [given.token_until_ms for batch in pool.broker.batches() for given in batch.inputs]
        assert told == [0, 0, until_ms, 0]
        await pool.keeper.close(with_snapshot=False)

    run(live)


def test_a_key_that_was_copied_lets_no_other_machine_in() -> None:
    async def live() -> None:
        pool = await opened()
        assert isinstance(await pool.join("s1", HERE, good(now_ms())), NodeAdmitted)
        refused = await pool.join("s2", THERE)
        assert refused == NodeRefused("n1", "s2", "name_taken"), "while the lease lasts"
        of_another = make(KEY, "local", "n2", now_ms() + MINUTE_MS)
        assert await pool.join("s3", THERE, good(now_ms() - 2 * MINUTE_MS), node="n2") == NodeRefused(
            "n2", "s3", "no_token"
        ), "another node's token, and over"
        assert isinstance(await pool.join("s4", THERE, of_another, node="n2"), NodeAdmitted)
        await pool.keeper.close(with_snapshot=False)

    run(live)


def test_a_token_without_a_signature_by_its_node_is_worth_nothing() -> None:
    async def live() -> None:
        pool = await opened()
        assert await pool.join("s1", HERE, good(now_ms()), key=STRANGE) is None
        assert len(pool.broker.quarantined) == 1
        assert pool.broker.events(ReportStale) == []
        await pool.keeper.close(with_snapshot=False)

    run(live)


def test_a_revoked_node_is_put_out_and_not_let_in_again() -> None:
    async def live() -> None:
        pool = await opened()
        assert isinstance(await pool.join("s1", HERE, good(now_ms())), NodeAdmitted)
        policy = msgspec.structs.replace(ASKING, revoked=(node_signer("local", "n1"), "operator.eve"))
        applied = PolicyApplied(policy, fingerprint(policy), until_ms=now_ms() + MINUTE_MS)
        say(pool.broker, "operator.ada", applied)
        await pool.all_read()
        assert pool.broker.quarantined == []
        assert [event.session for event in pool.broker.events(NodeDeparted)] == ["s1"]
        assert await pool.join("s2", HERE, good(now_ms())) == NodeRefused("n1", "s2", "revoked")
        await pool.keeper.close(with_snapshot=False)

    run(live)
