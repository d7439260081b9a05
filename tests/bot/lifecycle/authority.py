"""Certificates for tests: an authority of one's own, and what it signs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, as files."""

    path: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """An authority; its certificate is `ca.crt` in `folder`."""

    folder: Path
    name: x509.Name
    key: ec.EllipticCurvePrivateKey

    def issue(self, *names: str, days: float = 90, age_days: float = 0.0) -> Issued:
        """Sign a certificate for these names that lasts `days`, made `age_days` ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = datetime.now(UTC) - timedelta(days=age_days)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
        certificate = (
            _certificate(subject, self.name, key, made, days)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        path, key_path = self.folder / "server.crt", self.folder / "server.key"
        path.write_bytes(certificate.public_bytes(Encoding.PEM))
        key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key_path.chmod(0o600)
        return Issued(path, key_path)


def authority(folder: Path, common_name: str = "Company CA") -> Authority:
    """Make an authority with its certificate in `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    certificate = (
        _certificate(name, name, key, datetime.now(UTC), 3650)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    return Authority(folder, name, key)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    made: datetime,
    days: float,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(made - timedelta(seconds=5))
        .not_valid_after(made + timedelta(days=days))
    )
