# SPDX-License-Identifier: Apache-2.0
"""Certificates for the lab: a CA, a server, a client, and the bad ones that must be refused."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .kernel import run

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
SERVER_CN, CLIENT_CN, OPERATOR_CN = "typha-server", "typha-client", "margayctl"


@dataclass(frozen=True)
class Certificate:
    ca: Path
    cert: Path
    key: Path


class Authority:
    """A CA of its own in `directory`; issues certificates beside it."""

    def __init__(self, directory: Path, name: str = "ca"):
        directory.mkdir(parents=True, exist_ok=True)
        self._dir = directory
        self.cert = directory / f"{name}.crt"
        self._key = directory / f"{name}.key"
        run(["openssl", "req", "-x509", *_KEY, "-subj", f"/CN=margay-lab-{name}", "-days", "30",
             "-keyout", str(self._key), "-out", str(self.cert)])

    def issue(self, file: str, cn: str, addresses: tuple[str, ...] = ()) -> Certificate:
        cert, key = self._dir / f"{file}.crt", self._dir / f"{file}.key"
        names = ",".join([f"DNS:{cn}", *(f"IP:{a}" for a in addresses)])
        run(["openssl", "req", "-x509", "-CA", str(self.cert), "-CAkey", str(self._key), *_KEY,
             "-subj", f"/CN={cn}", "-days", "30", "-addext", f"subjectAltName={names}",
             "-addext", "basicConstraints=critical,CA:FALSE",
             "-addext", "extendedKeyUsage=serverAuth,clientAuth",
             "-keyout", str(key), "-out", str(cert)])
        return Certificate(self.cert, cert, key)

    def issue_expired(self, file: str, cn: str) -> Certificate:
        """Valid for one day in 2020. `openssl ca` is the one command of 3.0 that sets dates."""
        cert, key = self._dir / f"{file}.crt", self._dir / f"{file}.key"
        request, work = self._dir / f"{file}.csr", self._dir / f"{file}.ca"
        run(["openssl", "req", "-new", *_KEY, "-subj", f"/CN={cn}", "-keyout", str(key),
             "-out", str(request)])
        work.mkdir()
        (work / "index").touch()
        (work / "conf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={0}/index\nnew_certs_dir={0}\nrand_serial=yes\n"
            "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n".format(work))
        run(["openssl", "ca", "-batch", "-config", str(work / "conf"), "-cert", str(self.cert),
             "-keyfile", str(self._key), "-in", str(request), "-out", str(cert), "-notext",
             "-startdate", "20200101000000Z", "-enddate", "20200102000000Z"])
        return Certificate(self.cert, cert, key)
