"""The TLS certificates of this process in Dask's configuration, checked before they are used."""

from typing import Any

from ..errors import EpochbankError

_OPTIONS = {"ca_file": "ca-file", "cert": "client.cert", "key": "client.key"}
"""Names below `distributed.comm.tls` in Dask's configuration, by the names of `distributed.Security`."""
_FIX = (
    "Set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and "
    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY to PEM files."
)


def tls_security(address: str) -> Any:
    """Return the `distributed.Security` of a client of the scheduler at `address`; None if Dask's default is right.

    That is so without TLS, and with a `distributed.client.security-loader`, which has certificates from elsewhere.
    Raises `EpochbankError` if certificates are missing or cannot be read.
    """
    import dask
    from distributed.security import Security

    if not address.startswith("tls://") or dask.config.get("distributed.client.security-loader", None):
        return None
    security = Security()
    options = security.get_tls_config_for_role("client")
    needs = f"the Dask scheduler at {address} needs TLS certificates"
    for name in ("ca_file", "cert"):  # The key may be in the file of the certificate.
        if not options[name]:
            raise EpochbankError(
                f"{needs}, but Dask's configuration has no distributed.comm.tls.{_OPTIONS[name]}. {_FIX}"
            )
    for name, value in options.items():
        if name in _OPTIONS and value and "\n" not in value:  # Otherwise it is the text of a PEM file.
            _check_readable(value, f"{needs}, but {value} (distributed.comm.tls.{_OPTIONS[name]})")
    try:
        security.get_connection_args("client")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError.
        raise EpochbankError(f"{needs}, and those in Dask's configuration are invalid: {error}. {_FIX}") from error
    return security


def _check_readable(path: str, what: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise EpochbankError(f"{what} cannot be read: {error.strerror}. {_FIX}") from error
