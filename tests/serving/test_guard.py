"""Who may ask: the Host and Origin headers, the token; and what every answer tells browsers."""

from __future__ import annotations

import json

import pytest

TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture(scope="module")
def guarded(serve, segmenter):
    """A service that asks for a token and also goes by another name."""
    with serve({"tiny": segmenter}, token=TOKEN, allow_hosts=("frames.example",)) as address:
        yield address


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("[::1]:80", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("192.168.0.7", 400),
        ("localhost@evil.example", 400),
        ("localhost/../", 400),
        ("", 400),
    ],
)
def test_a_name_that_is_not_the_servers_is_refused(ask, tiny_service, host, status) -> None:
    found, _, body = ask(tiny_service, "GET", "/v1/models", None, {"Host": host})
    assert found == status
    assert status == 200 or "Host" in json.loads(body)["detail"]


def test_a_server_bound_to_all_addresses_goes_by_any_address_but_by_no_other_name(
    ask, serve, segmenter
) -> None:
    with serve({"tiny": segmenter}, host="0.0.0.0") as address:
        assert ask(address, headers={"Host": "192.168.0.7:8000"})[0] == 200
        assert ask(address, headers={"Host": "rebound.example"})[0] == 400


@pytest.mark.parametrize(
    ("method", "origin", "status"),
    [
        ("POST", "http://localhost:8000", 415),  # let in: the body is no image
        ("POST", "http://evil.example", 403),
        ("POST", "http://localhost:9", 403),
        ("POST", "null", 403),
        ("POST", "http://localhost:8000.evil.example", 403),
        ("DELETE", "http://evil.example", 403),
        ("GET", "http://evil.example", 405),  # asks for nothing that changes
    ],
)
def test_pages_of_other_sites_change_nothing(ask, tiny_service, method, origin, status) -> None:
    headers = {"Host": "localhost:8000", "Origin": origin}
    found, got, _ = ask(tiny_service, method, "/v1/segment", b"x", headers)
    assert found == status
    assert not [name for name in got if name.lower().startswith("access-control")]


def test_a_socket_of_another_site_is_refused(ask, tiny_service) -> None:
    upgrade = {
        "Host": "localhost:8000", "Connection": "Upgrade", "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    for changed in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        assert ask(tiny_service, "GET", "/v1/live", None, upgrade | changed)[0] == 403


def test_a_token_opens_all_routes_and_its_absence_none_but_the_probes(ask, guarded) -> None:
    for path in ("/", "/v1/models", "/metrics", "/openapi.json", "/static/page/page.js", "/none"):
        assert ask(guarded, "GET", path)[0] == 401
    for wrong in ("Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer", "\xff"):
        assert ask(guarded, "GET", "/v1/models", None, {"Authorization": wrong})[0] == 401
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert ask(guarded, "GET", "/v1/models", None, right)[0] == 200
    assert ask(guarded, "GET", "/v1/models", None, right | {"Host": "frames.example"})[0] == 200
    assert ask(guarded, "GET", "/v1/models", None, right | {"Host": "other.example"})[0] == 400
    assert ask(guarded, "GET", "/v2/health/live")[0] == 200
    assert ask(guarded, "GET", "/v2/health/ready")[0] == 200


def test_a_browser_exchanges_the_token_for_a_cookie(ask, guarded) -> None:
    assert ask(guarded, "GET", "/?token=wrong")[0] == 401
    assert ask(guarded, "GET", f"/v1/models?token={TOKEN}")[0] == 401  # for pages alone
    status, headers, _ = ask(guarded, "GET", f"/?a=1&token={TOKEN}")
    assert (status, headers["location"]) == (303, "/?a=1")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and TOKEN not in cookie
    kept = {"Cookie": cookie.partition(";")[0]}
    assert ask(guarded, "GET", "/", None, kept)[0] == 200
    assert ask(guarded, "GET", "/v1/models", None, kept)[0] == 200
    assert ask(guarded, "GET", "/", None, {"Cookie": "dashseg=wrong; ["})[0] == 401


def test_every_answer_forbids_scripts_of_others_and_frames_around_it(ask, tiny_service) -> None:
    for path in ("/", "/v1/models", "/none"):
        _, headers, _ = ask(tiny_service, "GET", path, None, {"Host": "localhost:8000"})
        policy = headers["content-security-policy"]
        assert "default-src 'self';" in policy and "frame-ancestors 'none'" in policy
        assert "ws://localhost:8000" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


def test_a_path_outside_the_pages_is_nothing(ask, tiny_service) -> None:
    for path in (
        "/static/page/../../app.py", "/static/page/%2e%2e%2f%2e%2e%2fapp.py", "/static/../app.py",
        "/static/page/..", "/static//etc/passwd", "/static/page/page.js%00", "/static/desk/x.js",
    ):  # fmt: skip
        assert ask(tiny_service, "GET", path)[0] == 404
    assert ask(tiny_service, "GET", "/static/page/page.js")[1]["content-type"].startswith(
        "text/javascript"
    )
