"""How a side is set up for a scenario: what its file says, and where its files lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from string import Template

FILES = Path(__file__).with_name("peers")
ORIGIN = "https://app.example.com"  # of the pages that may ask
STRANGER = "https://evil.example"  # and of those that may not
PREFLIGHT_FIELDS = ("authorization", "content-type")
SECRET = "kf83JJd0aLq72ndm39fKS02mdKq81hdbQkfp3mS0"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a file says besides the smallest one. The numbers are how many of each it has."""

    routes: int = 1
    providers: int = 1
    rules: int = 1
    workers: int = 1
    has_tls: bool = False
    has_https_upstream: bool = False
    has_cors: bool = False
    has_secret: bool = False  # one provider of HS256, where all others are of RS256


SMALLEST = Setup()


@dataclass(frozen=True, slots=True)
class Place:
    """What a side's files are filled in with."""

    folder: Path
    port: int
    upstream_port: int
    issuer: str
    audience: str
    spki: str = ""
    body: str = ""
    https_port: int = 0
    setup: Setup = SMALLEST

    def fill(self, name: str) -> str:
        """Return the path of a peer's file, filled in."""
        values = {field: str(getattr(self, field)) for field in self.__slots__} | _pieces(self)
        values["user"] = "user root;" if os.geteuid() == 0 else ""
        target = self.folder / name
        target.write_text(Template((FILES / name).read_text()).substitute(values))
        return str(target)


def issuer_of(place: Place, number: int) -> str:
    """Return the issuer of a provider by its number; the first is that of all scenarios with one."""
    return place.issuer if number == 0 else f"https://issuer-{number}.test/"


def path_of(setup: Setup, number: int) -> str:
    """Return a path that is asked for on a route by its number."""
    return "/api/agents" if setup.routes == 1 else f"/api/team-{number}/agents"


_API = "type.googleapis.com/envoy.extensions"
_ENVOY_TLS = """\
transport_socket:
        name: tls
        typed_config:
          "@type": %(api)s.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - {certificate_chain: {filename: "%(folder)s/gw.crt"}, private_key: {filename: "%(folder)s/gw.key"}}
"""
_ENVOY_HTTPS = """\
transport_socket:
      name: tls
      typed_config:
        "@type": %(api)s.transport_sockets.tls.v3.UpstreamTlsContext
        sni: localhost
        common_tls_context:
          tls_params: {tls_maximum_protocol_version: TLSv1_3}
          validation_context:
            trusted_ca: {filename: "%(folder)s/gw.crt"}
            match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: localhost}}]
"""
_ENVOY_CORS = """\
- name: envoy.filters.http.cors
            typed_config: {"@type": %(api)s.filters.http.cors.v3.Cors}
"""
_ENVOY_POLICY = """\
typed_per_filter_config:
                envoy.filters.http.cors:
                  "@type": %(api)s.filters.http.cors.v3.CorsPolicy
                  allow_origin_string_match: [{exact: "%(origin)s"}]
                  allow_methods: GET, HEAD, POST, PUT, PATCH, DELETE
                  allow_headers: %(fields)s
                  allow_credentials: true
                  max_age: "3600"
"""
_HAPROXY_CORS = """\
  acl page req.hdr(origin) -m str %(origin)s
  http-request set-var(txn.origin) req.hdr(origin) if page
  http-request return status 204 hdr access-control-allow-origin %(origin)s \
hdr access-control-allow-methods "GET, HEAD, POST, PUT, PATCH, DELETE" hdr access-control-allow-headers "%(fields)s" \
hdr access-control-allow-credentials true hdr access-control-max-age 3600 hdr vary origin \
if METH_OPTIONS page { req.hdr(access-control-request-method) -m found }
  http-response set-header access-control-allow-origin %%[var(txn.origin)] if { var(txn.origin) -m found }
  http-response set-header access-control-allow-credentials true if { var(txn.origin) -m found }
  http-response add-header vary origin
"""


def _pieces(place: Place) -> dict[str, str]:
    """Return what stands in the files of Envoy and HAProxy for the parts of a setup; empty where it has none."""
    setup, folder = place.setup, place.folder
    server = f"127.0.0.1:{place.upstream_port}"
    tls = f" ssl crt {folder}/gw.pem" if setup.has_tls else ""
    if setup.has_https_upstream:
        verified = f"ssl verify required ca-file {folder}/gw.crt sni str(localhost) verifyhost localhost"
        server = f"127.0.0.1:{place.https_port} {verified}"
    values = {"api": _API, "folder": folder, "origin": ORIGIN, "fields": ", ".join(PREFLIGHT_FIELDS)}
    return {
        "envoy_tls": _ENVOY_TLS % values if setup.has_tls else "",
        "envoy_https": _ENVOY_HTTPS % values if setup.has_https_upstream else "",
        "envoy_port": str(place.https_port if setup.has_https_upstream else place.upstream_port),
        "envoy_cors": _ENVOY_CORS % values if setup.has_cors else "",
        "envoy_policy": _ENVOY_POLICY % values if setup.has_cors else "",
        "haproxy_tls": tls,
        "haproxy_server": server,
        "haproxy_cors": _HAPROXY_CORS % values if setup.has_cors else "",
    }
