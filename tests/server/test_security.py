"""Who is let in, how often, and what every answer says to browsers."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from facesketch.errors import ConfigError
from facesketch.server.config import ServerConfig, build_config, is_loopback
from server_helpers import encoded, form

CONVERT = "/api/v1/convert"
KEY = "a-long-secret-key"
EVERYWHERE = "0.0.0.0"  # noqa: S104
ELSEWHERE = {"environ_base": {"REMOTE_ADDR": "203.0.113.9"}}


@pytest.mark.parametrize("path", ["/", "/api/docs", "/healthz", "/nothing", "/static/nothing.js"])
def test_every_answer_carries_the_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Permissions-Policy"].startswith("camera=(self)")
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_results_are_not_kept_by_caches(client: FlaskClient) -> None:
    assert client.post(CONVERT, **form(encoded())).headers["Cache-Control"] == "no-store"


def test_pages_of_other_sites_may_not_convert(client: FlaskClient) -> None:
    answer = client.post(CONVERT, headers={"Sec-Fetch-Site": "cross-site"}, **form(encoded()))
    assert answer.status_code == 403
    for theirs in (
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost@evil.example"},
    ):
        assert client.post(CONVERT, headers=theirs, **form(encoded())).status_code == 403
    for ours in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}, {}):
        assert client.post(CONVERT, headers=ours, **form(encoded())).status_code == 200


@pytest.mark.parametrize("path", [CONVERT, "/api/v1/batch", "/convert"])
def test_without_a_key_only_this_machine_is_served(client: FlaskClient, path: str) -> None:
    answer = client.post(path, **form(encoded()), **ELSEWHERE)
    assert answer.status_code == 403
    assert "FACESKETCH_API_KEY" in answer.get_json(force=True)["detail"]


@pytest.mark.parametrize(
    "header",
    ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Prefix",
     "X-Forwarded-Proto", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP"],
)  # fmt: skip
def test_a_client_behind_an_unknown_proxy_is_not_this_machine(
    client: FlaskClient, header: str
) -> None:
    assert client.get("/api/v1/models", headers={header: "127.0.0.1"}).status_code == 403
    assert client.get("/api/v1/models").status_code == 200


@pytest.mark.parametrize(
    "host", ["studio.example", "192.168.1.5:8000", "localhost.example", "[::2]", "a:b:c"]
)
def test_a_name_that_is_not_of_this_machine_may_be_a_proxys_or_a_strangers(
    client: FlaskClient, host: str
) -> None:
    assert client.get("/api/v1/models", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_this_machine_has_several_names(client: FlaskClient, host: str) -> None:
    assert client.get("/api/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(("settings", "needs_key"), [({}, False), ({"api_key": KEY}, True)])
def test_the_studio_asks_strangers_for_a_key_where_there_is_one(
    make_app: Callable[..., Flask], settings: dict[str, str], needs_key: bool
) -> None:
    client = make_app(**settings).test_client()
    page = client.get("/", headers={"Host": "studio.example"}).get_data(as_text=True)
    assert f'"needs_key": {str(needs_key).lower()}' in page


def test_other_machines_need_the_key_where_there_is_one(make_app: Callable[..., Flask]) -> None:
    client = make_app(api_key=KEY).test_client()
    for given in (
        "",
        "wrong",
        KEY,
        f"Basic {KEY}",
        f"Bearer {KEY}x",
        "Bearer ",
        "Bearer schlüssel",
    ):
        answer = client.post(
            CONVERT, headers={"Authorization": given}, **form(encoded()), **ELSEWHERE
        )
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for scheme in ("Bearer", "bearer"):
        right = {"Authorization": f"{scheme} {KEY}"}
        answer = client.post(CONVERT, headers=right, **form(encoded()), **ELSEWHERE)
        assert answer.status_code == 200
    assert client.post(CONVERT, **form(encoded())).status_code == 200, "this machine needs none"


def test_without_the_key_others_see_only_what_tells_nothing(
    make_app: Callable[..., Flask],
) -> None:
    client = make_app(api_key=KEY).test_client()
    for path in ("/", "/api/docs", "/api/openapi.json", "/healthz", "/readyz"):
        assert client.get(path, **ELSEWHERE).status_code == 200
    for path in ("/metrics", "/api/v1/models"):
        assert client.get(path, **ELSEWHERE).status_code == 401


def test_a_public_server_lets_everyone_in(make_app: Callable[..., Flask]) -> None:
    client = make_app(public=True).test_client()
    assert client.post(CONVERT, **form(encoded()), **ELSEWHERE).status_code == 200


def test_keys_cannot_be_guessed_at_leisure(make_app: Callable[..., Flask]) -> None:
    client = make_app(api_key=KEY).test_client()
    wrong = {"Authorization": "Bearer a-wrong-secret"}
    statuses = [
        client.get("/api/v1/models", headers=wrong, **ELSEWHERE).status_code for _ in range(25)
    ]
    assert statuses[:20] == [401] * 20
    assert statuses[20:] == [429] * 5
    right = {"Authorization": f"Bearer {KEY}"}
    assert client.get("/api/v1/models", headers=right, **ELSEWHERE).status_code == 200, (
        "others at the same address may have the right one"
    )


def test_no_forwarded_header_makes_a_client_one_of_this_machine(
    make_app: Callable[..., Flask],
) -> None:
    client = make_app(proxies=1, api_key=KEY).test_client()
    for forwarded in ("127.0.0.1", "127.0.0.1, 203.0.113.9", "::1", "localhost"):
        for address in ("127.0.0.1", "172.17.0.1", "203.0.113.9"):
            answer = client.get(
                "/api/v1/models",
                headers={"X-Forwarded-For": forwarded},
                environ_base={"REMOTE_ADDR": address},
            )
            assert answer.status_code == 401, (forwarded, address)
    assert client.get("/api/v1/models").status_code == 200, "without a proxy, from this machine"


def test_who_asks_through_a_proxy_is_limited_by_its_header(make_app: Callable[..., Flask]) -> None:
    client = make_app(proxies=1, public=True, rate_limit=1).test_client()

    def ask(proxy: str, forwarded: str) -> int:
        return client.post(
            CONVERT,
            headers={"X-Forwarded-For": forwarded},
            environ_base={"REMOTE_ADDR": proxy},
            **form(encoded()),
        ).status_code

    for number, proxy in enumerate(["172.17.0.1", "::ffff:172.17.0.1", "100.64.0.7"]):
        one, other = f"203.0.{number}.1", f"203.0.{number}.2"
        assert [ask(proxy, one), ask(proxy, other), ask(proxy, one)] == [200, 200, 429], proxy
    for stranger in ("8.8.8.8", "::ffff:9.9.9.9"):
        assert [ask(stranger, "1.1.1.1"), ask(stranger, "1.1.1.2")] == [200, 429], (
            "who is not in the private network is no proxy of ours"
        )


def test_behind_a_proxy_with_a_port_the_page_is_our_own(make_app: Callable[..., Flask]) -> None:
    client = make_app(proxies=1, public=True).test_client()

    def ask(host: str) -> int:
        headers = {"X-Forwarded-Host": host, "X-Forwarded-Proto": "https"}
        headers |= {"Origin": "https://studio.example:8443"}
        return client.post(CONVERT, headers=headers, **form(encoded())).status_code

    assert [ask("studio.example:8443"), ask("studio.example")] == [200, 403]


def test_behind_a_proxy_the_studio_may_stand_below_a_path(make_app: Callable[..., Flask]) -> None:
    client = make_app(proxies=1, public=True).test_client()

    def ask(proxy: str, path: str) -> TestResponse:
        headers = {"X-Forwarded-Prefix": "/faces"}
        return client.get(path, headers=headers, environ_base={"REMOTE_ADDR": proxy})

    assert b'src="/faces/static/studio.js"' in ask("172.17.0.1", "/").data
    assert b'src="/static/studio.js"' in ask("8.8.8.8", "/").data, "no proxy of ours"
    document = ask("172.17.0.1", "/api/openapi.json").get_json()
    assert document["servers"] == [{"url": "/faces"}]


def test_clients_elsewhere_are_limited_each_on_its_own(make_app: Callable[..., Flask]) -> None:
    client = make_app(public=True, rate_limit=2).test_client()

    def ask(address: str) -> int:
        base = {"REMOTE_ADDR": address}
        answer = client.post(CONVERT, **form(encoded()), environ_base=base)
        if answer.status_code == 429:
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert "wait" in answer.get_json(force=True)["detail"]
        return answer.status_code

    assert [ask("203.0.113.9") for _ in range(3)] == [200, 200, 429]
    assert ask("203.0.113.10") == 200
    assert [ask(f"2001:db8::{host}") for host in range(3)] == [200, 200, 429], "one network"
    assert [ask("127.0.0.1") for _ in range(4)] == [200] * 4, "this machine is not limited"


def test_every_picture_of_a_batch_counts(make_app: Callable[..., Flask]) -> None:
    client = make_app(public=True, rate_limit=3).test_client()

    def ask(num_pictures: int) -> int:
        files = [(io.BytesIO(encoded()), "x.png") for _ in range(num_pictures)]
        return client.post(
            "/api/v1/batch",
            data={"images": files},
            content_type="multipart/form-data",
            **ELSEWHERE,
        ).status_code

    assert [ask(2), ask(2)] == [200, 429]
    assert ask(4) == 422, "it could never pass"


def test_what_a_busy_server_refuses_does_not_count(make_app: Callable[..., Flask]) -> None:
    app = make_app(public=True, rate_limit=1, max_pending=1)
    engine = app.extensions["facesketch"].engine

    def ask() -> int:
        return app.test_client().post(CONVERT, **form(encoded()), **ELSEWHERE).status_code

    with engine.turnstile.admitted(lambda: False):
        assert ask() == 503
    engine.untaken_bytes = lambda: 10**9
    assert ask() == 503
    engine.untaken_bytes = lambda: 0
    assert [ask(), ask()] == [200, 429]


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.168.1.5", "studio.example"])
def test_a_server_that_others_can_reach_needs_a_key_or_a_word(host: str) -> None:
    with pytest.raises(ConfigError, match="--api-key"):
        build_config({"host": host}, {})
    assert build_config({"host": host, "public": True}, {}).public
    assert build_config({"host": host, "api_key": KEY}, {}).api_key


def test_a_server_behind_a_proxy_needs_a_key_or_a_word() -> None:
    with pytest.raises(ConfigError, match="behind a proxy"):
        build_config({"proxies": 1}, {})


def test_settings_come_from_the_environment_and_options_win() -> None:
    environment = {"FACESKETCH_PORT": "9000", "FACESKETCH_MAX_PENDING": "5", "PORT": "1"}
    config = build_config({"port": "9001", "host": None}, environment)
    assert (config.port, config.max_pending, config.host) == (9001, 5, "127.0.0.1")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"port": "x"}, "port"),
        ({"api_key": "fifteen-letters"}, "--api-key.*16 or more.*token_urlsafe"),
        ({"max_pending": 0}, "--max-pending"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        build_config(settings, {})


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(ServerConfig(api_key=KEY))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True),
     ("::ffff:127.0.0.1", True), (EVERYWHERE, False), ("10.0.0.1", False), ("", False),
     ("localhost.example", False)],
)  # fmt: skip
def test_only_what_means_this_machine_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
