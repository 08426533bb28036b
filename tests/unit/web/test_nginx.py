"""nginx's configuration: what it says, and which values it cannot be told."""

import re
from pathlib import Path
from typing import Any

import pytest

from smsp_provider.config.settings import Settings
from smsp_provider.web.nginx import Places, render_nginx

PLACES = Places(Path("/run/nginx"), Path("/var/log/nginx"), "www-data")


def rendered(places: Places = PLACES, *, server: dict[str, Any] | None = None, **proxy: object) -> str:
    listener = {
        "certificate": "/etc/smsp/endpoint.crt",
        "key": "/etc/smsp/endpoint.key",
        "client_ca": "/etc/smsp/ca.crt",
        "socket": "/run/smsp/provider.sock",
        **proxy,
    }
    settings = Settings.model_validate(
        {
            "environment": "test",
            "server": {"proxy": listener, **(server or {})},
            "spine": {"endpoint": "http://127.0.0.1:9/", "pds_asid": "928942012545"},
            "audit": {"database": "/var/lib/smsp/audit.db"},
            "limits": {"max_body_bytes": 70_000, "request_seconds": 12.5},
        }
    )
    assert settings.server.proxy is not None
    return render_nginx(settings, settings.server.proxy, places)


def test_the_bounds_are_those_of_the_provider() -> None:
    text = rendered()
    for line in (
        "client_max_body_size 70000;",
        "client_body_buffer_size 140000;",
        "proxy_read_timeout 18s;",
        "server unix:/run/smsp/provider.sock max_fails=0;",
        "listen 0.0.0.0:443 ssl;",
        "listen 127.0.0.1:8081;",
        "ssl_protocols TLSv1.2 TLSv1.3;",
        "user www-data;",
    ):
        assert f"{line}\n" in text


@pytest.mark.rule("WS-SEC-01")
def test_certificates_are_asked_for_and_sessions_are_not_kept() -> None:
    text = rendered()
    for line in ("ssl_verify_client on;", "ssl_session_cache off;", "ssl_session_tickets off;"):
        assert line in text
    assert "ssl_crl" not in text
    assert "ssl_crl /etc/smsp/crl.pem;" in rendered(crl="/etc/smsp/crl.pem")
    assert "ssl_protocols TLSv1.3;" in rendered(min_tls="1.3")
    old = rendered(min_tls="1.0")
    assert "ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;" in old
    assert '"DEFAULT:@SECLEVEL=0"' in old


@pytest.mark.rule("WS-SEC-07")
def test_of_the_caller_s_headers_three_get_through() -> None:
    text = rendered()
    assert "proxy_pass_request_headers off;" in text
    set_headers = dict(re.findall(r"proxy_set_header (\S+) (\S+);", text))
    assert set_headers == {
        "Connection": "close",
        "Host": "$http_host",
        "Content-Type": "$http_content_type",
        "SOAPAction": "$http_soapaction",
        "X-Real-IP": "$remote_addr",
        "X-SSL-Client-Cert": "$ssl_client_escaped_cert",
    }
    assert "proxy_http_version 1.0;" in text


@pytest.mark.parametrize(
    ("ops", "asked"),
    [("0.0.0.0:9100", "127.0.0.1:9100"), ("127.0.0.1:9100", "127.0.0.1:9100"), ("[::]:9100", "127.0.0.1:9100")],
)
def test_health_checks_go_to_the_operators_process_where_there_is_one(ops: str, asked: str) -> None:
    assert rendered().count("proxy_pass http://smsp_provider;") == 3
    text = rendered(server={"ops": ops})
    assert text.count("proxy_pass http://smsp_provider;") == 1
    assert text.count(f"proxy_pass http://{asked};") == 2


@pytest.mark.parametrize("path", ["/etc/a b", "/etc/$host", '/etc/"a"', "/etc/a;b", "/etc/{a}", "/etc/a\\b"])
def test_a_path_that_means_something_to_nginx_is_refused_and_not_repeated(path: str) -> None:
    for name in ("certificate", "key", "client_ca", "crl", "socket"):
        listener: dict[str, Any] = {name: path}
        with pytest.raises(ValueError, match="cannot stand in a file of nginx") as refused:
            rendered(**listener)
        assert path not in str(refused.value)
    with pytest.raises(ValueError, match="cannot stand in a file of nginx"):
        rendered(Places(Path(path), Path("/var/log")))


@pytest.mark.parametrize("user", ["www data", "root;", "-x", "$a"])
def test_a_user_is_a_name(user: str) -> None:
    with pytest.raises(ValueError, match="not the name of a user"):
        rendered(Places(Path("/run"), Path("/var/log"), user))


def test_relative_paths_count_from_here() -> None:
    assert f"ssl_certificate {Path.cwd()}/endpoint.crt;" in rendered(certificate="endpoint.crt")
