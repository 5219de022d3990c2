"""The policy that a new installation begins with."""

from __future__ import annotations

from pathlib import Path

from contract.policy import CLUSTER_KINDS, Policy
from contract.policy_document import PolicyInvalid, parse
from local.errors import CannotStart

_, PREPARE = CLUSTER_KINDS
POLICY_FILE = Path(__file__).parent.parent / "examples" / "policies" / "local.yaml"


def read_policy(path: Path | None = None) -> Policy:
    """The policy in the file `path`, else in POLICY_FILE. CannotStart when the file holds no policy."""
    file = path or POLICY_FILE
    try:
        return parse(file.read_text())
    except OSError as error:
        raise CannotStart(f"a policy document at {file}", error.strerror or "none", "Name another file") from None
    except PolicyInvalid as error:
        raise CannotStart(f"a policy in {file}", str(error), "Mend that line and start again") from None


def cpu_clusters(policy: Policy) -> dict[str, int]:
    """Each cluster of CPU workers, and the partition of its pool."""
    pools = policy.pools
    return {name: pools[cluster.pool].partition for name, cluster in policy.clusters.items() if cluster.kind == PREPARE}
