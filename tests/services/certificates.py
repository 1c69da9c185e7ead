"""Certificates for servers on the loopback address."""

from pathlib import Path

from services.packages import run


def certify(directory: Path) -> tuple[Path, Path]:
    """
    Make a certificate that vouches for itself, so that it is also what clients trust, and its key.

    Raises:
        NotAvailableError: If there is no OpenSSL.
    """
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    if not certificate.exists():
        extensions = ("subjectAltName=DNS:localhost,IP:127.0.0.1", "keyUsage=critical,digitalSignature,keyCertSign")
        added = [word for extension in extensions for word in ("-addext", extension)]
        request = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "7", "-subj", "/CN=localhost")
        run(*request, *added, "-keyout", str(key), "-out", str(certificate))
    return certificate, key
