"""The key pair for TLS."""

import ssl
from typing import NamedTuple

from service.settings import Settings, SettingsError


class KeyPair(NamedTuple):
    """The PEM files for TLS, as they were at the start."""

    certificate: bytes
    key: bytes


def key_pair(settings: Settings) -> KeyPair | None:
    """Read and check the key pair of the settings. None: no TLS.

    Raises:
        SettingsError: if a file can't be read or holds something else, or if the two do not belong together.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return None
    try:
        pair = KeyPair(certificate.read_bytes(), key.read_bytes())
        # An encrypted key must not make OpenSSL ask for a password at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise SettingsError(
            f"RETINA_TLS_CERTIFICATE={certificate} and RETINA_TLS_KEY={key} can't be used "
            f"({(error.reason or 'not PEM').lower().replace('_', ' ')}): name the PEM files of a certificate and of "
            "its unencrypted private key"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"RETINA_TLS_CERTIFICATE={certificate} or RETINA_TLS_KEY={key} can't be read "
            f"({(error.strerror or str(error)).lower()})"
        ) from None
    return pair
