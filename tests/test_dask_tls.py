"""A Dask scheduler at a `tls://` address, with the certificates in Dask's configuration."""

import subprocess
from pathlib import Path
from typing import Any

import dask.config
import pytest

from dask_cluster import cluster, finish
from epochbank.augment.errors import EpochbankError
from epochbank.augment.shared import dask_client
from epochbank.augment.shared.dask_client import linked

pytestmark = pytest.mark.timeout(240)


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)


def certificates(folder: Path, name: str) -> dict[str, str]:
    """Make a certification authority and a certificate; return their files by name in Dask's configuration."""
    folder.mkdir()
    new_key = ("-newkey", "rsa:2048", "-nodes")
    openssl(folder, "req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN={name}")
    openssl(folder, "req", *new_key, "-keyout", "own.key", "-out", "own.csr", "-subj", "/CN=member")
    openssl(folder, "x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", "own.pem")  # fmt: skip
    files = {"ca-file": str(folder / "ca.pem")}
    for role in ("scheduler", "worker", "client"):
        files |= {f"{role}.cert": str(folder / "own.pem"), f"{role}.key": str(folder / "own.key")}
    return files


def configured(files: dict[str, str]) -> Any:
    """Return a context in which Dask's configuration has these files."""
    return dask.config.set({f"distributed.comm.tls.{name}": file for name, file in files.items()})


def refusal(files: dict[str, str], address: str = "tls://127.0.0.1:1") -> str:
    with configured(files), pytest.raises(EpochbankError) as refused, linked(address):
        pass
    return str(refused.value)


def test_missing_certificates_are_refused(tmp_path: Path) -> None:
    """Before anything is connected: none, a file that does not exist, and one that is no certificate."""
    text = refusal({})
    assert text.startswith(
        "the Dask scheduler at tls://127.0.0.1:1 needs TLS certificates, but Dask's configuration has no "
        "distributed.comm.tls.ca-file. Set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
    )
    other = tmp_path / "other.pem"
    other.write_text("no certificate\n")
    names = ("ca-file", "client.cert", "client.key")
    text = refusal(dict.fromkeys(names, str(other)) | {"client.key": "none.pem"})
    assert "but none.pem (distributed.comm.tls.client.key) cannot be read: No such file or directory. Set" in text
    assert "those in Dask's configuration are invalid" in refusal(dict.fromkeys(names, str(other)))


@pytest.mark.long
def test_a_cluster_with_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images are those of a local run; a command with certificates of another authority is refused."""
    files = certificates(tmp_path / "certificates", "cluster")
    for name, file in files.items():
        variable = name.replace(".", "__").replace("-", "_").upper()
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{variable}", file)
    with cluster(tmp_path, "--protocol", "tls", DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION="true") as made:
        assert '"tls://127.0.0.1:' in made.file.read_text()
        made.start_worker("one")
        run = made.begin(sets="sets-tls")
        output = finish(run)
        assert run.returncode == 0, output
        made.local(sets="local")
        assert made.digests("sets-tls") == made.digests("local")
        monkeypatch.setattr(dask_client, "_SECONDS_TO_CONNECT", 3.0)
        text = refusal(certificates(tmp_path / "others", "others"), str(made.file))
        assert "cannot be reached: " in text
        assert "certificate verify failed" in text
