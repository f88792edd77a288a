"""Settings of the server: one frozen, validated model, read from options or the environment."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from facesketch.errors import ConfigError
from facesketch.parallel import num_cores

ENVIRONMENT_PREFIX = "FACESKETCH_"
"""FACESKETCH_PORT is what --port is, and so on for every setting."""


class ServerConfig(BaseModel):
    """Everything the server can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 is all of them.")
    port: int = Field(8000, ge=0, le=65535, description="Port; 0 takes a free one.")
    api_key: SecretStr | None = Field(
        None, description="Key that clients on other machines must send, 16 characters or more."
    )
    public: bool = Field(False, description="Let other machines in without a key.")
    proxies: int = Field(
        0, ge=0, le=8, description="Reverse proxies in front whose X-Forwarded headers are true."
    )
    weights: Path | None = Field(
        None, description="Folder with generators of your own, instead of the shipped ones."
    )
    device: str = Field(
        "cpu", description="cpu, openvino, cuda, coreml, directml, or a provider's name."
    )
    threads: int | None = Field(
        None, ge=1, le=256, description="CPU threads that convert; all cores if not set."
    )
    max_upload_mb: float = Field(20, gt=0, le=1024, description="Largest request, in MB.")
    max_megapixels: float = Field(
        64, gt=0, le=120, description="Largest picture, in megapixels, checked before decoding."
    )
    max_pending: int = Field(
        64, ge=1, le=4096, description="Requests that may wait or run; more are refused at once."
    )
    time_limit_s: float = Field(
        30, gt=0, le=3600, description="Seconds that a request may wait and run."
    )
    rate_limit: int = Field(
        1200,
        ge=0,
        description="Pictures a minute that one client on another machine may convert; 0 for no "
        "limit.",
    )

    @property
    def max_upload_bytes(self) -> int:
        """Largest request body, in bytes."""
        return round(self.max_upload_mb * 1_000_000)

    @property
    def max_pixels(self) -> int:
        """Largest width x height of a picture."""
        return round(self.max_megapixels * 1_000_000)

    @property
    def num_threads(self) -> int:
        """CPU threads that convert."""
        return num_cores() if self.threads is None else self.threads

    @field_validator("api_key")
    @classmethod
    def _check_key(cls, key: SecretStr | None) -> SecretStr | None:
        """A header carries ASCII alone, and whoever guesses should have to guess for long."""
        text = "" if key is None else key.get_secret_value()
        if key is not None and not re.fullmatch(r"[!-~]{16,}", text):
            raise ValueError(
                "needs 16 or more letters, digits or signs of ASCII, without spaces; "
                "python3 -c 'import secrets; print(secrets.token_urlsafe())' makes a key"
            )
        return key

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        reachable = self.proxies > 0 or not is_loopback(self.host)
        if reachable and self.api_key is None and not self.public:
            where = "behind a proxy" if self.proxies else f"on {self.host}"
            raise ValueError(
                f"a server {where} can be reached from other machines; set --api-key KEY "
                f"({ENVIRONMENT_PREFIX}API_KEY), or --public to let everyone in"
            )
        return self


def build_config(
    options: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> ServerConfig:
    """Put the settings together: what is not an option comes from the environment.

    Args:
        options: Settings by name; None counts as not given.
        environment: Where FACESKETCH_NAME is looked up; None takes this process's.

    Raises:
        ConfigError: If a setting is unknown, has a bad value or contradicts another.
    """
    environment = os.environ if environment is None else environment
    given: dict[str, Any] = {
        name: environment[ENVIRONMENT_PREFIX + name.upper()]
        for name in ServerConfig.model_fields
        if environment.get(ENVIRONMENT_PREFIX + name.upper())
    }
    given |= {name: value for name, value in options.items() if value is not None}
    try:
        return ServerConfig(**given)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    """Say what is wrong with a setting, by the names that people gave it by."""
    first = error.errors()[0]
    reason = str(first["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    reason = reason.partition(", unable to parse")[0]
    if not first["loc"]:
        return f"{reason}."
    name = str(first["loc"][0])
    flag = f"--{name.replace('_', '-')} ({ENVIRONMENT_PREFIX}{name.upper()})"
    return f"{flag} {reason}."


def is_loopback(host: str) -> bool:
    """Say whether an address or host name can only mean this machine."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:127.0.0.1
    return address.is_loopback or (mapped is not None and mapped.is_loopback)
