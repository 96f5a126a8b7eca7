"""Who is believed about the names of other servers."""

import ssl
from functools import cache

import httpx


@cache
def trusted() -> ssl.SSLContext:
    """One TLS context for all of a process's clients of configured servers: to read the authorities' certificates takes about as
    long as to make everything else of such a client, ten times over. SSL_CERT_FILE and SSL_CERT_DIR are read once."""
    return httpx.create_ssl_context()
