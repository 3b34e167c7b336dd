"""Errors of the operating system that say nothing about the contents of a file, so that no message calls it damaged."""

import errno
import os
from pathlib import Path

from ..errors import EpochbankError

_UNREADABLE = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)


def unreadable(path: Path, error: BaseException, *, what: str = "") -> EpochbankError | None:
    """Return the error to raise if `error` says that this process cannot read `path` now; None if it may be damaged.

    `what` precedes the path in the message.
    """
    if not isinstance(error, OSError) or error.errno not in _UNREADABLE:
        return None
    fix = "Raise the limit (`ulimit -n`)" if error.errno == errno.EMFILE else "Fix that"
    return EpochbankError(
        f"{what}{path} cannot be read: {os.strerror(error.errno)}. {fix}, then run the command again."
    )
