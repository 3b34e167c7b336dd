"""Check that an object store supports conditional writes, which all writers depend on.

The number of a segment of the manifest excludes a second writer only if an object that exists is not overwritten. Some
servers with the interface of S3 ignore `If-None-Match`, and overwrite silently.
"""

import secrets

from ...console import notify
from ...errors import EpochbankError
from .bucket import Bucket


def check_conditional_writes(bucket: Bucket) -> None:
    """Write an object twice below `bucket`, and delete it. Raises `EpochbankError` unless the second write is refused.

    Also raises it if the store cannot be written to.
    """
    name = f".probe-{secrets.token_hex(8)}"
    first, second = (f"{secrets.token_hex(16)} {number}".encode() for number in (1, 2))
    written = bucket.create(name, first)
    overwritten = bucket.create(name, second) or bucket.get(name) != first
    try:
        bucket.delete(name)
    except EpochbankError as error:  # The credentials may permit writing, but not deleting.
        notify(f"the test object of the check for conditional writes was not deleted: {error}")
    if not written or overwritten:
        raise EpochbankError(
            f"the store of {bucket.url} ignores conditional writes (If-None-Match): it overwrote an object that "
            "existed, so two writers would destroy each other's manifest. Use a store that honors them, such as "
            "Amazon S3, Google Cloud Storage, Azure or MinIO, or write the set to a local directory."
        )
