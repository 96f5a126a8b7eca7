"""How S3 is reached: the client, its limits, and its errors in the marketplace's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app import trail
from app.adapters.storage.intake import not_found
from app.db import assert_no_unit_of_work
from app.errors import Unavailable

_MISSING = {"404", "NoSuchKey", "NotFound"}
CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS = 5, 60
MAX_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class S3Access:
    """Where a bucket is and how to get in. Empty texts mean AWS itself, and the credentials of boto3's usual places.

    `public_url` is the endpoint that clients and nodes reach, where it is another one than the hub's.
    """

    bucket: str
    prefix: str = ""
    endpoint_url: str = ""
    public_url: str = ""
    region: str = "us-east-1"
    access_key_id: str = ""
    secret_access_key: str = ""
    is_path_style: bool = False


def connect(access: S3Access, endpoint_url: str) -> Any:
    """A client that can be shared by threads and greenlets. Nothing is called yet."""
    import boto3
    from botocore.config import Config

    config = Config(
        signature_version="s3v4",
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        max_pool_connections=MAX_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": 3},
        s3={"addressing_style": "path" if access.is_path_style else "virtual"},
        # Checksums of boto3's own choice are not understood by every server that speaks S3; ours are in the database.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url or None,
        region_name=access.region,
        aws_access_key_id=access.access_key_id or None,
        aws_secret_access_key=access.secret_access_key or None,
        config=config,
    )


def call(client: Any, operation: str, *arguments: Any, **options: Any) -> Any:
    """One operation; NotFound for an object that is not there, Unavailable for every other trouble."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    assert_no_unit_of_work()
    try:
        with trail.span(f"s3 {operation}", "client"):
            return getattr(client, operation)(*arguments, **options)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        if code in _MISSING:
            raise not_found() from error
        raise Unavailable(f"The file store refused the request ({code}). Try again.", code="STORAGE_UNAVAILABLE") from error
    except (BotoCoreError, Boto3Error) as error:
        raise unavailable() from error


def unavailable() -> Unavailable:
    return Unavailable("The file store does not answer. Try again.", code="STORAGE_UNAVAILABLE")
