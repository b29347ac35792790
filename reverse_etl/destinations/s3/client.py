"""Files on S3 (boto3): an object appears whole, with its checksum compared by the store, or not at all.

Contract: docs.aws.amazon.com, "PutObject" (atomic, strongly consistent; at most 5 GB; `x-amz-checksum-sha256`), "HeadBucket",
"Error responses" (SlowDown and 5xx may be tried again).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, TypeVar

import boto3
import botocore.exceptions
from botocore.config import Config

from cdp.errors import ConfigurationError
from reverse_etl.catalog import MappedField
from reverse_etl.destination import Batch, BatchRejectedError, Result
from reverse_etl.destination_spec import DestinationSpec, FieldType
from reverse_etl.destinations.files import OPERATION, csv_bytes, parquet_bytes
from reverse_etl.pace import Pace, TryAgain

T = TypeVar("T")

_MOST_BYTES = 5 * 1024**3
_LATER = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "503", "500", "OperationAborted", "429"}
_REFUSED = {
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AccountProblem",
    "AllAccessDisabled", "403", "401", "PermanentRedirect", "301", "AuthorizationHeaderMalformed", "KMS.NotFoundException",
    "KMS.DisabledException", "RequestTimeTooSkewed",
}  # fmt: skip
_GONE = {"NoSuchBucket", "404"}
_UNREACHED = (
    botocore.exceptions.EndpointConnectionError,
    botocore.exceptions.ConnectTimeoutError,
    botocore.exceptions.ProxyConnectionError,
    botocore.exceptions.SSLError,
)


def connect(spec: DestinationSpec, connection: Mapping[str, str], pace: Pace) -> S3:
    """A client for the bucket `CDP_S3__BUCKET`."""
    try:
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=connection["base_url"] or None,
            region_name=connection["region"],
            aws_access_key_id=connection["access_key_id"] or None,
            aws_secret_access_key=connection["secret_access_key"] or None,
            aws_session_token=connection["session_token"] or None,
            # The pace repeats, so that all calls of a run keep to one budget. Other stores are addressed by path.
            config=Config(
                retries={"total_max_attempts": 1, "mode": "standard"},
                connect_timeout=min(spec.timeout_seconds, 10),
                read_timeout=spec.timeout_seconds,
                s3={"addressing_style": "path" if connection["base_url"] else "auto"},
            ),
        )
    except (ValueError, botocore.exceptions.BotoCoreError) as error:
        raise ConfigurationError(
            f"no client can be made of the settings ({type(error).__name__})",
            where="s3",
            expected="an address, a region, and both parts of a key or none",
            fix="correct CDP_S3__BASE_URL, CDP_S3__REGION, CDP_S3__ACCESS_KEY_ID and CDP_S3__SECRET_ACCESS_KEY",
        ) from None
    return S3(client, connection["bucket"], pace)


class S3:
    """See `reverse_etl.destination.Client`."""

    def __init__(self, client: Any, bucket: str, pace: Pace) -> None:
        self._client, self._bucket, self._pace = client, bucket, pace
        self._columns: dict[str, FieldType] = {}

    def prepare(self, object_name: str, fields: Sequence[MappedField], options: Mapping[str, str]) -> None:
        """See that the bucket is there."""
        self._columns = {field.name: field.rule.type for field in fields}
        if OPERATION in self._columns:
            raise ConfigurationError(
                f'a field is called "{OPERATION}"',
                where="s3",
                expected="another name: the files of changes have a column of their own of this name",
                fix="rename the field in the sync",
            )
        self._repeatedly(lambda: self._client.head_bucket(Bucket=self._bucket))

    def write(self, batch: Batch) -> Result:
        """Write one file. All rows share its fate."""
        name, is_delta = PurePosixPath(batch.options["file"]), batch.object == "delta"
        rows = batch.rows if is_delta else [row for row in batch.rows if row.operation != "delete"]
        if name.suffix == ".parquet":
            content = parquet_bytes(rows, self._columns, with_operation=is_delta)
        else:
            content = csv_bytes(rows, list(self._columns), with_operation=is_delta)
        if len(content) > _MOST_BYTES:
            raise BatchRejectedError(f"the file has {len(content)} bytes", "too_large")
        digest = hashlib.sha256(content)
        if is_delta:
            # Named for its time and content: a repeated run replaces its own file instead of adding a second.
            moment = "".join(c for c in batch.as_of if c.isalnum())
            name = PurePosixPath(f"{name.stem}_{moment}_{digest.hexdigest()[:12]}{name.suffix}")
        answer = self._repeatedly(
            lambda: self._client.put_object(
                Bucket=self._bucket,
                Key=str(PurePosixPath(batch.options["prefix"]) / name),
                Body=content,
                ContentType="text/csv; charset=utf-8" if name.suffix == ".csv" else "application/vnd.apache.parquet",
                ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
                **_encryption(batch.options["encryption"]),
            )
        )
        return Result.all_succeeded(str(answer["ResponseMetadata"].get("RequestId", "")))

    def delete(self, batch: Batch) -> Result:
        """A file of rows to delete (`delta` only: a snapshot is always written whole)."""
        return self.write(batch)

    def close(self) -> None:
        """Give connections back."""
        self._client.close()

    def _repeatedly(self, call: Callable[[], T]) -> T:
        """One call, repeated while the store asks for it. Writing the same file again does nothing."""

        def attempt() -> T:
            try:
                return call()
            except botocore.exceptions.ClientError as error:
                raise self._judged(error) from None
            except _UNREACHED as error:
                raise TryAgain(f"no connection: {type(error).__name__}") from None
            except botocore.exceptions.HTTPClientError as error:
                raise TryAgain(f"no answer: {type(error).__name__}", effect_unknown=True) from None
            except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError):
                raise _access("no credentials") from None

        return self._pace.call(attempt)

    def _judged(self, error: botocore.exceptions.ClientError) -> Exception:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _LATER or status in (429, 503):
            return TryAgain(f"S3 says {code}", code="rate_limit" if code == "SlowDown" else "unavailable")
        if status >= 500:
            return TryAgain(f"S3 says {code}", effect_unknown=True)
        if code in _REFUSED:
            return _access(code)
        if code in _GONE:
            return ConfigurationError(
                "the bucket does not exist",
                where="s3",
                expected="the bucket of CDP_S3__BUCKET",
                fix="make it, or correct CDP_S3__BUCKET and CDP_S3__REGION",
            )
        return BatchRejectedError(f"S3 says {code}", code)


def _encryption(wanted: str) -> dict[str, str]:
    if wanted == "bucket":
        return {}
    return (
        {"ServerSideEncryption": "AES256"}
        if wanted == "AES256"
        else {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": wanted}
    )


def _access(code: str) -> ConfigurationError:
    return ConfigurationError(
        f"S3 refuses access ({code})",
        where="s3",
        expected="a key or role with s3:ListBucket on the bucket and s3:PutObject on its objects, in the bucket's region",
        fix="correct the settings CDP_S3__... and run again",
    )
