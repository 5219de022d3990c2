"""The object store's twin with a login for each role: what the role's policy document does not allow is refused.

moto's evaluator judges actions and resources. It knows no StringLike, so the prefix of a listing is judged here.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult

from tests.twin.object_store import TwinObjectStore, TwinState

BUCKET = "twin"
_ACTIONS = {
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListParts": "s3:ListMultipartUploadParts",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "DeleteObject": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "CreateBucket": "s3:CreateBucket",
}


class LoginStore(TwinObjectStore):
    """The bucket, as the login with this policy finds it."""

    def __init__(self, policy: dict[str, Any], state: TwinState) -> None:
        super().__init__(state=state)
        self._policy = policy
        self.deletes_batches = False  # of a batch each key is asked for by itself, as here

    def _request(self, operation: str, key: str = "", *, writes: bool = False, deletes: bool = False) -> None:
        super()._request(operation, key, writes=writes, deletes=deletes)
        if not self._allows(_ACTIONS[operation], key):
            raise self._refused(403, "AccessDenied", operation)

    def _allows(self, action: str, key: str) -> bool:
        if action in ("s3:ListBucket", "s3:ListBucketMultipartUploads"):
            return any(_lists(statement, action, key) for statement in self._policy["Statement"])
        resource = f"arn:aws:s3:::{BUCKET}" + (f"/{key}" if key else "")
        judged = IAMPolicy(json.dumps(self._policy)).is_action_permitted(action, resource)
        return judged is PermissionResult.PERMITTED


def _lists(statement: dict[str, Any], action: str, prefix: str) -> bool:
    if action not in statement["Action"] or statement["Resource"] != [f"arn:aws:s3:::{BUCKET}"]:
        return False
    patterns = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix", ["*"])
    return any(fnmatchcase(prefix, pattern) for pattern in patterns)
