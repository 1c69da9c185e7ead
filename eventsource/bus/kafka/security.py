"""How connections to Kafka are secured."""

import logging
import ssl
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger("eventsource.bus.kafka")

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class Security:
    """A protocol, and what it takes."""

    protocol: str
    mechanism: str | None
    username: str | None
    password: str | None = field(repr=False)
    cafile: str | None
    certfile: str | None
    keyfile: str | None = field(repr=False)
    check_hostname: bool

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether clients say who they are, by a password."""
        return self.protocol.startswith("SASL_")

    def check(self) -> None:
        """
        Warn of what is not safe.

        Raises:
            ValueError: If something is missing or unknown.
        """
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"Invalid security_protocol {self.protocol!r}: use one of {', '.join(PROTOCOLS)}")
        if self.uses_sasl:
            self._check_sasl()
        if self.uses_tls:
            self._check_tls()
        if self.protocol == "PLAINTEXT":
            logger.warning("security_protocol PLAINTEXT is not recommended for production: nothing is encrypted")
        if self.protocol == "SASL_PLAINTEXT":
            logger.warning("security_protocol SASL_PLAINTEXT: credentials sent in plain text")

    def login(self) -> dict[str, Any]:
        """Return the protocol, and who says so, by the names that Kafka's clients give them."""
        login: dict[str, Any] = {"security_protocol": self.protocol}
        if self.uses_sasl:
            login |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return login

    def settings(self) -> dict[str, Any]:
        """Return what `login` does, and the files for TLS."""
        settings = self.login()
        if self.uses_tls:
            settings |= {
                "ssl_cafile": self.cafile,
                "ssl_certfile": self.certfile,
                "ssl_keyfile": self.keyfile,
                "ssl_check_hostname": self.check_hostname,
            }
        return settings

    def ssl_context(self) -> ssl.SSLContext | None:
        """
        Return the context for connections; None without TLS.

        Raises:
            OSError: If a file cannot be read.
        """
        if not self.uses_tls:
            return None
        context = ssl.create_default_context(cafile=self.cafile)
        if self.certfile is not None:
            context.load_cert_chain(self.certfile, self.keyfile)
        if not self.check_hostname:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _check_sasl(self) -> None:
        if self.mechanism is None:
            raise ValueError(f"sasl_mechanism required for {self.protocol}: one of {', '.join(MECHANISMS)}")
        if self.mechanism not in MECHANISMS:
            raise ValueError(f"Invalid sasl_mechanism {self.mechanism!r}: use one of {', '.join(MECHANISMS)}")
        if not (self.username and self.password):
            raise ValueError(f"sasl_username and sasl_password required for {self.protocol}")

    def _check_tls(self) -> None:
        if self.certfile and not self.keyfile:
            raise ValueError("ssl_keyfile required where ssl_certfile is given")
        if self.keyfile and not self.certfile:
            raise ValueError("ssl_certfile required where ssl_keyfile is given")
        if not self.check_hostname:
            logger.warning("ssl_check_hostname is off: the brokers are not verified, which is vulnerable to MITM")
